"""How much the answer of the whole network suffers when one layer gets few bits.

Measured for every layer at a few widths; in between and beyond, the damage is taken to follow the
layer's own output error (both are mean squares, so that they go together in a straight line as long
as the error is small).
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dmvton.lowbit import WIDTHS
from export.calibration import Sample
from export.lowbit.coding import Material
from export.lowbit.layers import Layer, with_weights
from export.lowbit.quantise import Scheme
from export.pair import session_of
from export.quality import Runner, picture

PROBED = (2, 4)  # bits at which the whole network is run
# Beside the picture: keypoints steer the crop, the mask frames the garment.
KEYPOINTS, MASK = 1.0, 0.1
NARROW = 32  # columns; rows as short as this have one scale and an offset
GROUP = 32  # columns that share a scale in longer rows, where not the whole row does


class Answer(NamedTuple):
    """What a pair says about one sample."""

    picture: Tensor  # (1, 3, h, w), at network size
    keypoints: np.ndarray  # (1, 13, 3)
    mask: np.ndarray  # (1, 1, h, w)


class Probe(NamedTuple):
    """One layer coded alone."""

    bits: int
    error: float  # of the layer's output, mean square
    damage: float  # to the network's answer


def schemes(layer: Layer) -> list[Scheme]:
    """The ways of coding a layer that are worth choosing from, narrowest first.

    Short rows (depthwise) gain more from an offset than from more scales.
    """
    kinds = [(0, True), (0, False)] if layer.columns <= NARROW else [(0, True), (GROUP, True)]
    return [Scheme(bits, group, symmetric) for bits in WIDTHS for group, symmetric in kinds]


def uniform_scheme(layer: Layer, bits: int) -> Scheme:
    """The finest of `schemes` at one width."""
    return Scheme(bits, 0, False) if layer.columns <= NARROW else Scheme(bits, GROUP, True)


class Prober:
    """Runs the pair with single layers coded and compares its answers with those of fp32."""

    def __init__(self, graphs: Mapping[str, Material], samples: list[Sample]):
        """Takes both graphs by file name, and the samples to run them on."""
        self.graphs, self.samples = graphs, samples
        self.runner = Runner({name: graph.model for name, graph in graphs.items()})
        self.feeds = [self.runner.features(sample) for sample in samples]
        self.wanted = [self._answer(*pair) for pair in zip(samples, self.feeds, strict=True)]

    def probe(self, file: str, layer: Layer, bits: int) -> Probe:
        """Code one layer and run everything."""
        graph = self.graphs[file]
        coded = graph.code(layer, uniform_scheme(layer, bits))
        changed = with_weights(graph.model, graph.changes(layer, coded))
        exact = self.runner.sessions[file]
        self.runner.sessions[file] = session_of(changed)
        try:
            return Probe(bits, coded.error, self.damage(file))
        finally:
            self.runner.sessions[file] = exact

    def damage(self, file: str) -> float:
        """Of the runner as it is, where only `file` has changed."""
        total = 0.0
        for sample, feed, wanted in zip(self.samples, self.feeds, self.wanted, strict=True):
            known = feed if file == "frame.onnx" else self.runner.features(sample)
            total += difference(self._answer(sample, known), wanted)
        return total / len(self.samples)

    def _answer(self, sample: Sample, feed: dict[str, np.ndarray]) -> Answer:
        out = self.runner.outputs(feed)
        with torch.no_grad():
            return Answer(picture(sample, out), out["keypoints"], feed["garment_mask"])


def difference(found: Answer, wanted: Answer) -> float:
    """Mean square change of the picture, with a share for keypoints and mask."""
    return (
        float((found.picture - wanted.picture).square().mean())
        + KEYPOINTS * float(np.square(found.keypoints - wanted.keypoints).mean())
        + MASK * float(np.square(found.mask - wanted.mask).mean())
    )


def predictor(probes: list[Probe]) -> Callable[[float], float]:
    """Damage as a function of a layer's output error, through the measured points.

    Straight lines in the logarithms; proportional before the first point and after the last one.
    """
    known = sorted((max(p.error, 1e-30), max(p.damage, 1e-30)) for p in probes)
    x, y = np.log(np.array(known)).T
    y = np.maximum.accumulate(y)  # noise must not make a coarser layer look better

    def predict(error: float) -> float:
        at = np.log(max(error, 1e-30))
        inside = float(np.interp(at, x, y))
        return float(np.exp(inside + min(at - x[0], 0) + max(at - x[-1], 0)))

    return predict


def blind_predictor(signal: float) -> Callable[[float], float]:
    """Without pictures: every layer's error counts by its share of that layer's output."""
    return lambda error: error / max(signal, 1e-30)
