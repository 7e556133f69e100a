"""Two runners of one pair side by side, compared by polygraphy."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from polygraphy.comparator import Comparator, IterationResult, RunResults, SimpleCompareFunc
from polygraphy.logger import G_LOGGER

from dmvton.runtime import GarmentFeatures, Layers
from export.calibration import Sample


class PairRunner(Protocol):
    """`dmvton.runtime.NetworkPair`, or `export.trt.runner.EnginePair`."""

    name: str

    def encode_garment(self, garment: np.ndarray) -> dict[str, np.ndarray]:
        """Mask and features by name."""
        ...

    def run(self, person: np.ndarray, garment: np.ndarray, features: GarmentFeatures) -> Layers:
        """Answers for one crop."""
        ...


class Verdict(NamedTuple):
    """What polygraphy says of two runners."""

    passed: bool
    largest: dict[str, float]  # largest absolute difference, by output
    mean: dict[str, float]  # the largest mean absolute difference, by output


def compare(
    reference: PairRunner, other: PairRunner, samples: Sequence[Sample], mean: float = 2e-3
) -> Verdict:
    """Runs both on the same samples.

    Args:
        reference: what is right.
        other: what is judged.
        samples: people and garments.
        mean: largest mean absolute difference of an output; single pixels on a steep edge may
            be well off.
    """
    results = RunResults([
        (label, [_iteration(runner, label, s) for s in samples])
        for label, runner in (("reference", reference), ("other", other))
    ])  # fmt: skip
    G_LOGGER.module_severity = G_LOGGER.CRITICAL  # the verdict says it
    judge = SimpleCompareFunc(check_error_stat="mean", atol=mean, rtol=0)
    found = Comparator.compare_accuracy(results, compare_func=judge)
    (result,) = found
    rounds = result["reference", "other"]
    names = list(rounds[0])
    return Verdict(
        bool(result),
        {n: float(max(r[n].max_absdiff for r in rounds)) for n in names},
        {n: float(max(r[n].mean_absdiff for r in rounds)) for n in names},
    )


def _iteration(runner: PairRunner, label: str, sample: Sample) -> IterationResult:
    layers = runner.run(sample.person, sample.garment, runner.encode_garment(sample.garment))
    outputs = {name: np.atleast_1d(np.asarray(v)) for name, v in layers._asdict().items()}
    return IterationResult(outputs=outputs, runner_name=label)
