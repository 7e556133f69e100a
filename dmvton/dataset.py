"""Map-style dataset over shards: index and epoch decide the sample's random view."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from dmvton.augment import Augment, AugmentConfig
from dmvton.batch import Batch
from dmvton.shards import ShardReader


def to_batch(arrays: dict[str, np.ndarray]) -> Batch:
    """Channels-last arrays of `Augment` -> tensors of one sample."""
    out = {}
    for name in Batch._fields:
        value = np.ascontiguousarray(arrays[name])
        if value.ndim == 3:
            value = np.ascontiguousarray(value.transpose(2, 0, 1))
        out[name] = torch.from_numpy(value)
        if out[name].is_floating_point():
            out[name] = out[name].float()
    return Batch(**out)


class TryOnDataset(Dataset):
    """Samples of one or more shard folders under random views, reproducible from a seed."""

    def __init__(
        self, roots: list[Path], size: tuple[int, int], augment: AugmentConfig | None = None,
        seed: int = 0, limit: int | None = None, without: Sequence[str] = (),
    ):  # fmt: skip
        """Indexes the shards; `limit` keeps the first samples of each folder only.

        `without` names products to leave out: "C" means "C-real" too.
        """
        readers = [ShardReader(Path(r), size[0]) for r in roots]
        self.items = [
            (r, i) for r in readers for i in range(len(r))[:limit]
            if not without or r.kind(i).split("-")[0] not in without
        ]  # fmt: skip
        self.augment = Augment(size, augment)
        self.seed = seed

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, item: tuple[int, int] | int) -> Batch:
        """`(index, view)`: the same pair always gives the same tensors."""
        index, view = item if isinstance(item, tuple) else (item, 0)
        cv2.setNumThreads(1)  # the training loop owns the cores
        reader, i = self.items[index]
        rng = np.random.default_rng([self.seed, index, view])
        return to_batch(self.augment(reader[i], rng))


class ViewSampler:
    """Batches of (index, view) pairs: a fresh permutation each epoch, resumable at any step.

    Of `parts` processes, each gets its `part` of every batch.
    """

    def __init__(
        self, length: int, batch_size: int, seed: int, start_step: int = 0, part: int = 0,
        parts: int = 1,
    ):  # fmt: skip
        if length < batch_size:
            raise ValueError(
                f"{length} samples can't fill a batch of {batch_size}; lower batch_size"
            )
        self.length, self.batch_size, self.seed, self.step = length, batch_size, seed, start_step
        share = batch_size // parts
        self.mine = slice(part * share, (part + 1) * share)

    def __iter__(self):
        per_epoch = self.length // self.batch_size
        while True:
            epoch, at = divmod(self.step, per_epoch)
            order = np.random.default_rng([self.seed, epoch]).permutation(self.length)
            for k in range(at, per_epoch):
                picks = order[k * self.batch_size : (k + 1) * self.batch_size]
                yield [(int(i), epoch) for i in picks[self.mine]]
            self.step = (epoch + 1) * per_epoch
