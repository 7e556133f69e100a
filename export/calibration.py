"""Samples for calibration and for the quality gate, from shards of `dmvton synth build`."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from dmvton import garment
from dmvton.crop import centre_crop, letterbox, sample
from dmvton.errors import DataError
from dmvton.runtime import to_tensor
from dmvton.shards import RawSample, ShardReader

_POSE_ONLY = ("K", "N")  # kinds of samples that have no garment


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
    """The hips-up crop, and the garment as `dmvton.garment.encode` hands it to the network.

    Args:
        raw: a stored sample.
        size: (height, width).
        white: whether the garment lies on white or on its photo's own background.
    """
    cut = partial(_crop, crop=raw.crop, size=size)
    region = np.maximum(cut(raw.person_mask), cut(raw.target_mask)) > 127
    photo = _on_white(raw) if white else raw.garment
    pictures = (cut(raw.person), _garment(photo, raw.garment_mask, size))
    return Sample(*(to_tensor(p) for p in (*pictures, cut(raw.target))), region)


def _crop(image: np.ndarray, crop: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """The middle of a stored canvas, `crop` high and wide, at `size`."""
    cut = centre_crop(image, crop)
    return cut if size == crop else cv2.resize(cut, size[::-1], interpolation=cv2.INTER_AREA)


def _on_white(raw: RawSample) -> np.ndarray:
    mask = raw.garment_mask[..., None] / 255
    return np.rint(raw.garment * mask + 255 * (1 - mask)).astype(np.uint8)


def _garment(photo: np.ndarray, mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture that the runtime makes of a photo whose garment it finds where the mask is."""
    box = letterbox(*photo.shape[:2], size)
    seen = sample(mask, box, size, np.zeros(1)) / np.float32(255)
    box = garment.framed(seen, box) or box
    return sample(photo, box, size, garment.border_colour(photo))
