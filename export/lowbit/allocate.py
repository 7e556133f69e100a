"""The best width for every layer under a limit of bytes: a knapsack with one choice a layer."""

from typing import NamedTuple

import numpy as np

from dmvton.errors import UsageError

STEPS = 40_000  # into which the limit is divided: sizes are rounded up by half a step on average


class Choice(NamedTuple):
    """One way of coding one layer."""

    size: int  # bytes
    cost: float  # damage done to the network's answer, additive over the layers


def allocate(layers: list[list[Choice]], limit: int) -> list[int]:
    """Choose for every layer so that the damage is least and the sizes fit.

    Exact dynamic programming over the layers: `least[s]` is the least damage of the layers so far
    that fits into `s` steps.

    Args:
        layers: the choices of each layer.
        limit: bytes that all chosen ones together may have.

    Returns:
        The index of the choice of each layer.

    Raises:
        UsageError: not even the smallest choices fit.
    """
    smallest = sum(min(choice.size for choice in choices) for choices in layers)
    if smallest > limit:
        raise UsageError(
            f"a budget that leaves {max(limit, 0)} bytes for the weights, expected at least "
            f"{smallest} for {len(layers)} layers; allow more"
        )
    step = max(1, limit // STEPS)
    least = np.zeros(limit // step + 1)
    taken = np.zeros((len(layers), len(least)), np.int16)
    for row, choices in zip(taken, layers, strict=True):
        least, row[:] = _with_layer(least, choices, step)
    if not np.isfinite(least[-1]):  # fits, but not once sizes are rounded up to whole steps
        return [min(range(len(c)), key=lambda i, c=c: c[i].size) for c in layers]
    return _walk_back(taken, layers, step)


def _with_layer(least: np.ndarray, choices: list[Choice], step: int):
    """The least damage with one more layer, and which choice gives it."""
    best = np.full(len(least), np.inf)
    which = np.zeros(len(least), np.int16)
    for index, choice in enumerate(choices):
        steps = -(-choice.size // step)
        if steps >= len(least):
            continue
        found = np.full(len(least), np.inf)
        found[steps:] = least[: len(least) - steps] + choice.cost
        better = found < best
        best[better], which[better] = found[better], index
    return best, which


def _walk_back(taken: np.ndarray, layers: list[list[Choice]], step: int) -> list[int]:
    """Read the choices off the table, last layer first."""
    at, chosen = taken.shape[1] - 1, []
    for row, choices in zip(taken[::-1], layers[::-1], strict=True):
        chosen.append(int(row[at]))
        at -= -(-choices[chosen[-1]].size // step)
    return chosen[::-1]
