"""How near an exported pair comes to the target pictures, in figures that a gate can compare."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor

from dmvton.flow import warp
from dmvton.similarity import ssim
from dmvton.student.trunk import Trunk
from export.calibration import Sample
from export.pair import FEATURES, FRAME_OUTPUTS, session_of


class Figures(NamedTuple):
    """Means over samples."""

    distance: float  # of ImageNet features, LPIPS-style; lower is better
    ssim: float  # over the picture
    ssim_region: float  # where old or new garment is
    psnr_region: float  # dB, there


class Runner:
    """A pair of graphs in ONNX Runtime on one CPU thread."""

    def __init__(self, models: Mapping[str, ModelProto]):
        """Loads both graphs, given by file name."""
        self.sessions = {n: session_of(m.SerializeToString()) for n, m in models.items()}

    def features(self, sample: Sample) -> dict[str, np.ndarray]:
        """Inputs of the frame graph, by name."""
        session = self.sessions["garment.onnx"]
        code = session.run(list(FEATURES), {"garment": sample.garment})
        return {
            "person": sample.person,
            "garment": sample.garment,
            **dict(zip(FEATURES, code, strict=True)),
        }

    def outputs(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of the frame graph, by name."""
        found = self.sessions["frame.onnx"].run(list(FRAME_OUTPUTS), dict(feed))
        return dict(zip(FRAME_OUTPUTS, found, strict=True))

    def picture(self, sample: Sample) -> Tensor:
        """The result at network size, (1, 3, h, w) in [0, 1]."""
        return picture(sample, self.outputs(self.features(sample)))


def picture(sample: Sample, outputs: Mapping[str, np.ndarray]) -> Tensor:
    """The three-way composite of `dmvton.runtime.Layers`, (1, 3, h, w) in [0, 1]."""
    layers = {name: torch.from_numpy(value) for name, value in outputs.items()}
    garment, person = torch.from_numpy(sample.garment), torch.from_numpy(sample.person)
    worn = (warp(garment, layers["flow"]) * layers["gain"]).clamp(0, 1)
    rest = layers["beta"] * layers["rendered"] + (1 - layers["beta"]) * person
    return layers["alpha"] * worn + (1 - layers["alpha"]) * rest


class Judge:
    """Compares pictures with the targets of a fixed set of samples."""

    def __init__(self, samples: Sequence[Sample]):
        """Keeps the samples and the features of their targets."""
        self.samples = samples
        self.trunk = Trunk(frozen_stages=5).eval()
        with torch.no_grad():
            self.targets = [self._features(torch.from_numpy(s.target)) for s in samples]

    @torch.no_grad()
    def figures(self, runner: Runner) -> Figures:
        """Means over the samples."""
        rows = []
        for sample, features in zip(self.samples, self.targets, strict=True):
            found = runner.picture(sample)
            pairs = zip(self._features(found), features, strict=True)
            distance = sum(float((a - b).square().sum(1).mean()) for a, b in pairs)
            rows.append((distance, *_pixels(found.numpy(), sample)))
        return Figures(*(float(np.mean(column)) for column in zip(*rows, strict=True)))

    def _features(self, image: Tensor) -> list[Tensor]:
        """Features of the ImageNet trunk at four scales, of unit length at every place."""
        return [f / (f.square().sum(1, keepdim=True) + 1e-8).sqrt() for f in self.trunk(image)]


def _pixels(found: np.ndarray, sample: Sample) -> tuple[float, float, float]:
    """SSIM, SSIM in the region, PSNR in the region; of the whole picture where that is empty."""
    a, b = (np.ascontiguousarray(x[0].transpose(1, 2, 0)) for x in (found, sample.target))
    region = sample.region if sample.region.any() else np.ones_like(sample.region)
    similarity = ssim(a, b, 1)
    error = float(((a - b) ** 2)[region].mean())
    psnr = -10 * np.log10(max(error, 1e-8))
    return float(similarity.mean()), float(similarity[region].mean()), float(psnr)
