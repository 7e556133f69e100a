"""A student in every precision, made as the commands of `dmvton export` make it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import onnx
from onnx import ModelProto

from dmvton.errors import CheckpointError
from dmvton.runtime import read_graph, read_manifest
from dmvton.student.model import Student
from export import float8
from export.calibration import read_samples
from export.eightbit import Kind, Plan, make_eight_bit
from export.folder import PairFolder
from export.lowbit.work import Work
from export.pair import Form, build_pair

PACKED_SAMPLES = 32  # as many as `dmvton export lowbit` calibrates on


class Variant(NamedTuple):
    """A pair in one precision."""

    name: str  # fp32, fp16, int8, fp8, or "4 bits"
    models: dict[str, ModelProto]  # by file, as ONNX Runtime runs them; empty where refused
    bytes: int  # of the files to download
    note: str  # what runs in it, or why it was refused


def variants(
    student: Student,
    size: tuple[int, int],
    calibration: Path,
    samples: int,
    widths: Sequence[int],
) -> Iterator[Variant]:
    """fp32 first, then smaller and smaller ones.

    Args:
        student: the network.
        size: (height, width).
        calibration: shards.
        samples: how many of them for the eight-bit pairs; half calibrate, half judge.
        widths: bits a weight of the packed pairs.
    """
    exact = build_pair(student, size, Form()).models
    yield Variant("fp32", exact, _bytes(exact), "everything")
    half = build_pair(student, size, Form("fp16")).models
    yield Variant("fp16", half, _bytes(half), "all but the heads, sampling and softmax")
    yield _eight_bit("int8", exact, size, calibration, samples)
    wide = build_pair(student, size, Form(), float8.OPSET).models
    yield _eight_bit("fp8", wide, size, calibration, samples)
    pair = PairFolder("student", size, exact, {"precision": "fp32"})
    pictures = read_samples(calibration, size, PACKED_SAMPLES)
    with TemporaryDirectory() as scratch:
        work = Work(pair, pictures, Path(scratch) / "cache.json")
        for bits in widths:
            yield _packed(work, Path(scratch), bits)


def _eight_bit(
    kind: Kind, models: dict[str, ModelProto], size: tuple[int, int], shards: Path, samples: int
) -> Variant:
    try:
        made = make_eight_bit(models, shards, size, Plan(kind, samples, ranked=False))
    except CheckpointError as refused:  # no layer passes the gate
        return Variant(kind, {}, 0, str(refused))
    layers = made.report["layers"]
    small = sum(row["precision"] == kind for row in layers)
    fell = sum(row.get("reason") == "gate" for row in layers)
    note = f"{small} of {len(layers)} layers; {fell} fell back for the gate"
    return Variant(kind, made.models, _bytes(made.models), note)


def _packed(work: Work, folder: Path, bits: int) -> Variant:
    plan, size = work.at_width(folder, bits)
    manifest = read_manifest(folder)
    models = {
        f"{graph}.onnx": onnx.load_from_string(read_graph(folder, manifest, graph))
        for graph in ("garment", "frame")
    }
    note = f"weights, {work.mean_bits(plan):.2f} bits with their scales; arithmetic in fp32"
    return Variant(f"{bits} bits", models, size, note)


def _bytes(models: dict[str, ModelProto]) -> int:
    return sum(len(model.SerializeToString()) for model in models.values())
