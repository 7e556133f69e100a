"""What the demo remembers of each visitor, and for how long: bounded in number, size and time."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from app.engine.codec import shrunk
from app.engine.limits import EngineLimits
from app.engine.live import Live
from app.engine.registry import Registry
from app.gallery import GarmentPhoto, garment_photo
from dmvton.image_io import Limits, Picture, Source, read_picture
from dmvton.tryon import TryOn


@dataclass(frozen=True)
class SessionLimits(EngineLimits):
    """What visitors may cost: by default at most about 32 MB each, and 16 of them."""

    frame: Limits = Limits(max_bytes=8 * 2**20, max_pixels=10_000_000)
    """Camera pictures beyond this are refused."""
    own_garments: int = 3
    """Most garment photos of a visitor's own; the oldest goes first."""


LIMITS = SessionLimits()


class Session(Live):
    """One visitor: a stream of the engine, and garments of their own."""

    def __init__(self, engine: TryOn, limits: SessionLimits = LIMITS):
        """Start with nothing worn."""
        super().__init__(engine, limits)
        self.own: list[GarmentPhoto] = []
        self.name = ""
        self._side, self._most = limits.garment_side, limits.own_garments

    def wear(self, photo: GarmentPhoto) -> None:
        """Put a garment on, also in the middle of a stream: the frames go on meanwhile.

        Raises:
            GarmentError: the photo shows no garment; what was worn stays.
        """
        self.garment = self._tryon.garment(photo.picture)
        self.name = photo.name

    def add_garment(self, source: Source) -> GarmentPhoto:
        """Wear a garment of one's own and keep its photo.

        Raises:
            ImageError: it is not a usable picture.
            GarmentError: it shows no garment.
        """
        rgb, alpha = read_picture(source)
        smaller = Picture(
            shrunk(rgb, self._side), None if alpha is None else shrunk(alpha, self._side)
        )
        photo = garment_photo("Yours", smaller)
        self.wear(photo)
        self.own = [*self.own, photo][-self._most :]
        return photo


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
        self._kept: Registry[Session] = Registry(limits.streams, limits.idle_s, clock)
        self.drop, self.expire = self._kept.drop, self._kept.expire

    def get(self, key: str) -> Session:
        """The visitor's session, a new one where there is none or it has expired."""
        return self._kept.get(key, lambda: Session(self.engine, self.limits))

    def __len__(self) -> int:
        return len(self._kept)
