"""Eight-bit pairs: which layers can bear it, which fall back, and what came of it.

calibrate ──> sensitivity of each layer alone ──> fall back, most sensitive first, until the gate
holds ──> graphs and a report
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from onnx import ModelProto
from onnxruntime.quantization.calibrate import TensorsData
from tqdm import tqdm

from dmvton.errors import CheckpointError, DataError
from export.calibration import Sample, read_samples
from export.float8 import to_fp8
from export.graph import heads, weighted_layers
from export.quality import Figures, Judge, Runner, picture
from export.quantise import calibrate, quantisable, to_int8

Kind = Literal["int8", "fp8"]
Models = dict[str, ModelProto]  # by file name
_PROBES = 4  # samples that a layer's sensitivity is measured on


class Key(NamedTuple):
    """A layer of one of the two graphs."""

    file: str
    layer: str


@dataclass(frozen=True)
class Gate:
    """How much worse than fp32 an eight-bit pair may be."""

    tolerance: float = 0.02
    """Of the LPIPS-style distance, of SSIM and of SSIM in the changed region, relative to fp32."""

    def holds(self, found: Figures, reference: Figures) -> bool:
        """Whether every figure is within the tolerance; not so where one is not a number."""
        worse, better = 1 + self.tolerance, 1 - self.tolerance
        return (
            found.distance <= reference.distance * worse
            and found.ssim >= reference.ssim * better
            and found.ssim_region >= reference.ssim_region * better
        )


@dataclass(frozen=True)
class Plan:
    """How an eight-bit pair is made."""

    kind: Kind = "int8"
    samples: int = 128
    """Half of them calibrate, the other half judge; with fewer than 64 judges, it is partly chance
    which layers fall back."""
    gate: Gate = Gate()
    ranked: bool = True
    """Whether the layers' sensitivity is measured even where all of them pass the gate."""


class EightBit(NamedTuple):
    """An eight-bit pair and what is known about it."""

    models: Models
    report: dict[str, Any]  # for JSON


class Quantiser:
    """The fp32 pair and its ranges, from which any choice of layers can be quantised."""

    def __init__(self, models: Models, samples: Sequence[Sample], kind: Kind):
        """Calibrates both graphs."""
        self.models, self.kind = models, kind
        self.runner = Runner(models)
        feeds = {
            "garment.onnx": [{"garment": s.garment} for s in samples],
            "frame.onnx": [self.runner.features(s) for s in samples],
        }
        self.ranges: dict[str, TensorsData] = {
            file: calibrate(model, feeds[file]) for file, model in models.items()
        }
        self.layers = [Key(f, n) for f, model in models.items() for n in quantisable(model)]

    def quantised(self, chosen: Sequence[Key]) -> Models:
        """The pair with these layers in eight bits; graphs without any are those of fp32."""
        out = {}
        for file, model in self.models.items():
            names = [key.layer for key in chosen if key.file == file]
            out[file] = model
            if names:
                small = to_int8(model, self.ranges[file], names)
                out[file] = to_fp8(small, model) if self.kind == "fp8" else small
        return out

    def sensitivity(self, probes: Sequence[Sample]) -> dict[Key, float]:
        """Root-mean-square change of the picture, in grey levels, with one layer in eight bits."""
        feeds = [self.runner.features(s) for s in probes]
        truth = [
            picture(s, self.runner.outputs(f)).numpy() for s, f in zip(probes, feeds, strict=True)
        ]
        found = {}
        for key in tqdm(self.layers, desc="sensitivity", unit="layer", leave=False):
            models = self.quantised([key])
            runner = Runner({key.file: models[key.file]})
            runner.sessions = {**self.runner.sessions, **runner.sessions}
            errors = []
            for sample, feed, wanted in zip(probes, feeds, truth, strict=True):
                given = runner.features(sample) if key.file == "garment.onnx" else feed
                image = picture(sample, runner.outputs(given)).numpy()
                errors.append(float(((image - wanted) ** 2).mean()))
            found[key] = 255 * float(np.sqrt(np.mean(errors)))
        return found


def make_eight_bit(models: Models, shards: Path, size: tuple[int, int], plan: Plan) -> EightBit:
    """Quantises as many layers of an fp32 pair as the gate allows.

    Args:
        models: fp32, static, by file name.
        shards: calibration samples.
        size: (height, width) of the graphs.
        plan: kind of numbers, number of samples, gate.

    Raises:
        DataError: fewer than two try-on samples in the shards.
        CheckpointError: the gate holds for no layer at all.
    """
    samples = read_samples(shards, size, plan.samples)
    if len(samples) < 2:
        raise DataError(f"{shards}: one try-on sample, expected two or more; build more")
    quantiser = Quantiser(models, samples[::2], plan.kind)
    judge = Judge(samples[1::2])
    reference, found = judge.figures(quantiser.runner), {}
    sensitivity: dict[Key, float] = {}
    order = list(quantiser.layers)

    def passes(dropped: int) -> bool:
        if dropped not in found:
            found[dropped] = judge.figures(Runner(quantiser.quantised(order[dropped:])))
        return plan.gate.holds(found[dropped], reference)

    if plan.ranked or not (order and passes(0)):
        sensitivity = quantiser.sensitivity(samples[1::2][:_PROBES])
        order.sort(key=lambda key: -sensitivity[key])
    dropped = fewest_dropped(passes, len(order))
    chosen = set(order[dropped:])
    report = {
        "kind": plan.kind,
        "samples": {"calibration": len(samples[::2]), "gate": len(samples[1::2])},
        "gate": asdict(plan.gate),
        "fp32": _rounded(reference),
        plan.kind: _rounded(found[dropped]),
        "layers": layer_table(models, sensitivity, chosen, plan.kind),
    }
    return EightBit(quantiser.quantised(order[dropped:]), report)


def fewest_dropped(passes: Callable[[int], bool], count: int) -> int:
    """How many layers must fall back for the gate to hold, by bisection.

    Args:
        passes: whether it holds with so many of the most sensitive layers left in float.
        count: of layers.

    Raises:
        CheckpointError: it holds with no layer in eight bits.
    """
    if count and passes(0):
        return 0
    low, high = 0, count  # fails with `low`; holds with `high`, at the latest when all are float
    while high - low > 1:
        middle = (low + high) // 2
        if passes(middle):
            high = middle
        else:
            low = middle
    if high == count:
        raise CheckpointError(
            f"the quality gate holds with none of {count} layers in eight bits; nothing was "
            "written. Calibrate on more samples, widen --tolerance, or stay with fp16"
        )
    return high


def layer_table(
    models: Models, sensitivity: Mapping[Key, float], chosen: set[Key], kind: Kind
) -> list[dict[str, Any]]:
    """What every layer with weights runs in, and why."""
    rows = []
    for file, model in models.items():
        kept = heads(model)
        for layer in weighted_layers(model):
            key = Key(file, layer.name)
            row = {"graph": Path(file).stem, "layer": layer.name, "op": layer.op}
            row |= {"weight": list(layer.weight), "precision": kind if key in chosen else "fp32"}
            if key in sensitivity:
                row["sensitivity"] = round(sensitivity[key], 4)
            if key not in chosen:
                head = "head: coordinates, weights or pixels" if layer.name in kept else "gate"
                row["reason"] = "depthwise" if layer.depthwise else head
            rows.append(row)
    return rows


def _rounded(figures: Figures) -> dict[str, float]:
    return {name: round(value, 5) for name, value in figures._asdict().items()}
