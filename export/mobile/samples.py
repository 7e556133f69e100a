"""Pictures on which a conversion is compared with ONNX Runtime."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np


class Sample(NamedTuple):
    """A person and a garment."""

    person: np.ndarray  # (1, 3, H, W) float32 in [0, 1]
    garment: np.ndarray  # (1, 3, H, W) float32 in [0, 1]


def samples(size: tuple[int, int], count: int, data: Path | None = None) -> list[Sample]:
    """Pairs of pictures, the same at every call.

    Args:
        size: height and width.
        count: how many.
        data: folder of shards; None draws smooth random pictures instead.

    Raises:
        DataError: there are no shards in `data`.
    """
    return _drawn(size, count) if data is None else _from_shards(size, count, data)


def _drawn(size: tuple[int, int], count: int) -> list[Sample]:
    random = np.random.default_rng(0)
    height, width = size
    pictures = [
        cv2.resize(random.random((8, 6, 3), np.float32), (width, height)).clip(0, 1)
        for _ in range(2 * count)
    ]
    planes = [np.ascontiguousarray(p.transpose(2, 0, 1)[None]) for p in pictures]
    return [Sample(*planes[i : i + 2]) for i in range(0, 2 * count, 2)]


def _from_shards(size: tuple[int, int], count: int, data: Path) -> list[Sample]:
    """Samples spread evenly over the shards, each under one random view."""
    from dmvton.dataset import TryOnDataset

    dataset = TryOnDataset([data], size)
    picked = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int)
    batches = [dataset[int(index)] for index in picked]
    return [Sample(b.person[None].numpy(), b.garment[None].numpy()) for b in batches]
