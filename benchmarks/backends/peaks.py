"""What the machine can do at most: arithmetic, and moving bytes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

SIDE = 1024  # of the square matrices of the product
LADDER = tuple(2**power for power in range(15, 27))  # bytes copied: 32 KiB to 64 MiB
ROUNDS = 7


@dataclass(frozen=True)
class Peaks:
    """Measured ceilings at one number of threads."""

    threads: int
    gflops: float
    """10^9 operations a second of a float32 matrix product."""
    bandwidth: dict[int, float]
    """10^9 bytes a second, read and written, by the size of what is copied: caches count."""

    def seconds(self, operations: float, moved: float) -> float:
        """The least time for so many operations and bytes (the roofline)."""
        return max(operations / self.gflops, moved / self.at(moved)) / 1e9

    def at(self, moved: float) -> float:
        """Bandwidth for a working set of so many bytes, the next larger one measured."""
        fits = [size for size in self.bandwidth if 2 * size >= moved]
        return self.bandwidth[min(fits) if fits else max(self.bandwidth)]


def measure_peaks(threads: int, clock: Callable[[], float] = time.perf_counter) -> Peaks:
    """Best of some rounds each: noise only slows."""
    torch.set_num_threads(threads)
    a, b = torch.rand(2, SIDE, SIDE)
    gflops = 2 * SIDE**3 / best(lambda: torch.mm(a, b), clock) / 1e9
    found = {}
    for size in LADDER:
        source = torch.zeros(size // 4)
        target = torch.empty_like(source)
        repeats = max(1, 2**20 // size)  # a single small copy is too short for the clock

        def copies(source=source, target=target, repeats=repeats) -> None:
            for _ in range(repeats):
                target.copy_(source)

        found[size] = 2 * size * repeats / best(copies, clock) / 1e9
    return Peaks(threads, gflops, found)


def best(action: Callable[[], object], clock: Callable[[], float]) -> float:
    """Shortest of `ROUNDS` runs in seconds, after one that is not counted."""
    action()
    times: Sequence[float] = []
    for _ in range(ROUNDS):
        start = clock()
        action()
        times = [*times, clock() - start]
    return float(np.min(times))
