"""Garments that clients sent, kept by the hash of their photo: bounded, the least used go first."""

import hashlib
import threading
from collections import OrderedDict

from dmvton.errors import DmvtonError
from dmvton.garment import Garment


class UnknownGarmentError(DmvtonError):
    """No garment of this id is kept: it was never sent, or it had to make room."""


def garment_id(data: bytes, owner: str = "") -> str:
    """The id of a garment photo: equal for equal bytes of one owner, and not to be guessed."""
    digest = hashlib.blake2b(
        data, digest_size=16, key=owner.encode()[:64], person=b"dmvton-garment"
    )
    return f"g-{digest.hexdigest()}"


class GarmentStore:
    """Encoded garments by id."""

    def __init__(self, limit: int):
        """Keep at most ``limit``."""
        self._limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Garment] = OrderedDict()

    def get(self, key: str) -> Garment:
        """The garment of an id.

        Raises:
            UnknownGarmentError: it is not kept.
        """
        with self._lock:
            if key not in self._kept:
                raise UnknownGarmentError(
                    f"garment {key!r:.60} is not kept here; send its photo (again)"
                )
            self._kept.move_to_end(key)
            return self._kept[key]

    def put(self, key: str, garment: Garment) -> None:
        """Keep a garment."""
        with self._lock:
            self._kept[key] = garment
            self._kept.move_to_end(key)
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return key in self._kept

    def __len__(self) -> int:
        return len(self._kept)
