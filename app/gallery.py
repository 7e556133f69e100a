"""The garments that the demo offers: drawn pictures that come with the package."""

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


def offered_garments(folder: Path = STATIC / "garments") -> list[GarmentPhoto]:
    """All garments of a folder, by name; the striped one, which the README shows, first."""
    paths = sorted(folder.glob("*.jpg"), key=lambda path: (path.stem != "striped", path.stem))
    return [garment_photo(path.stem.capitalize(), read_picture(path)) for path in paths]


def garment_photo(name: str, picture: Picture) -> GarmentPhoto:
    """A photo with its thumbnail."""
    return GarmentPhoto(name, picture, shrunk(picture.rgb, _THUMBNAIL_SIDE))
