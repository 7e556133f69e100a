"""The garments that the demo offers: drawn pictures that come with the package."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from app.engine.codec import shrunk
from dmvton.image_io import Picture, read_picture

STATIC = Path(__file__).parent / "static"
EXAMPLE_PERSON = STATIC / "person_astronaut.jpg"
_THUMBNAIL_SIDE = 320


class GarmentPhoto(NamedTuple):
    """A garment to choose."""

    name: str
    picture: Picture
    thumbnail: np.ndarray  # (h, w, 3) uint8 RGB, at most 320 a side
    digest: bytes  # of the pixels
    offered: bool  # to everybody; False for a visitor's own


def offered_garments(folder: Path = STATIC / "garments") -> list[GarmentPhoto]:
    """All garments of a folder, by name; the striped one, which the README shows, first."""
    paths = sorted(folder.glob("*.jpg"), key=lambda path: (path.stem != "striped", path.stem))
    return [garment_photo(path.stem.capitalize(), read_picture(path)) for path in paths]


def garment_photo(name: str, picture: Picture, offered: bool = True) -> GarmentPhoto:
    """A photo with its thumbnail."""
    digest = hashlib.blake2b(repr(picture.rgb.shape).encode() + picture.rgb.tobytes())
    if picture.alpha is not None:
        digest.update(picture.alpha.tobytes())
    thumbnail = shrunk(picture.rgb, _THUMBNAIL_SIDE)
    return GarmentPhoto(name, picture, thumbnail, digest.digest(), offered)
