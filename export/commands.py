"""The commands that make ONNX pairs."""

import hashlib
import shutil
from pathlib import Path
from typing import Literal

from dmvton.errors import CheckpointError, UsageError
from export import float8
from export.eightbit import Gate, Plan, make_eight_bit
from export.files import staged, write_json
from export.folder import write_pair
from export.pair import OPSET, Form, build_pair, export_pair, load_student, usual_size

_CHECKPOINT = ("config.json", "model.safetensors")


def onnx(
    checkpoint: Path,
    out: Path,
    size: tuple[int, int] | None = None,
    precision: Literal["fp32", "fp16"] = "fp32",
    batch: Literal["static", "dynamic"] = "static",
) -> None:
    """Exports a checkpoint as the ONNX pair of the runtime.

    Args:
        checkpoint: folder with config.json and model.safetensors.
        out: folder for garment.onnx, frame.onnx and manifest.json.
        size: height and width, multiples of 16; those of its training if not given.
        precision: of weights and arithmetic; inputs and outputs are fp32.
        batch: one picture at a time, as the runtime reads, or any number.
    """
    student, digest = load_student(checkpoint), checkpoint_hash(checkpoint)
    size = size or usual_size(student)
    form = Form(precision, batch)
    manifest = export_pair(student, size, out, pair_name(size, precision), form, digest)
    for file in _CHECKPOINT:
        if (checkpoint / file).resolve() != (out / file).resolve():
            shutil.copyfile(checkpoint / file, out / file)
    total = sum(f["bytes"] for f in manifest["files"].values())
    print(f"{out}: {total / 1e6:.1f} MB, largest error against torch {manifest['parity']}")


def int8(
    checkpoint: Path,
    calibration: Path,
    out: Path,
    size: tuple[int, int] | None = None,
    samples: int = 128,
    tolerance: float = 0.02,
) -> None:
    """Exports a checkpoint as a quantised ONNX pair, within a quality gate.

    Args:
        checkpoint: folder with config.json and model.safetensors.
        calibration: folder of shards, of `dmvton synth build`.
        out: folder for the pair, its manifest and precision.json, which lists every layer.
        size: height and width, multiples of 16; those of its training if not given.
        samples: how many to read; half of them calibrate, the other half judge (64 or more judge
            steadily).
        tolerance: how much worse than fp32 the figures may be; layers go back to fp32 until they
            are within it.
    """
    _eight_bit(checkpoint, calibration, out, size, Plan("int8", samples, Gate(tolerance)))


def fp8(
    checkpoint: Path,
    calibration: Path,
    out: Path,
    size: tuple[int, int] | None = None,
    samples: int = 128,
    tolerance: float = 0.02,
) -> None:
    """Exports a checkpoint as an ONNX pair in 8-bit floats (E4M3), within a quality gate.

    Args:
        checkpoint: folder with config.json and model.safetensors.
        calibration: folder of shards, of `dmvton synth build`.
        out: folder for the pair, its manifest and precision.json, which lists every layer.
        size: height and width, multiples of 16; those of its training if not given.
        samples: how many to read; half of them calibrate, the other half judge (64 or more judge
            steadily).
        tolerance: how much worse than fp32 the figures may be; layers go back to fp32 until they
            are within it.
    """
    _eight_bit(checkpoint, calibration, out, size, Plan("fp8", samples, Gate(tolerance)))


def _eight_bit(
    checkpoint: Path, calibration: Path, out: Path, size: tuple[int, int] | None, plan: Plan
) -> None:
    if plan.samples < 2 or not plan.gate.tolerance >= 0:
        raise UsageError(
            f"got --samples {plan.samples} --tolerance {plan.gate.tolerance}; expected 2 or more "
            "samples and a tolerance from 0 on"
        )
    student, digest = load_student(checkpoint), checkpoint_hash(checkpoint)
    size = size or usual_size(student)
    with staged(out) as scratch:
        pair = build_pair(student, size, Form(), float8.OPSET if plan.kind == "fp8" else OPSET)
        made = make_eight_bit(pair.models, calibration, size, plan)
        note = {"batch": "static", "precision": plan.kind, "checkpoint": digest}
        record = {"quality": {k: made.report[k] for k in ("fp32", plan.kind)}}
        manifest = write_pair(made.models, scratch, pair_name(size, plan.kind), size, note, record)
        write_json(scratch / "precision.json", made.report)
    print(summary(out, manifest, made.report))


def summary(out: Path, manifest: dict, report: dict) -> str:
    """What was made, in three lines."""
    kind = report["kind"]
    total = sum(f["bytes"] for f in manifest["files"].values())
    layers = report["layers"]
    small = sum(row["precision"] == kind for row in layers)
    fell = [f"{r['graph']}{r['layer']}" for r in layers if r.get("reason") == "gate"]
    before, after = report["fp32"], report[kind]
    figures = ", ".join(f"{k} {before[k]} -> {after[k]}" for k in before)
    return (
        f"{out}: {total / 1e6:.1f} MB, {small} of {len(layers)} layers in {kind}\n"
        f"fell back for the gate: {', '.join(fell) or 'none'}\n{figures}"
    )


def pair_name(size: tuple[int, int], precision: str) -> str:
    """Name of a pair in its manifest."""
    suffix = "" if precision == "fp32" else f"-{precision}"
    return f"student-{size[0]}x{size[1]}{suffix}"


def checkpoint_hash(folder: Path) -> str:
    """SHA-256 of a checkpoint's weights.

    Raises:
        CheckpointError: they cannot be read.
    """
    try:
        return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(
            f"{folder}: no weights ({error.strerror}: model.safetensors); expected a folder as "
            "written by `dmvton train`"
        ) from error
