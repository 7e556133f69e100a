"""The engine: one network, a few workers, many streams and photos.

Every method returns at once; what it returns is a future, so that a door to it may be a thread, an
event loop or a test.
"""

import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

from app.engine.codec import Encoding, decode, encode
from app.engine.garments import GarmentStore, garment_id
from app.engine.limits import LIMITS, EngineLimits
from app.engine.live import Glance, Live
from app.engine.load import Load
from app.engine.pool import Pool
from app.engine.registry import Registry
from app.layers import DRESSED, view_picture
from dmvton.errors import DmvtonError
from dmvton.garment import Garment
from dmvton.garment import encode as encode_garment
from dmvton.sessions import available_cores
from dmvton.tryon import TryOn, TryOnResult

Observer = Callable[[str, float], None]


class Seen(NamedTuple):
    """A frame of a stream that was looked at; ``Engine.draw`` makes its picture."""

    glance: Glance
    arrived: float  # when its bytes came, on the monotonic clock
    wait_s: float  # for a worker


class Framed(NamedTuple):
    """A frame of a stream, done."""

    data: bytes
    width: int
    height: int
    person: bool  # whether somebody was in view; if not, the picture is the frame as it came
    age_s: float  # from the arrival of its bytes to now
    stages_s: dict[str, float]  # wait, decode, network, draw, encode


class Dressed(NamedTuple):
    """A photo, done."""

    data: bytes
    width: int
    height: int
    result: TryOnResult
    stages_s: dict[str, float]  # decode, network (with the search for the person), encode


class Stream:
    """A client's place in the engine: its state and its turn."""

    def __init__(self, live: Live, pool: Pool):
        """Two queues of one: the next frame is looked at while the last one is drawn."""
        self.key = secrets.token_urlsafe(16)
        self.live = live
        self.looks = pool.lane(depth=1, latest_wins=True)
        self.draws = pool.lane(depth=1)


class ExpiredError(DmvtonError):
    """The stream was not used for long, and is forgotten."""


class Engine:
    """What every door calls. Thread-safe."""

    def __init__(
        self,
        tryon: TryOn,
        limits: EngineLimits = LIMITS,
        workers: int | None = None,
        observe: Observer = lambda stage, seconds: None,
    ):
        """Start the workers.

        Args:
            tryon: the network; one thread each (``TryOn.load(threads=1)``) serves many streams
                best.
            limits: what clients may cost.
            workers: threads; None is the cores that this process may use.
            observe: told the name and seconds of every stage of the work.
        """
        self.tryon, self.limits = tryon, limits
        self.garments = GarmentStore(limits.garments)
        self.pool = Pool(workers or available_cores(), lambda seconds: observe("wait", seconds))
        self.streams: Registry[Stream] = Registry(limits.streams, limits.idle_s)
        self._observe = observe
        self._load = Load(limits, self.pool.state().workers)
        # A large photo takes seconds: one worker is left to the streams.
        photos = max(1, self.pool.state().workers - 1)
        self._photos = self.pool.lane(limits.photos_waiting, photos, wait_s=limits.wait_s)

    def open(self) -> Stream:
        """Start a stream.

        Raises:
            BusyError: all places are taken, or those who are here get slow already.
        """
        self._load.admit(len(self.streams))
        stream = Stream(Live(self.tryon, self.limits), self.pool)
        self.streams.add(stream.key, stream)
        return stream

    def close(self, stream: Stream) -> None:
        """End a stream and forget it."""
        self.streams.drop(stream.key)

    def look(self, stream: Stream, frame: bytes, arrived: float | None = None) -> "Future[Seen]":
        """Look at the next frame of a stream.

        A frame that still waits when the next one comes is given up: its future has
        ``SupersededError``.

        Args:
            stream: from ``open``; what it wears is ``stream.live.garment``.
            frame: a JPEG, PNG or WebP file.
            arrived: when its bytes came, on the monotonic clock; now by default.

        Returns:
            To be given to ``draw``, or the ``ImageError`` of a frame that cannot be used.

        Raises:
            ExpiredError: nothing happened in the stream for long.
        """
        if not self.streams.touch(stream.key):
            raise ExpiredError("the stream was idle for too long and is closed; start a new one")
        came = time.monotonic() if arrived is None else arrived
        queued = time.monotonic()

        def work() -> Seen:
            waited = time.monotonic() - queued
            glance = stream.live.look(frame)
            self._observe("decode", glance.decode_s)
            self._observe("network", glance.network_s)
            return Seen(glance, came, waited)

        return self.pool.submit(stream.looks, work)

    def draw(
        self, stream: Stream, seen: Seen, encoding: Encoding, view: str = DRESSED
    ) -> "Future[Framed]":
        """Make the picture of a frame that was looked at; in the order of the frames.

        Args:
            stream: from ``open``.
            seen: from ``look``.
            encoding: how the picture is written.
            view: of ``app.layers.VIEWS``; layers have the size of the network's crop. Where nobody
                is in view, the picture is the frame as it came.
        """

        def work() -> Framed:
            started = time.perf_counter()
            step = stream.live.draw(seen.glance)
            image = step.image if step.result is None else view_picture(step.result, view)
            drawn = time.perf_counter()
            data = encode(image, encoding)
            stages = {
                "wait": seen.wait_s,
                "decode": seen.glance.decode_s,
                "network": seen.glance.network_s,
                "draw": drawn - started,
                "encode": time.perf_counter() - drawn,
            }
            self._observe("draw", stages["draw"])
            self._observe("encode", stages["encode"])
            height, width = image.shape[:2]
            age = time.monotonic() - seen.arrived
            self._load.add(age)
            return Framed(data, width, height, step.result is not None, age, stages)

        return self.pool.submit(stream.draws, work)

    def garment(self, photo: bytes, owner: str = "") -> "Future[tuple[str, Garment]]":
        """Take in a garment photo.

        Returns:
            Its id, which is the same for the same photo of the same owner, and the garment; or the
            ``ImageError`` or ``GarmentError`` of a photo that cannot be used.

        Raises:
            BusyError: too much is waiting.
        """
        key = garment_id(photo, owner)

        def work() -> tuple[str, Garment]:
            if key in self.garments:
                return key, self.garments.get(key)
            started = time.perf_counter()
            picture = decode(photo, self.limits.photo, self.limits.garment_side)
            garment = encode_garment(self.tryon.network, picture)
            self.garments.put(key, garment)
            self._observe("garment", time.perf_counter() - started)
            return key, garment

        return self.pool.submit(self._photos, work)

    def photo(self, person: bytes, garment: Garment, encoding: Encoding) -> "Future[Dressed]":
        """Dress the person in a photo.

        Returns:
            The picture, or the ``ImageError`` or ``NoPersonError`` of a photo that cannot be used.

        Raises:
            BusyError: too much is waiting.
        """

        def work() -> Dressed:
            started = time.perf_counter()
            rgb = decode(person, self.limits.photo).rgb
            decoded = time.perf_counter()
            result = self.tryon(rgb, garment)
            dressed = time.perf_counter()
            data = encode(result.image, encoding)
            stages = {
                "decode": decoded - started,
                "photo": dressed - decoded,
                "encode": time.perf_counter() - dressed,
            }
            for stage, seconds in stages.items():
                self._observe(stage, seconds)
            height, width = rgb.shape[:2]
            return Dressed(data, width, height, result, stages)

        return self.pool.submit(self._photos, work)

    def shutdown(self) -> None:
        """Finish what was taken in and end the workers."""
        self.pool.close()
