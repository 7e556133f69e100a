"""Samples for calibration and for the quality gate, from shards of `dmvton synth build`."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from dmvton.errors import DataError
from dmvton.runtime import to_tensor
from dmvton.shards import RawSample, ShardReader

CANVAS_CROP = (256, 192)  # (height, width) of the hips-up crop in the middle of a stored canvas
_POSE_ONLY = ("K", "N")  # kinds of samples that have no garment
_FILL = 0.88  # share of the picture's tighter side that the runtime lets a garment fill


class Sample(NamedTuple):
    """What the network sees of a person and a garment, and what should come of it."""

    person: np.ndarray  # (1, 3, h, w) float32 in [0, 1]
    garment: np.ndarray  # (1, 3, h, w) float32 in [0, 1]
    target: np.ndarray  # (1, 3, h, w) float32 in [0, 1]
    region: np.ndarray  # (h, w) bool, old or new garment


def read_samples(shards: Path, size: tuple[int, int], count: int) -> list[Sample]:
    """Try-on samples spread evenly over the shards.

    Args:
        shards: folder with shard-*.tar.
        size: (height, width) of the network.
        count: how many at most.

    Raises:
        DataError: there are no shards, or no try-on sample in them.
    """
    reader = ShardReader(shards)
    found = list(_tryon(reader, size, max(1, len(reader) // max(1, count))))[:count]
    if not found:
        raise DataError(
            f"{shards}: no try-on sample among {len(reader)}, expected at least one to calibrate "
            "with; build shards with `dmvton synth build`, at a --framing below 1"
        )
    return found


def _tryon(reader: ShardReader, size: tuple[int, int], stride: int) -> Iterator[Sample]:
    """Every stride-th sample first, then the others."""
    order = sorted(range(len(reader)), key=lambda i: (i % stride, i))
    for at, index in enumerate(order):
        raw = reader[index]
        if raw.kind not in _POSE_ONLY and (raw.garment_mask > 127).any():
            yield framed(raw, size, white=at % 2 == 0)


def framed(raw: RawSample, size: tuple[int, int], white: bool) -> Sample:
    """The hips-up crop and the garment as the runtime frames them.

    Args:
        raw: a stored sample.
        size: (height, width).
        white: whether the garment lies on white or on its photo's own background.
    """
    region = np.maximum(_crop(raw.person_mask, size), _crop(raw.target_mask, size)) > 127
    pictures = (_crop(raw.person, size), _garment(raw, size, white), _crop(raw.target, size))
    return Sample(*(to_tensor(picture) for picture in pictures), region)


def _crop(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    top, left = ((a - b) // 2 for a, b in zip(image.shape, CANVAS_CROP, strict=False))
    cut = image[top : top + CANVAS_CROP[0], left : left + CANVAS_CROP[1]]
    return cut if size == CANVAS_CROP else cv2.resize(cut, size[::-1], interpolation=cv2.INTER_AREA)


def _garment(raw: RawSample, size: tuple[int, int], white: bool) -> np.ndarray:
    x, y, w, h = cv2.boundingRect((raw.garment_mask > 127).astype(np.uint8))
    zoom = _FILL * min(size[1] / w, size[0] / h)
    shift = np.array([size[1], size[0]]) / 2 - zoom * np.array([x + w / 2, y + h / 2])
    matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
    warp = dict(dsize=size[::-1], flags=cv2.INTER_LINEAR)
    image = cv2.warpAffine(raw.garment, matrix, **warp, borderMode=cv2.BORDER_REPLICATE)
    if not white:
        return image
    mask = cv2.warpAffine(raw.garment_mask, matrix, **warp)[..., None] / 255
    return np.rint(image * mask + 255 * (1 - mask)).astype(np.uint8)
