"""Writes docs/PRECISION.md: size, error, quality and time of a student in every precision.

    python -m benchmarks.precision --calibration SHARDS --evaluation SHARDS [--out FILE]

Runtimes that are not installed are left out with a word.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tqdm import tqdm

from benchmarks.backends.contender import BackendContender
from benchmarks.backends.models import student_model
from benchmarks.backends.ort_backend import Ort
from benchmarks.backends.registry import chosen
from benchmarks.bench import write
from benchmarks.export2023 import cache_folder
from benchmarks.harness import CheckFailed, Contender, Plan, measure, ready
from benchmarks.precision.page import page
from benchmarks.precision.quality import COMPARED, Truth, row
from benchmarks.precision.speed import FrameGraph, operator_times
from benchmarks.precision.variants import Variant, variants
from benchmarks.report import environment
from dmvton.errors import DmvtonError, UsageError
from dmvton.files import write_text
from dmvton.runtime import DEFAULT_WEIGHTS
from export.calibration import Sample, read_samples
from export.eightbit import Gate
from export.mobile.openvino_target import OpenVino
from export.pair import load_student
from export.quality import Judge, Runner

SIZE = (256, 192)
WIDTHS = (8, 7, 6, 5, 4, 3, 2)
TIMED = ("fp16", "int8", "4 bits")  # beside fp32, which every runtime is timed in
PROFILED = ("fp32", "int8")


def main(argv: Sequence[str] | None = None) -> int:
    """Makes, compares, times and writes; returns the exit status."""
    given = _options(argv)
    try:
        report = measured(given)
        write(given.json, report)
        write_text(given.out, page(report), "pass another --out")
    except DmvtonError as error:
        print("precision: error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    print(f"written: {given.out}, {given.json}")
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT_WEIGHTS)
    parser.add_argument("--calibration", type=Path, required=True, help="folder of shards")
    parser.add_argument("--evaluation", type=Path, required=True, help="other, held-out shards")
    parser.add_argument("--samples", type=int, default=128, help="half calibrate, half gate")
    parser.add_argument(
        "--held-out", type=int, default=64, help="samples that quality is measured on"
    )
    parser.add_argument("--widths", type=int, nargs="*", default=WIDTHS, help="bits a weight")
    parser.add_argument("--threads", type=int, nargs="+", default=(1, 2))
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=Path, default=Path("precision.json"))
    parser.add_argument("--out", type=Path, default=Path("docs/PRECISION.md"))
    return parser.parse_args(argv)


def measured(given: argparse.Namespace) -> dict:
    """All figures, for JSON.

    Raises:
        UsageError: calibration and evaluation are the same shards.
        DataError: there are no samples in them.
    """
    if given.calibration.resolve() == given.evaluation.resolve():
        raise UsageError(
            f"--calibration and --evaluation are both {given.evaluation}; quality has to be "
            "measured on other samples than those that were calibrated on; name other shards"
        )
    student = load_student(given.checkpoint)
    held_out = read_samples(given.evaluation, SIZE, given.held_out)
    truth, judge = Truth(student, held_out[:COMPARED]), Judge(held_out)
    rows, kept = {}, {}
    made = variants(student, SIZE, given.calibration, given.samples, given.widths)
    for variant in tqdm(made, desc="precision", total=4 + len(given.widths), leave=False):
        rows[variant.name] = row(variant, truth, judge)
        if variant.models and variant.name in ("fp32", *TIMED):
            kept[variant.name] = variant
    facts = environment()
    with TemporaryDirectory() as scratch:
        timings, wrong = timed(given, kept, held_out[0], Path(scratch))
    exact = Runner(kept["fp32"].models).features(held_out[0])
    return {
        "environment": facts,
        "facts": {
            "checkpoint": given.checkpoint.name,
            "size": "x".join(map(str, SIZE)),
            "compared": len(truth.samples),
            "judged": len(held_out),
            "samples": given.samples,
            "gate": Gate().tolerance,
            "rounds": given.rounds,
        },
        "rows": rows,
        "timings": timings,
        "wrong": wrong,
        "profile": {
            name: operator_times(kept[name].models["frame.onnx"], exact)
            for name in PROFILED
            if name in kept
        },
    }


def timed(
    given: argparse.Namespace, kept: Mapping[str, Variant], sample: Sample, scratch: Path
) -> tuple[list[dict], dict[str, str]]:
    """fp32 in every runtime that is installed, the others in those that read ONNX.

    Returns:
        Times, and why those that were left out were: a wrong result has no time.
    """
    model = student_model(given.checkpoint, given.evaluation, scratch, SIZE)
    cache = cache_folder() / "backends"
    contenders: list[Contender] = [
        BackendContender(f"{backend.name}, fp32", backend, model.graph, model.known, cache)
        for backend in chosen((), ("cpu",))
    ]
    for name in TIMED:
        if name in kept:
            feed, answers = _example(kept[name], sample)
            graph = kept[name].models["frame.onnx"]
            contenders += [
                FrameGraph(f"{target.name}, {name}", graph, target, feed, answers, scratch)
                for target in (Ort(), OpenVino())
            ]
    found, wrong = [], {}
    for threads in given.threads:
        able: list[Contender] = []
        for contender in contenders:
            try:
                able += ready([contender], threads, print)
            except CheckFailed as error:
                wrong[contender.name] = str(error)
        found += [t.report() for t in measure(able, threads, Plan(given.rounds))]
    for timing in found:
        del timing["runs_ms"]
    return found, wrong


def _example(
    variant: Variant, sample: Sample
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs of the frame graph that it reads, and its answers."""
    runner = Runner(variant.models)
    known = runner.features(sample)
    return known, runner.outputs(known)


if __name__ == "__main__":
    sys.exit(main())
