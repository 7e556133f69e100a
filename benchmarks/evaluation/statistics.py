"""Means with confidence intervals; what comes from one person is resampled together."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

ROUNDS = 1000
LEVEL = 0.95
_BLOCKS = 20


class Figure(NamedTuple):
    """A measured number."""

    value: float
    low: float  # of the 95% confidence interval
    high: float
    n: int  # samples
    groups: int  # persons among them


def bootstrap(values: Sequence[float], groups: Sequence[str], rounds: int = ROUNDS) -> Figure:
    """Mean with the percentile interval of a bootstrap over groups; NaN values do not count.

    Args:
        values: (n) one a sample.
        groups: (n) who it came from: samples of one person are not independent.
        rounds: resamplings.

    Raises:
        ValueError: nothing was measured.
    """
    numbers = np.asarray(values, np.float64)
    kept = ~np.isnan(numbers)
    if not kept.any():
        raise ValueError("no value to take a mean of")
    numbers, names = numbers[kept], np.asarray(groups)[kept]
    _, index = np.unique(names, return_inverse=True)
    sums, counts = np.bincount(index, numbers), np.bincount(index)
    rng = np.random.default_rng(0)
    picks = rng.integers(len(sums), size=(rounds, len(sums)))
    means = sums[picks].sum(1) / counts[picks].sum(1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Figure(float(numbers.mean()), float(low), float(high), len(numbers), len(sums))


def jackknife(
    features: np.ndarray, groups: Sequence[str], distance: Callable[[np.ndarray], float]
) -> Figure:
    """A distance of a feature set, with an interval from leaving out blocks of persons.

    A bootstrap would repeat samples, and repeated samples bias FID and KID upwards.

    Args:
        features: (n, ...).
        groups: (n) persons.
        distance: of a part of the features to the fixed reference set.
    """
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    people = int(index.max()) + 1
    blocks = min(_BLOCKS, people)
    value = distance(features)
    order = np.random.default_rng(0).permutation(people)[index] % blocks
    parts = np.array([distance(features[order != k]) for k in range(blocks)])
    error = np.sqrt((blocks - 1) / blocks * ((parts - parts.mean()) ** 2).sum())
    return Figure(value, value - 1.96 * error, value + 1.96 * error, len(features), people)
