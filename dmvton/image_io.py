"""Pictures in and out: whatever photo people have becomes RGB uint8, results are saved whole.

Reading is strict about what may cost memory or time (bytes, pixels and format are checked from
the header, before anything is decoded) and generous about what photos look like: EXIF
orientation, CMYK, 16 bits, palettes, greyscale and transparency are all brought to RGB.
"""

import os
import struct
import warnings
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image, ImageOps

from dmvton.errors import ImageError, OutputError
from dmvton.files import ELSEWHERE, beside, cannot_write, whole

Source: TypeAlias = str | os.PathLike | bytes | np.ndarray

# By content, never by file name. The MPO that many phones write is opened as a JPEG.
_READABLE = ("JPEG", "PNG", "WEBP")
_WRITABLE = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}

# What Pillow raises on damaged files, depending on where the damage lies.
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)


@dataclass(frozen=True)
class Limits:
    """What a picture may cost before it is refused."""

    max_bytes: int = 64 * 1024 * 1024
    """Largest file that is read."""
    max_pixels: int = 50_000_000
    """Largest width times height that is decoded."""
    max_side: int = 30_000
    """Longest side; OpenCV's remap cannot address sources beyond 32,767."""
    min_side: int = 16
    """Shortest side that can show anything."""


LIMITS = Limits()


class Picture(NamedTuple):
    """A decoded photo, upright."""

    rgb: np.ndarray  # (H, W, 3) uint8; transparent parts are white
    alpha: np.ndarray | None  # (H, W) uint8, 255 = opaque; None where all of it is opaque


def read_picture(source: Source, limits: Limits = LIMITS) -> Picture:
    """Read a photo from a path, from the bytes of a file, or from an array.

    Args:
        source: path or bytes of a JPEG, PNG or WebP file, or a uint8 array (H, W), (H, W, 3) RGB
            or (H, W, 4) RGBA. An array is not copied when it is usable as it is.
        limits: bounds, checked before anything is decoded.

    Returns:
        The upright picture, any size within the limits.

    Raises:
        ImageError: unreadable, of another format, damaged, empty or over the limits.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, limits)
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode(bytes(source), "the picture", limits)
    return _decode(_read_bytes(Path(source), limits), str(source), limits)


def _read_bytes(path: Path, limits: Limits) -> bytes:
    """The bytes of a regular file within the limits."""
    try:
        if not path.exists():
            raise ImageError(f"{path}: no such file; give the path of a JPEG, PNG or WebP photo")
        if not path.is_file():
            raise ImageError(f"{path}: is not a file; give the path of a JPEG, PNG or WebP photo")
        with path.open("rb") as file:
            # One byte more than allowed: enough to know, however large the file is.
            return file.read(limits.max_bytes + 1)
    except OSError as error:
        reason = error.strerror or error
        raise ImageError(f"{path}: cannot be read ({reason}); check its permissions") from error
    except ValueError as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{str(path)!r}: is not a usable path ({error})") from error


def _decode(data: bytes, name: str, limits: Limits) -> Picture:
    """Decode the bytes of a picture file; ``name`` is for the messages."""
    if not data:
        raise ImageError(f"{name}: is empty (0 bytes); expected a JPEG, PNG or WebP photo")
    if len(data) > limits.max_bytes:
        mebi = limits.max_bytes / 2**20
        raise ImageError(f"{name}: larger than {mebi:.0f} MiB; save it smaller and try again")
    with warnings.catch_warnings():
        # Pillow warns of large pictures, for which we have an error, and of odd metadata.
        warnings.simplefilter("ignore")
        return _decode_checked(data, name, limits)


def _decode_checked(data: bytes, name: str, limits: Limits) -> Picture:
    try:
        image = Image.open(BytesIO(data), formats=_READABLE)
    except Image.DecompressionBombError as error:
        raise _too_large(name, "far too many", limits) from error
    except _DECODE_ERRORS as error:
        raise ImageError(
            f"{name}: not a JPEG, PNG or WebP picture; convert it to one of these "
            "(the content counts, not the file name)"
        ) from error
    with image:
        _check_size(image.width, image.height, name, limits)
        try:
            return _to_picture(_upright(image))
        except _DECODE_ERRORS as error:
            raise ImageError(
                f"{name}: damaged or cut short ({error}); export or download it again"
            ) from error


def _too_large(name: str, got: str, limits: Limits) -> ImageError:
    mega = limits.max_pixels / 1e6
    return ImageError(f"{name}: {got} pixels, at most {mega:.0f} million are read; scale it down")


def _check_size(width: int, height: int, name: str, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        raise _too_large(name, f"{width}x{height}", limits)
    if max(width, height) > limits.max_side:
        raise ImageError(
            f"{name}: {width}x{height} pixels, at most {limits.max_side} a side; crop it"
        )
    if min(width, height) < limits.min_side:
        raise ImageError(
            f"{name}: {width}x{height} pixels, expected at least {limits.min_side} a side; "
            "use a larger picture"
        )


def _upright(image: Image.Image) -> Image.Image:
    """Decode the first frame and turn it as its EXIF orientation says."""
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except _DECODE_ERRORS:
        # The pixels are sound (they were just decoded) and the EXIF block is not: then there is
        # no orientation to follow, as in a photo without EXIF.
        return image


def _to_picture(image: Image.Image) -> Picture:
    """Bring any Pillow mode to RGB uint8, over white, keeping the alpha."""
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's convert() would clip it to white
        grey = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
    if not image.has_transparency_data:
        return Picture(np.array(image.convert("RGB")), None)
    rgba = image.convert("RGBA")
    alpha = rgba.getchannel("A")
    white = Image.new("RGB", rgba.size, (255, 255, 255))
    white.paste(rgba, mask=alpha)
    opacity = np.array(alpha)
    return Picture(np.array(white), None if opacity.min() == 255 else opacity)


def _from_array(array: np.ndarray, limits: Limits) -> Picture:
    """Check an array given by a caller; RGBA and grey arrays are converted."""
    grey, colour = array.ndim == 2, array.ndim == 3 and array.shape[2] in (3, 4)
    if array.dtype != np.uint8 or not (grey or colour):
        raise ImageError(
            f"got an array of shape {array.shape} and type {array.dtype}; expected RGB uint8 of "
            "shape (H, W, 3), also (H, W, 4) or (H, W); values 0 to 255"
        )
    _check_size(array.shape[1], array.shape[0], "the array", limits)
    if colour and array.shape[2] == 3:
        return Picture(np.ascontiguousarray(array), None)
    return _to_picture(Image.fromarray(np.ascontiguousarray(array)))


def check_writable(path: str | os.PathLike) -> Path:
    """Make sure that a picture can be saved at ``path``, before the work is done.

    Returns:
        The path itself.

    Raises:
        OutputError: unknown ending, missing or read-only folder, or not a file.
    """
    target = Path(path)
    if target.suffix.lower() not in _WRITABLE:
        raise OutputError(f"{target}: ending not known; use .png, .jpg or .webp")
    try:
        if target.exists() and not target.is_file():
            raise OutputError(f"{target}: exists and is not a file; give another name")
        if not target.parent.is_dir():
            raise OutputError(f"{target}: folder {target.parent} does not exist; create it first")
        probe = beside(target)
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise cannot_write(target, error, ELSEWHERE) from error
    return target


def save_image(path: str | os.PathLike, rgb: np.ndarray, quality: int = 95) -> Path:
    """Save a picture so that ``path`` holds either all of it or what it held before.

    Args:
        path: .png, .jpg, .jpeg or .webp in a folder that exists.
        rgb: (H, W, 3) or (H, W) uint8.
        quality: JPEG and WebP quality, 1 to 100.

    Raises:
        OutputError: it cannot be written; nothing half-written is left.
    """
    target = check_writable(path)
    options = {"quality": quality}
    if target.suffix.lower() in (".jpg", ".jpeg"):
        options["subsampling"] = 0  # prints keep their colour edges
    try:
        with whole(target) as partial, partial.open("xb") as file:
            Image.fromarray(rgb).save(file, _WRITABLE[target.suffix.lower()], **options)
    except OutputError:
        raise
    except ValueError as error:
        raise cannot_write(target, error, ELSEWHERE) from error
    return target
