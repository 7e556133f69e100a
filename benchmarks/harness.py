"""Times contenders side by side: each is checked first, then they take turns.

A machine's speed drifts (frequency, neighbours). Taking turns lets the drift fall on all contenders
alike, so that the ratios between them hold even where the milliseconds do not. Each runs once
untimed before each timed run: a frame of a stream follows one of its own network, not one that has
filled the caches with another's weights.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from dmvton.errors import DmvtonError


class Unavailable(DmvtonError):
    """A contender cannot run here; the message says what is missing and how to get it."""


class CheckFailed(DmvtonError):
    """A contender gives a wrong result, so that its time means nothing."""


class Contender(Protocol):
    """Something to be timed."""

    name: str
    """Short name, as given to `--only` and `--baseline`."""
    device: str
    """What it runs on, for the report."""
    resolution: str
    """Size of its pictures, height x width."""
    batch: int
    """Pictures a run."""

    def prepare(self, threads: int) -> None:
        """Loads what `run` needs for this many threads; may be called again with others.

        Raises:
            Unavailable: Something is missing on this installation.
            CheckFailed: Its inputs are refused.
        """

    def run(self) -> object:
        """One frame: the work that is timed."""

    def check(self) -> None:
        """Runs once and compares the result with an independent one.

        Raises:
            CheckFailed: The result is wrong.
        """


@dataclass(frozen=True)
class Plan:
    """How long to measure."""

    rounds: int = 30
    """Timed runs of each contender."""
    warmup: int = 3
    """Runs of each contender before, not timed."""


@dataclass(frozen=True)
class Timing:
    """Times of one contender at one number of threads."""

    name: str
    threads: int
    device: str
    resolution: str
    batch: int
    seconds: tuple[float, ...] = field(repr=False)
    """Every timed run, in order."""

    @property
    def median(self) -> float:
        """Median in seconds."""
        return float(np.median(self.seconds))

    @property
    def p95(self) -> float:
        """95th percentile in seconds, interpolated."""
        return float(np.percentile(self.seconds, 95))

    def report(self) -> dict[str, object]:
        """For JSON."""
        return {
            "name": self.name,
            "threads": self.threads,
            "device": self.device,
            "resolution": self.resolution,
            "batch": self.batch,
            "median_ms": self.median * 1e3,
            "p95_ms": self.p95 * 1e3,
            "runs_ms": [s * 1e3 for s in self.seconds],
        }


def ready(
    contenders: Iterable[Contender], threads: int, say: Callable[[str], None]
) -> list[Contender]:
    """Prepares and checks contenders, leaving out (with a word) those that cannot run here.

    Raises:
        CheckFailed: A contender's result is wrong: nothing is timed then.
    """
    able = []
    for contender in contenders:
        try:
            contender.prepare(threads)
            contender.check()
        except Unavailable as missing:
            say(f"{contender.name}: skipped: {missing}")
            continue
        except CheckFailed as wrong:
            message = f"{contender.name}: not timed, its result is wrong: {wrong}"
            raise CheckFailed(message) from wrong
        able.append(contender)
    return able


def measure(
    contenders: Sequence[Contender],
    threads: int,
    plan: Plan,
    *,
    clock: Callable[[], float] = time.perf_counter,
    tick: Callable[[], None] = lambda: None,
) -> list[Timing]:
    """Runs prepared contenders in turn.

    Args:
        contenders: As `ready` gives them.
        threads: What they were prepared for, for the record.
        plan: Warm-up and rounds.
        clock: Gives seconds.
        tick: Called after every turn, for a progress bar.

    Returns:
        One timing for each contender, in their order.
    """
    seconds: list[list[float]] = [[] for _ in contenders]
    for turn in range(plan.warmup + plan.rounds):
        for contender, times in zip(contenders, seconds, strict=True):
            contender.run()
            start = clock()
            contender.run()
            if turn >= plan.warmup:
                times.append(clock() - start)
            tick()
    return [
        Timing(c.name, threads, c.device, c.resolution, c.batch, tuple(times))
        for c, times in zip(contenders, seconds, strict=True)
    ]
