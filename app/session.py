"""What the demo remembers of each visitor, and for how long: bounded in number, size and time.

Knows nothing of the page: a frame goes in, a dressed frame comes out.
"""

import statistics
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from app.gallery import GarmentPhoto, garment_photo, shrunk
from dmvton.garment import Garment
from dmvton.image_io import Limits, Picture, Source, read_picture
from dmvton.tryon import Stream, TryOn, TryOnResult


@dataclass(frozen=True)
class SessionLimits:
    """What visitors may cost: by default at most about 32 MB each, and 16 of them."""

    sessions: int = 16
    """Most visitors at a time; the one who did nothing for longest goes first."""
    idle_s: float = 600.0
    """A visitor who did nothing for so many seconds is forgotten."""
    own_garments: int = 3
    """Most garment photos of a visitor's own; the oldest goes first."""
    garment_side: int = 1280
    """Larger garment photos are shrunk to this."""
    frame_side: int = 1280
    """Larger camera pictures are shrunk to this."""
    frame: Limits = Limits(max_bytes=8 * 2**20, max_pixels=10_000_000)
    """Camera pictures beyond this are refused."""


LIMITS = SessionLimits()


class Step(NamedTuple):
    """One camera picture, done."""

    image: np.ndarray  # (H, W, 3) uint8 RGB: dressed, or as it came where nobody is in view
    result: TryOnResult | None
    seconds: float  # from its bytes to the dressed picture


class Meter:
    """Speed over the last pictures."""

    def __init__(self, pictures: int = 30, gap_s: float = 5.0):
        """Look back ``pictures`` far; a pause longer than ``gap_s`` starts afresh."""
        self._done: deque[tuple[float, float]] = deque(maxlen=pictures)
        self._gap = gap_s

    def add(self, at: float, seconds: float) -> None:
        """Count a picture that was done at a time, after so many seconds of work."""
        if self._done and at - self._done[-1][0] > self._gap:
            self._done.clear()
        self._done.append((at, seconds))

    @property
    def rate(self) -> float:
        """Pictures a second, 0 before the second one."""
        if len(self._done) < 2:
            return 0.0
        span = self._done[-1][0] - self._done[0][0]
        return (len(self._done) - 1) / span if span > 0 else 0.0

    @property
    def work(self) -> float:
        """Median seconds of work for a picture, 0 before the first one."""
        return statistics.median(seconds for _, seconds in self._done) if self._done else 0.0


class Session:
    """One visitor: the garment worn, garments of their own, and the camera's state."""

    def __init__(self, engine: TryOn, limits: SessionLimits = LIMITS):
        """Start with nothing worn."""
        self.meter = Meter()
        self.own: list[GarmentPhoto] = []
        self.garment: Garment | None = None
        self.name = ""
        self.last: np.ndarray | None = None  # (H, W, 3) uint8, the last camera picture shown
        self._engine, self._limits = engine, limits
        self._stream: Stream | None = None
        self._lock = threading.Lock()

    def wear(self, photo: GarmentPhoto) -> None:
        """Put a garment on, also in the middle of a stream: the frames go on meanwhile.

        Raises:
            GarmentError: the photo shows no garment; what was worn stays.
        """
        self.garment = self._engine.garment(photo.picture)
        self.name = photo.name

    def add_garment(self, source: Source) -> GarmentPhoto:
        """Wear a garment of one's own and keep its photo.

        Raises:
            ImageError: it is not a usable picture.
            GarmentError: it shows no garment.
        """
        rgb, alpha = read_picture(source)
        side = self._limits.garment_side
        smaller = Picture(shrunk(rgb, side), None if alpha is None else shrunk(alpha, side))
        photo = garment_photo("Yours", smaller)
        self.wear(photo)
        self.own = [*self.own, photo][-self._limits.own_garments :]
        return photo

    def step(self, frame: Source) -> Step:
        """Dress the next camera picture.

        Raises:
            ImageError: it is not a usable picture.
        """
        started = time.perf_counter()
        rgb = shrunk(read_picture(frame, self._limits.frame).rgb, self._limits.frame_side)
        with self._lock:
            result = self._dressed(rgb)
            done = time.perf_counter()
            self.last = rgb if result is None else result.image
            self.meter.add(done, done - started)
        return Step(self.last, result, done - started)

    def _dressed(self, rgb: np.ndarray) -> TryOnResult | None:
        if self.garment is None:
            return None
        if self._stream is None:
            self._stream = self._engine.stream(self.garment)
        self._stream.garment = self.garment
        return self._stream(rgb)


class Sessions:
    """All visitors, by the random key that the page gives each of them."""

    def __init__(
        self,
        engine: TryOn,
        limits: SessionLimits = LIMITS,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Start without visitors; ``clock`` counts seconds."""
        self.engine, self.limits = engine, limits
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, Session]] = OrderedDict()  # oldest use first

    def get(self, key: str) -> Session:
        """The visitor's session, a new one where there is none or it has expired."""
        now = self._clock()
        with self._lock:
            self._expire(now)
            _, session = self._kept.pop(key, (now, None))
            session = session or Session(self.engine, self.limits)
            self._kept[key] = now, session
            while len(self._kept) > self.limits.sessions:
                self._kept.popitem(last=False)
        return session

    def drop(self, key: str) -> None:
        """Forget a visitor who left."""
        with self._lock:
            self._kept.pop(key, None)

    def expire(self) -> None:
        """Forget those who did nothing for long."""
        with self._lock:
            self._expire(self._clock())

    def __len__(self) -> int:
        return len(self._kept)

    def _expire(self, now: float) -> None:
        while self._kept and now - next(iter(self._kept.values()))[0] > self.limits.idle_s:
            self._kept.popitem(last=False)
