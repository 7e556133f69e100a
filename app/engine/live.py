"""One client's stream: a frame goes in, a dressed frame comes out. Knows nothing of networks."""

import statistics
import threading
import time
from collections import deque
from typing import NamedTuple

import numpy as np

from app.engine.codec import decode, shrunk
from app.engine.follow import Follower
from app.engine.limits import LIMITS, EngineLimits
from dmvton.garment import Garment
from dmvton.image_io import Source, read_picture
from dmvton.locate import View
from dmvton.tryon import TryOn, TryOnResult, dress


class Glance(NamedTuple):
    """A frame that the network has looked at, not yet drawn."""

    rgb: np.ndarray  # (H, W, 3) uint8
    view: View | None  # None where nobody is in view, or nothing is worn
    garment: Garment | None
    decode_s: float
    network_s: float


class Step(NamedTuple):
    """One frame, done."""

    image: np.ndarray  # (H, W, 3) uint8 RGB: dressed, or as it came where nobody is in view
    result: TryOnResult | None
    seconds: float  # of work, from its bytes to the dressed picture


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


class Live:
    """A stream: the garment worn, and where the person is.

    ``garment`` may be set at any time, also in the middle of the stream: its features were
    computed when it was made, so that the next frame simply wears it.
    """

    def __init__(self, tryon: TryOn, limits: EngineLimits = LIMITS):
        """Start with nothing worn."""
        self.meter = Meter()
        self.garment: Garment | None = None
        self.last: np.ndarray | None = None  # (H, W, 3) uint8, the last picture made
        self._tryon, self._limits = tryon, limits
        self._stream: Follower | None = None
        self._lock = threading.Lock()

    def step(self, frame: Source) -> Step:
        """Dress the next frame.

        Raises:
            ImageError: it is not a usable picture.
        """
        return self.draw(self.look(frame))

    def look(self, frame: Source) -> Glance:
        """Decode the next frame and find the person in it.

        Raises:
            ImageError: it is not a usable picture.
        """
        started = time.perf_counter()
        rgb = self._decoded(frame)
        decoded = time.perf_counter()
        with self._lock:
            garment, view = self.garment, None
            if garment is not None:
                if self._stream is None:
                    self._stream = Follower(self._tryon, garment)
                self._stream.garment = garment
                view = self._stream.look(rgb)
        return Glance(rgb, view, garment, decoded - started, time.perf_counter() - decoded)

    def draw(self, glance: Glance) -> Step:
        """Make the picture of a glance; glances are drawn in their order."""
        started = time.perf_counter()
        result = None
        if glance.view is not None and glance.garment is not None:
            result = dress(glance.rgb, glance.view, glance.garment)
        done = time.perf_counter()
        seconds = glance.decode_s + glance.network_s + done - started
        self.last = glance.rgb if result is None else result.image
        self.meter.add(done, seconds)
        return Step(self.last, result, seconds)

    def _decoded(self, frame: Source) -> np.ndarray:
        limits = self._limits
        if isinstance(frame, bytes):
            return decode(frame, limits.frame, limits.frame_side).rgb
        return shrunk(read_picture(frame, limits.frame).rgb, limits.frame_side)
