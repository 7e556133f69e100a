"""`dmvton export tensorrt`."""

from pathlib import Path
from typing import Literal

import numpy as np
from onnx import ModelProto
from tqdm import tqdm

from dmvton.errors import CheckpointError, UsageError
from dmvton.files import whole
from dmvton.runtime import read_manifest
from export.files import staged
from export.folder import PairFolder, read_pair
from export.pair import TOLERANCE, Probe, check_parity, parity, session_of
from export.precision import to_fp16
from export.trt.backend import Kind, load_backend, parse_targets
from export.trt.builder import Target, build_engine
from export.trt.engines import Engine, Facts, write_engine, write_engines


def tensorrt(
    onnx: Path,
    out: Path,
    precision: Literal["fp32", "fp16", "int8", "fp8"] = "fp16",
    sm: str = "",
    builder: Kind = "rtx",
    split: bool = False,
    max_batch: int = 1,
    timing_cache: Path | None = None,
) -> None:
    """Builds TensorRT engines of an exported pair; TensorRT-RTX needs no GPU for that.

    Args:
        onnx: folder of `dmvton export onnx`, `int8` or `fp8`.
        out: folder for the engines and engines.json.
        precision: fp16 can be made of an fp32 pair; int8 and fp8 need a pair that was exported so.
        sm: compute capabilities, by comma; with rtx, 80,86,89,120 if not given (89,120 for fp8).
        builder: rtx is TensorRT-RTX; classic builds for this machine's GPU, and was never tested.
        split: one file for each compute capability, instead of one for all.
        max_batch: most pictures at once, for a pair exported with --batch dynamic.
        timing_cache: file of kernel timings, for classic only.
    """
    if max_batch < 1:
        raise UsageError(f"got --max_batch {max_batch}, expected 1 or more")
    pair = read_pair(onnx)
    if max_batch > 1 and pair.note["batch"] != "dynamic":
        raise UsageError(
            f"got --max_batch {max_batch}, but {onnx} computes one picture at a time; export it "
            "with --batch dynamic, or leave --max_batch at 1"
        )
    models = in_precision(pair, precision)
    backend = load_backend(builder)
    if not sm and backend.ahead_of_time:
        sm = "89,120" if precision == "fp8" else "80,86,89,120"
    sms = parse_targets(sm, backend, precision)
    groups = [(one,) for one in sms] if split else [sms]
    cache = read_timings(timing_cache)
    digests = {n: f["sha256"] for n, f in read_manifest(onnx)["files"].items()}
    facts = Facts(pair.name, pair.size, precision, backend.version, max_batch, digests)
    with staged(out) as scratch:
        engines: list[Engine] = []
        todo = [(file, group) for file in models for group in groups]
        for file, group in tqdm(todo, desc="engines", unit="engine", leave=False):
            target = Target(group, max_batch)
            data = build_engine(backend, models[file], file, target, cache)
            engines.append(write_engine(scratch, Path(file).stem, group, data))
        write_engines(scratch, facts, engines)
        save_timings(timing_cache, cache)
    for engine in engines:
        print(f"{out / engine.file}: {engine.bytes / 1e6:.1f} MB")


def in_precision(pair: PairFolder, precision: str) -> dict[str, ModelProto]:
    """The graphs of a pair, converted where that needs no calibration.

    Raises:
        UsageError: it needs a pair that was exported in that precision.
        CheckpointError: the converted graphs do not do what the given ones do.
    """
    if pair.precision == precision:
        return pair.models
    if (pair.precision, precision) != ("fp32", "fp16"):
        how = precision if precision in ("int8", "fp8") else f"onnx --precision {precision}"
        raise UsageError(
            f"got a pair in {pair.precision} and --precision {precision}; make a pair with "
            f"`dmvton export {how}` first"
        )
    half = {file: to_fp16(model) for file, model in pair.models.items()}
    for file, model in half.items():
        error = parity(model, [probe_of(pair.models[file])])
        check_parity(f"{file}, to_fp16", error, TOLERANCE["fp16"])
    return half


def probe_of(model: ModelProto) -> Probe:
    """Random inputs of a graph and its own answers in ONNX Runtime."""
    session, rng = session_of(model.SerializeToString()), np.random.default_rng(0)
    feed = {}
    for node in session.get_inputs():
        shape = [side if isinstance(side, int) else 1 for side in node.shape]
        feed[node.name] = rng.random(shape, dtype=np.float32)
    names = [output.name for output in session.get_outputs()]
    return Probe(feed, dict(zip(names, session.run(names, feed), strict=True)))


def read_timings(path: Path | None) -> bytearray | None:
    """Timings of earlier builds; empty where there are none yet.

    Raises:
        CheckpointError: the file cannot be read.
    """
    if path is None:
        return None
    try:
        return bytearray(path.read_bytes()) if path.exists() else bytearray()
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}; name another --timing_cache") from error


def save_timings(path: Path | None, cache: bytearray | None) -> None:
    """Writes the timings back, if the builder made any.

    Raises:
        OutputError: the file cannot be written.
    """
    if path is None or not cache:
        return
    with whole(path, "name another --timing_cache") as partial:
        partial.write_bytes(cache)
