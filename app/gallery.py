"""The garments that the demo offers: drawn pictures that come with the package."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

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


def shrunk(image: np.ndarray, side: int) -> np.ndarray:
    """The picture itself, or a smaller copy: (H, W[, C]) uint8 to at most ``side`` a side."""
    height, width = image.shape[:2]
    if max(height, width) <= side:
        return image
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
