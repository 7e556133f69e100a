"""One client's stream: a frame goes in, a dressed frame comes out. Knows nothing of networks."""

import threading
import time
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


class Live:
    """A stream: the garment worn, and where the person is.

    ``garment`` may be set at any time, also in the middle of the stream: its features were
    computed when it was made, so that the next frame simply wears it.
    """

    def __init__(self, tryon: TryOn, limits: EngineLimits = LIMITS):
        """Start with nothing worn."""
        self.garment: Garment | None = None
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
        result = None
        if glance.view is not None and glance.garment is not None:
            result = dress(glance.rgb, glance.view, glance.garment)
        return Step(glance.rgb if result is None else result.image, result)

    def _decoded(self, frame: Source) -> np.ndarray:
        limits = self._limits
        if isinstance(frame, bytes):
            return decode(frame, limits.frame, limits.frame_side).rgb
        return shrunk(read_picture(frame, limits.frame).rgb, limits.frame_side)
