"""The ONNX pair: a garment graph, run once a garment, and a frame graph, run once a frame.

Both graphs take pictures in [0, 1] and give probabilities, so that a runtime needs no constants.
The garment graph's outputs are the frame graph's inputs of the same names.
"""

import hashlib
import json
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn

from dmvton.checkpoint import load_model
from dmvton.errors import CheckpointError
from dmvton.student.model import GarmentCode, Student, StudentConfig

OPSET = 17
FEATURES = ("garment_mask", "garment_feat4", "garment_feat8", "garment_feat16", "garment_key")
FRAME_OUTPUTS = ("image", "flow", "alpha", "beta", "rendered", "gain", "keypoints", "presence")
TOLERANCE = 1e-3


class GarmentGraph(nn.Module):
    """`garment` -> mask in [0, 1] and the cached features."""

    def __init__(self, student: Student):
        super().__init__()
        self.encoder = student.garment

    def forward(self, garment: Tensor) -> tuple[Tensor, ...]:
        """Picture (1, 3, H, W) in [0, 1] -> FEATURES."""
        code = self.encoder(garment)
        return code.mask.sigmoid(), code.feat4, code.feat8, code.feat16, code.key


class FrameGraph(nn.Module):
    """`person`, `garment` and the cached features -> FRAME_OUTPUTS."""

    def __init__(self, student: Student):
        super().__init__()
        self.student = student

    def forward(self, person: Tensor, garment: Tensor, mask: Tensor, *features: Tensor):
        """Pictures (1, 3, H, W) in [0, 1], mask (1, 1, H, W) in [0, 1]."""
        code = GarmentCode(mask.clamp(1e-6, 1 - 1e-6).logit(), *features)
        out = self.student.frame(person, garment, code)
        pose = torch.cat([out.pose.xy, out.pose.visibility.sigmoid()[..., None]], 2)
        return (out.image, out.flow, out.alpha, out.beta, out.rendered, out.gain, pose,
                out.pose.presence.sigmoid())  # fmt: skip


def _write(model: nn.Module, inputs, path: Path, inputs_names, outputs_names) -> None:
    model.eval()  # or else the exporter puts the student back to training mode afterwards
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns about sizes that are constant here
        torch.onnx.export(
            model, inputs, str(path), opset_version=OPSET, dynamo=False,
            input_names=list(inputs_names), output_names=list(outputs_names),
        )  # fmt: skip
    onnx.checker.check_model(onnx.load(str(path)))


def parity(session_path: Path, feed: dict[str, np.ndarray], truth: list[Tensor]) -> float:
    """Largest absolute difference between ONNX Runtime's outputs and torch's."""
    session = ort.InferenceSession(str(session_path), providers=["CPUExecutionProvider"])
    found = session.run(None, feed)
    return float(np.max([np.abs(a - b.numpy()).max() for a, b in zip(found, truth, strict=True)]))


@torch.no_grad()
def export_pair(student: Student, size: tuple[int, int], out: Path, name: str) -> dict:
    """Writes garment.onnx, frame.onnx and manifest.json; nothing is replaced unless parity holds.

    Args:
        student: in eval mode.
        size: (height, width), multiples of 16.
        out: folder, created where missing.
        name: for the manifest.

    Returns:
        The manifest.

    Raises:
        CheckpointError: ONNX Runtime and torch disagree by more than TOLERANCE.
    """
    out.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    person, garment = torch.rand(2, 1, 3, *size, generator=generator)
    code = GarmentGraph(student.eval())(garment)
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        paths = {n: Path(scratch) / n for n in ("garment.onnx", "frame.onnx")}
        _write(GarmentGraph(student), (garment,), paths["garment.onnx"], ["garment"], FEATURES)
        inputs = (person, garment, *code)
        names = ["person", "garment", *FEATURES]
        _write(FrameGraph(student), inputs, paths["frame.onnx"], names, FRAME_OUTPUTS)
        frame = list(FrameGraph(student)(*inputs))
        feed = {n: v.numpy() for n, v in zip(names, inputs, strict=True)}
        errors = {
            "garment.onnx": parity(paths["garment.onnx"], {"garment": garment.numpy()}, list(code)),
            "frame.onnx": parity(paths["frame.onnx"], feed, frame),
        }
        _check_parity(errors)
        manifest = _manifest(paths, size, name, errors)
        for file, path in paths.items():
            os.replace(path, out / file)
    _write_text(out / "manifest.json", json.dumps(manifest, indent=1) + "\n")
    return manifest


def _write_text(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".part")
    partial.write_text(text)
    os.replace(partial, path)


def _check_parity(errors: dict[str, float]) -> None:
    if not all(error <= TOLERANCE for error in errors.values()):  # so that NaN is refused
        raise CheckpointError(
            f"ONNX Runtime and torch differ by {errors}, expected under {TOLERANCE}; the files "
            "were not written. Export with another opset or torch version"
        )


def _manifest(paths: dict[str, Path], size, name: str, errors: dict[str, float]) -> dict:
    files = {}
    for file, path in paths.items():
        data = path.read_bytes()
        files[file] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    return {"format": 1, "name": name, "size": list(size), "opset": OPSET, "files": files,
            "parity": {k: round(v, 7) for k, v in errors.items()}}  # fmt: skip


def load_student(folder: Path) -> Student:
    """The student of a checkpoint folder, in eval mode."""

    def build(config: dict) -> Student:
        values = {**config["student"], "pretrained": False}
        values["decoder"] = tuple(values["decoder"])
        return Student(StudentConfig(**values))

    return load_model(folder, build).eval()
