"""Encoded pictures in and out: bounded, one frame, upright, and nothing in the result but pixels.

What comes in is decoded by ``dmvton.image_io``; what goes out is made from the pixels, so that
EXIF, GPS and thumbnails of the input cannot travel on.
"""

from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from PIL import Image, PngImagePlugin

from dmvton.errors import UsageError
from dmvton.image_io import Limits, Picture, read_picture

MEDIA_TYPES = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
LABEL = "virtual"

# The IPTC term for pictures that are in part made by a trained model.
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_XMP = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/">\
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" \
xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" \
Iptc4xmpExt:DigitalSourceType="{_SOURCE_TYPE}"/></rdf:RDF></x:xmpmeta>""".encode()


@dataclass(frozen=True)
class Encoding:
    """How a result is written."""

    format: str = "jpeg"
    """jpeg, png or webp."""
    quality: int = 92
    """Of JPEG and WebP, 1 to 100."""
    label: bool = False
    """Write the word "virtual" into the picture."""
    provenance: bool = True
    """Say in the metadata that a model made part of the picture."""

    def __post_init__(self) -> None:
        if self.format not in MEDIA_TYPES:
            raise UsageError(f"got format {self.format!r:.40}; use one of {', '.join(MEDIA_TYPES)}")
        if not 1 <= self.quality <= 100:
            raise UsageError(f"got quality {self.quality}; use 1 to 100")


def decode(data: bytes, limits: Limits, side: int | None = None) -> Picture:
    """Decode the first frame of a JPEG, PNG or WebP file.

    Args:
        data: the file.
        limits: bounds, checked before anything is decoded.
        side: a larger picture is shrunk to this.

    Raises:
        ImageError: not such a picture, damaged, or over the limits.
    """
    rgb, alpha = read_picture(data, limits)
    if side is None:
        return Picture(rgb, alpha)
    return Picture(shrunk(rgb, side), None if alpha is None else shrunk(alpha, side))


def shrunk(image: np.ndarray, side: int) -> np.ndarray:
    """The picture itself, or a smaller copy: (H, W[, C]) uint8 to at most ``side`` a side."""
    height, width = image.shape[:2]
    if max(height, width) <= side:
        return image
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def encode(rgb: np.ndarray, encoding: Encoding) -> bytes:
    """Encode (H, W, 3) uint8 RGB."""
    if encoding.label:
        rgb = labelled(rgb)
    file = BytesIO()
    Image.fromarray(rgb).save(file, encoding.format.upper(), **_options(encoding))
    return file.getvalue()


def _options(encoding: Encoding) -> dict[str, object]:
    """Pillow's options; speed over size, as a stream has milliseconds for a frame."""
    xmp = {"xmp": _XMP} if encoding.provenance else {}
    if encoding.format == "jpeg":
        chroma = 0 if encoding.quality >= 90 else 2  # 4:4:4 keeps the colour edges of prints
        return {"quality": encoding.quality, "subsampling": chroma, **xmp}
    if encoding.format == "webp":
        return {"quality": encoding.quality, "method": 0, **xmp}
    info = PngImagePlugin.PngInfo()
    if encoding.provenance:
        info.add_itxt("XML:com.adobe.xmp", _XMP.decode())
    return {"compress_level": 1, "pnginfo": info}


def labelled(rgb: np.ndarray) -> np.ndarray:
    """A copy with the word "virtual" in the lower left corner, legible on any ground."""
    out = rgb.copy()
    scale = max(0.4, min(rgb.shape[:2]) / 600)
    at = (round(10 * scale), rgb.shape[0] - round(12 * scale))
    for colour, width in (((0, 0, 0), 5), ((255, 255, 255), 2)):
        thickness = max(1, round(width * scale))
        cv2.putText(out, LABEL, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA)
    return out
