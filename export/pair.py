"""The ONNX pair: a garment graph, run once a garment, and a frame graph, run once a frame.

Both graphs take pictures in [0, 1] and give probabilities, so that a runtime needs no constants.
The garment graph's outputs, but for the chance of a top, are the frame graph's inputs of the same
names.

torch ── trace ──> graph ── slim ──> smaller graph ── precision ──> file

After every arrow the graph is run and compared with torch; one that differs is not written.
"""

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
import onnxslim
import torch
import torch.nn.functional as F
from onnx import ModelProto
from torch import Tensor, nn

from dmvton.errors import CheckpointError, UsageError
from dmvton.networks import load_network
from dmvton.student.encoders import GarmentCode
from dmvton.student.model import Student
from export.files import staged
from export.folder import write_pair
from export.precision import to_fp16

OPSET = 17
FEATURES = ("garment_mask", "garment_feat4", "garment_feat8", "garment_feat16", "garment_key")
GARMENT_OUTPUTS = (*FEATURES, "garment_top")  # the last one says whether to wear it at all
# No picture: the runtime makes it at the photo's own size, and a warp less is a fifth of the time.
FRAME_OUTPUTS = ("flow", "alpha", "beta", "rendered", "gain", "keypoints", "presence")


class Error(NamedTuple):
    """Differences from torch, in units of the larger of 1 and the output's largest value."""

    largest: float
    mean: float


# The mean says whether a graph is right; in fp16, single pixels on a steep edge may be well off.
# On pictures of nothing, as here, a network is undecided, and its weights are 30 times as far off
# as on photos (0.003 against 0.0001 of the released one).
TOLERANCE = {"fp32": Error(1e-3, 1e-4), "fp16": Error(0.15, 4e-3)}


@dataclass(frozen=True)
class Form:
    """What an exported pair computes in, and on how many pictures at once."""

    precision: Literal["fp32", "fp16"] = "fp32"
    """Of weights and arithmetic; inputs and outputs are fp32 in any case."""
    batch: Literal["static", "dynamic"] = "static"
    """One picture, or any number."""


class Probe(NamedTuple):
    """Inputs of a graph, and what torch makes of them, by name."""

    feed: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]


class Pair(NamedTuple):
    """Both graphs and their error against torch, by file name."""

    models: dict[str, ModelProto]
    errors: dict[str, Error]


class GarmentGraph(nn.Module):
    """`garment` -> mask in [0, 1], the cached features and the chance of a top."""

    def __init__(self, student: Student):
        super().__init__()
        self.student = student

    def forward(self, garment: Tensor) -> tuple[Tensor, ...]:
        """Picture (N, 3, H, W) in [0, 1] -> GARMENT_OUTPUTS."""
        code = self.student.encode(garment)
        features = (code.feat4, code.feat8, code.feat16, code.key)
        return code.mask, *features, self.student.garment.is_top(code).sigmoid()


class FrameGraph(nn.Module):
    """`person`, `garment` and the cached features -> FRAME_OUTPUTS."""

    def __init__(self, student: Student):
        super().__init__()
        self.student = student

    def forward(self, person: Tensor, garment: Tensor, mask: Tensor, *features: Tensor):
        """Pictures (N, 3, H, W) in [0, 1], mask (N, 1, H, W) in [0, 1]."""
        out = self.student.frame(person, garment, GarmentCode(mask, *features))
        pose = torch.cat([out.pose.xy, out.pose.visibility.sigmoid()[..., None]], 2)
        maps = (out.flow, out.alpha, out.beta, out.rendered, out.gain)
        return (*maps, pose, out.pose.presence.sigmoid())


# By file: module, names of its inputs, names of its outputs.
GRAPHS: dict[str, tuple[Callable[[Student], nn.Module], tuple[str, ...], tuple[str, ...]]] = {
    "garment.onnx": (GarmentGraph, ("garment",), GARMENT_OUTPUTS),
    "frame.onnx": (FrameGraph, ("person", "garment", *FEATURES), FRAME_OUTPUTS),
}


def load_student(folder: Path) -> Student:
    """The student of a checkpoint folder, in eval mode."""
    return load_network("student", folder)


def usual_size(student: Student) -> tuple[int, int]:
    """Height and width that a student is trained at: of its crop, as the runtime gives it."""
    return (512, 384) if student.cfg.fine else (256, 192)


def export_pair(
    student: Student,
    size: tuple[int, int],
    out: Path,
    name: str,
    form: Form | None = None,
    checkpoint: str = "",
) -> dict:
    """Writes garment.onnx, frame.onnx and manifest.json; nothing is replaced unless parity holds.

    Args:
        student: its mode does not matter; it is in eval mode afterwards.
        size: (height, width), multiples of 16.
        out: folder, created where missing.
        name: for the manifest.
        form: precision and batch.
        checkpoint: SHA-256 of the weights' file, for the record.

    Returns:
        The manifest.

    Raises:
        CheckpointError: ONNX Runtime and torch disagree by more than TOLERANCE.
        OutputError: the folder cannot be written.
        UsageError: the size does not fit the network.
    """
    form = form or Form()
    with staged(out) as scratch:
        pair = build_pair(student, size, form)
        note = {"batch": form.batch, "precision": form.precision, "checkpoint": checkpoint}
        return write_pair(
            pair.models,
            scratch,
            name,
            size,
            note,
            {"parity": {file: error.largest for file, error in pair.errors.items()}},
        )


@torch.no_grad()
def build_pair(student: Student, size: tuple[int, int], form: Form, opset: int = OPSET) -> Pair:
    """Both graphs, compared with torch after every step.

    Raises:
        CheckpointError: they disagree by more than TOLERANCE.
        UsageError: the size does not fit the network.
    """
    step = 32 if student.cfg.fine else 16
    if any(side % step or side < 2 * step for side in size):
        raise UsageError(
            f"size {size[0]}x{size[1]}: expected multiples of {step} from {2 * step} on"
        )
    student.eval()
    batches = (1,) if form.batch == "static" else (2, 1)
    probes = {n: [] for n in GRAPHS}
    for count in batches:
        for file, probe in make_probes(student, size, count).items():
            probes[file].append(probe)
    pair = Pair({}, {})
    for file, cases in probes.items():
        model = trace(student, file, cases, form, opset)
        for step, precision in steps(form):
            model = step(model)
            error = parity(model, cases)
            check_parity(f"{file}, {step.__name__}", error, TOLERANCE[precision])
            pair.models[file], pair.errors[file] = model, error
    return pair


def steps(form: Form) -> list[tuple[Callable[[ModelProto], ModelProto], str]]:
    """What happens to a traced graph, in order, and the precision that it has afterwards."""
    half = [(to_fp16, "fp16")] if form.precision == "fp16" else []
    return [(traced, "fp32"), (slimmed, "fp32"), *half]


def traced(model: ModelProto) -> ModelProto:
    """The graph as torch gave it."""
    return model


def slimmed(model: ModelProto) -> ModelProto:
    """Constants folded, padding and batch norm moved into convolutions, dead nodes removed."""
    small = onnxslim.slim(model)
    onnx.checker.check_model(small, full_check=True)
    return small


def make_probes(student: Student, size: tuple[int, int], count: int) -> dict[str, Probe]:
    """Smooth random pictures and torch's answers, by file."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, count, 3, size[0] // 16, size[1] // 16, generator=generator)
    fine = 0.1 * torch.rand(2, count, 3, *size, generator=generator)
    person, garment = (
        (0.9 * F.interpolate(c, size=size, mode="bilinear") + f).clamp(0, 1)
        for c, f in zip(coarse, fine, strict=True)
    )
    known = {"person": person, "garment": garment}
    probes = {}
    for file, (module, inputs, outputs) in GRAPHS.items():
        answers = module(student)(*(known[n] for n in inputs))
        truth = dict(zip(outputs, answers, strict=True))
        known |= truth
        feed = {n: known[n].numpy() for n in inputs}
        probes[file] = Probe(feed, {n: v.numpy() for n, v in truth.items()})
    return probes


def trace(
    student: Student, file: str, probes: list[Probe], form: Form, opset: int = OPSET
) -> ModelProto:
    """One graph as torch exports it, on the pictures of the first probe."""
    module, inputs, outputs = GRAPHS[file]
    feed = probes[0].feed
    axes = {n: {0: "batch"} for n in (*inputs, *outputs)} if form.batch == "dynamic" else None
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns about sizes that are constant here
        torch.onnx.export(
            # In eval mode itself, or else the exporter puts the student back to training.
            module(student).eval(), tuple(torch.from_numpy(feed[n]) for n in inputs), stream,
            opset_version=opset, dynamo=False, dynamic_axes=axes,
            input_names=list(inputs), output_names=list(outputs),
        )  # fmt: skip
    model = onnx.load_from_string(stream.getvalue())
    onnx.checker.check_model(model, full_check=True)
    return model


def parity(model: ModelProto, probes: Sequence[Probe]) -> Error:
    """How far ONNX Runtime's outputs are from torch's; NaN where one is NaN."""
    session = session_of(model.SerializeToString())
    found = []
    for probe in probes:
        outputs = session.run(list(probe.truth), probe.feed)
        for value, truth in zip(outputs, probe.truth.values(), strict=True):
            gap = np.abs(value - truth) / max(1.0, float(np.abs(truth).max()))
            found.append((gap.max(), gap.mean()))
    return Error(*(float(np.max(column)) for column in zip(*found, strict=True)))


def session_of(data: bytes, threads: int = 1) -> ort.InferenceSession:
    """A graph on the CPU, 8-bit numbers rounded as the graph says and not as integer kernels do."""
    options = ort.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # ClipQuantRewrite stumbles over 8-bit floats.
    return ort.InferenceSession(
        data, options, providers=["CPUExecutionProvider"], disabled_optimizers=["ClipQuantRewrite"]
    )


def check_parity(what: str, error: Error, tolerance: Error) -> None:
    """Refuses a graph that does not do what torch does.

    Raises:
        CheckpointError: an error is over its tolerance, or not a number.
    """
    if not all(e <= t for e, t in zip(error, tolerance, strict=True)):  # so that NaN is refused
        raise CheckpointError(
            f"{what}: ONNX Runtime and torch differ by {error.largest} (mean {error.mean}), "
            f"expected under {tolerance.largest} ({tolerance.mean}); the files were not written. "
            "Export with another precision or torch version"
        )
