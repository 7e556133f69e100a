"""What the demo remembers of each visitor, and for how long: bounded in number, size and time."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from app.engine import Engine
from app.engine.codec import shrunk
from app.engine.garments import garment_id
from app.engine.registry import Registry
from app.gallery import GarmentPhoto, garment_photo
from dmvton.errors import GarmentError
from dmvton.garment import Garment
from dmvton.image_io import Picture, Source, read_picture


@dataclass(frozen=True)
class SessionLimits:
    """What visitors may cost: by default at most 15 MB each, and 16 of them."""

    visitors: int = 16
    """Most visitors remembered; the one who did nothing for longest is forgotten first."""
    idle_s: float = 600.0
    """A visitor who did nothing for so many seconds is forgotten."""
    own_garments: int = 3
    """Most garment photos of a visitor's own; the oldest goes first."""


LIMITS = SessionLimits()


class Session:
    """One visitor: what is worn, and garment photos of their own."""

    def __init__(self, engine: Engine, limits: SessionLimits = LIMITS):
        """Start with nothing worn."""
        self.worn: GarmentPhoto | None = None
        self.own: list[GarmentPhoto] = []
        self._engine, self._limits = engine, limits
        self._secret = secrets.token_urlsafe(16)  # nobody else can guess the ids of own garments

    @property
    def name(self) -> str:
        """Of the garment that is worn, "" where none is."""
        return self.worn.name if self.worn else ""

    def wear(self, photo: GarmentPhoto) -> str:
        """Put a garment on; live streams wear it by the id that this returns.

        Raises:
            GarmentError: the photo shows no garment; what was worn stays.
        """
        key = self._id(photo)
        self._features(key, photo)
        self.worn = photo
        return key

    def garment(self) -> Garment:
        """What is worn, for a photo; its features are made again if they had to make room.

        Raises:
            GarmentError: nothing is worn.
        """
        if self.worn is None:
            raise GarmentError("nothing is worn; choose a garment")
        return self._features(self._id(self.worn), self.worn)

    def add_garment(self, source: Source) -> str:
        """Wear a garment of one's own and keep its photo; returns its id.

        Raises:
            ImageError: it is not a usable picture.
            GarmentError: it shows no garment.
        """
        side = self._engine.limits.garment_side
        rgb, alpha = read_picture(source, self._engine.limits.photo)
        smaller = Picture(shrunk(rgb, side), None if alpha is None else shrunk(alpha, side))
        photo = garment_photo("Yours", smaller, offered=False)
        key = self.wear(photo)
        self.own = [*self.own, photo][-self._limits.own_garments :]
        return key

    def _id(self, photo: GarmentPhoto) -> str:
        return garment_id(photo.digest, "" if photo.offered else self._secret)

    def _features(self, key: str, photo: GarmentPhoto) -> Garment:
        store = self._engine.garments
        if key in store:
            return store.get(key)
        garment = self._engine.tryon.garment(photo.picture)
        store.put(key, garment)
        return garment


class Sessions:
    """All visitors, by the random key that the page gives each of them."""

    def __init__(
        self,
        engine: Engine,
        limits: SessionLimits = LIMITS,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Start without visitors; ``clock`` counts seconds."""
        self.engine, self.limits = engine, limits
        self._kept: Registry[Session] = Registry(limits.visitors, limits.idle_s, clock)
        self.drop, self.expire = self._kept.drop, self._kept.expire

    def get(self, key: str) -> Session:
        """The visitor's session, a new one where there is none or it has expired."""
        return self._kept.get(key, lambda: Session(self.engine, self.limits))

    def __len__(self) -> int:
        return len(self._kept)
