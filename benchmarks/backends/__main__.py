"""Times runtimes on the student and on its layers.

    python -m benchmarks.backends [--what models layers] [--threads 1 2] [--out backends.json]

Every contender is converted and compared with ONNX Runtime or torch first. A backend that is not
installed is left out with a word; a wrong result stops everything.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import torch

from benchmarks.backends.cases import Case, student_cases
from benchmarks.backends.contender import BackendContender
from benchmarks.backends.models import FORMS, Model, model2023, student_model
from benchmarks.backends.options import BackendsConfig, configuration
from benchmarks.backends.ort_backend import Ort
from benchmarks.backends.peaks import Peaks, measure_peaks
from benchmarks.backends.registry import chosen
from benchmarks.backends.tables import (
    category_table,
    layer_rows,
    layer_table,
    peaks_line,
    verdict_line,
    verdicts,
)
from benchmarks.bench import write
from benchmarks.export2023 import cache_folder
from benchmarks.harness import Contender, Plan, Timing, Unavailable, measure, ready
from benchmarks.precision.speed import FrameGraph
from benchmarks.report import environment, header, timing_table
from dmvton.errors import DmvtonError
from dmvton.runtime import read_graph, read_manifest
from export.mobile.graphs import graph_of
from export.mobile.openvino_target import OpenVino
from export.mobile.package import references
from export.mobile.target import Target
from export.quality import Runner


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints the tables and writes the JSON file; returns the exit status."""
    try:
        return run(configuration(sys.argv[1:] if argv is None else argv))
    except DmvtonError as error:
        print("benchmarks.backends: error:", " ".join(str(error).split()), file=sys.stderr)
        return 2


def run(config: BackendsConfig) -> int:
    """As `main`.

    Raises:
        UsageError: a backend does not exist.
        CheckFailed: a backend gives a wrong result.
        Unavailable: none can run here.
        OutputError: the JSON file cannot be written.
    """
    chosen(config.backends)  # refused before the work begins
    facts = environment()
    print(header(facts))
    peaks = [measure_peaks(threads, _clock(config)) for threads in config.threads]
    print(*map(peaks_line, peaks), sep="\n")
    report: dict[str, object] = {
        "environment": facts,
        "config": asdict(config),
        "peaks": [asdict(p) for p in peaks],
    }
    with TemporaryDirectory() as scratch:
        if "models" in config.what:
            report |= models(config, Path(scratch))
        if "layers" in config.what:
            report["layers"] = layers(config, peaks, Path(scratch))
    write(config.out, report)
    print(f"\nwritten: {config.out}")
    return 0


def models(config: BackendsConfig, scratch: Path) -> dict[str, object]:
    """Whole networks: tables, and the ratio to the student of 2023."""
    able: list[Contender] = [*model_contenders(config, scratch)]
    timings: list[Timing] = []
    for threads in config.threads:
        able = ready(able, threads, print)
        timings += measure(able, threads, Plan(config.rounds, config.warmup), clock=_clock(config))
    if not timings:
        raise Unavailable("no backend can run here; what is missing stands above")
    print("", timing_table(timings, "student:onnxruntime"), "", sep="\n")
    found = [v for threads in config.threads for v in verdicts(timings, threads)]
    print(*map(verdict_line, found), sep="\n")
    return {"models": [t.report() for t in timings], "verdicts": found}


def model_contenders(config: BackendsConfig, scratch: Path) -> list[Contender]:
    """The student on every backend, and the student of 2023 on the fastest ones."""
    cache = _cache(config)
    student = student_model(config.checkpoint, config.data, scratch)
    jobs = [("student", student, backend) for backend in _backends(config)]
    if config.rivals:
        rivals = [model2023(form, config.cache) for form in FORMS]
        jobs += [(m.graph.name, m, b) for m in rivals for b in chosen(config.rivals)]
    contenders: list[Contender] = [
        BackendContender(f"{name}:{backend.name}", backend, model.graph, model.known, cache)
        for name, model, backend in jobs
    ]
    return contenders + (_quantised(config.int8, student, scratch) if config.int8 else [])


def _quantised(folder: Path, student: Model, scratch: Path) -> list[Contender]:
    """The frame graph of an int8 pair, in the runtimes that read it."""
    graph = onnx.load_from_string(read_graph(folder, read_manifest(folder), "frame"))
    feed = student.known[0].feed
    answers = Runner({"frame.onnx": graph}).outputs(feed)
    return [
        FrameGraph(f"student-int8:{target.name}", graph, target, feed, answers, scratch)
        for target in (Ort(), OpenVino())
    ]


def layers(config: BackendsConfig, peaks: Sequence[Peaks], scratch: Path) -> list[dict]:
    """The student's layers, one after the other: tables at each number of threads."""
    graph = student_model(config.checkpoint, None, scratch).graph
    torch.manual_seed(0)
    cases = student_cases(graph.module, graph.inputs, config.shapes)
    rows = []
    for ceiling in peaks:
        timings = time_layers(config, cases, ceiling.threads, scratch)
        found = layer_rows(cases, timings, ceiling)
        print(f"\n{ceiling.threads} threads: median microseconds, and share of the roofline")
        print(layer_table(found))
        print("\nmilliseconds of these layers in a frame, and share of the roofline")
        print(category_table(found))
        rows += found
    return rows


def time_layers(
    config: BackendsConfig, cases: Sequence[Case], threads: int, scratch: Path
) -> dict[tuple[int, str], Timing]:
    """Timings by the index of the layer and the backend; the backends take turns at each layer."""
    timings: dict[tuple[int, str], Timing] = {}
    said: dict[str, None] = {}  # what is missing, told once
    plan = Plan(config.rounds, config.warmup)
    for index, case in enumerate(cases):
        contenders = layer_contenders(config, index, case, scratch)
        able = ready(contenders, threads, lambda word: said.setdefault(word))
        for timing in measure(able, threads, plan, clock=_clock(config)):
            timings[index, timing.name] = timing
    print(*said, sep="\n")
    return timings


def layer_contenders(
    config: BackendsConfig, index: int, case: Case, scratch: Path
) -> list[BackendContender]:
    """One layer on every backend."""
    graph = graph_of(f"layer{index}", case.module, case.inputs, ("y",), scratch)
    known = references([graph], [{n: v.numpy() for n, v in case.inputs.items()}])[graph.name]
    return [
        BackendContender(backend.name, backend, graph, known, _cache(config))
        for backend in _backends(config)
    ]


def _backends(config: BackendsConfig) -> list[Target]:
    """Those asked for, without those that the clock does not see."""
    return chosen(config.backends, ("cpu",) if config.clock == "cpu" else ())


def _clock(config: BackendsConfig) -> Callable[[], float]:
    return time.process_time if config.clock == "cpu" else time.perf_counter


def _cache(config: BackendsConfig) -> Path:
    return (config.cache or cache_folder()) / "backends"


if __name__ == "__main__":
    sys.exit(main())
