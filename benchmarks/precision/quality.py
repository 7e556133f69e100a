"""How far a precision is from torch, and how good its pictures are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.precision.variants import Variant
from dmvton.student.model import Student
from export.calibration import Sample
from export.pair import FRAME_OUTPUTS, GRAPHS
from export.quality import Judge, Runner, picture

COMPARED = 8  # samples on which torch runs too


class Truth:
    """Torch's answers on some samples."""

    def __init__(self, student: Student, samples: Sequence[Sample]):
        """Runs the student."""
        self.samples = samples
        self.outputs = [_torch_outputs(student, sample) for sample in samples]

    def compare(self, runner: Runner) -> dict[str, float]:
        """`largest`: of any output of the frame graph; `picture`: root mean square, grey levels."""
        largest, squares = 0.0, []
        for sample, wanted in zip(self.samples, self.outputs, strict=True):
            found = runner.outputs(runner.features(sample))
            gaps = (np.abs(found[n] - wanted[n]).max() for n in FRAME_OUTPUTS)
            largest = max(largest, *map(float, gaps))
            gap = picture(sample, found) - picture(sample, wanted)
            squares.append(float(gap.square().mean()))
        return {"largest": largest, "picture": 255 * float(np.sqrt(np.mean(squares)))}


def row(variant: Variant, truth: Truth, judge: Judge) -> dict[str, Any]:
    """What the table says of a variant, its name left out."""
    if not variant.models:
        return {"refused": variant.note}
    runner = Runner(variant.models)
    return {
        "bytes": variant.bytes,
        "note": variant.note,
        "error": truth.compare(runner),
        "quality": judge.figures(runner)._asdict(),
    }


@torch.no_grad()
def _torch_outputs(student: Student, sample: Sample) -> dict[str, np.ndarray]:
    known = {"person": torch.from_numpy(sample.person), "garment": torch.from_numpy(sample.garment)}
    for module, inputs, outputs in GRAPHS.values():
        found = module(student).eval()(*(known[name] for name in inputs))
        known |= dict(zip(outputs, found, strict=True))
    return {name: known[name].numpy() for name in FRAME_OUTPUTS}
