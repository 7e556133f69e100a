"""Writes docs/DEVICES.md: what each format does with the student.

    python -m benchmarks.backends.devices [--data SHARDS] [--out docs/DEVICES.md]

Formats whose converter is not installed keep the rows of `--keep`, the JSON file of an earlier run,
so that environments that exclude each other can fill one table.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.backends.ort_backend import Ort
from benchmarks.backends.page import page
from benchmarks.bench import write
from benchmarks.export2023 import cache_folder
from benchmarks.harness import Plan, measure
from benchmarks.report import environment
from dmvton.errors import DmvtonError
from dmvton.files import write_text
from dmvton.runtime import DEFAULT_WEIGHTS
from export.mobile.graphs import Graph, student_graphs
from export.mobile.package import Package, References, convert, opened, references
from export.mobile.samples import samples
from export.mobile.target import ConversionError, Options, Sampling, Target, absence
from export.mobile.targets import TARGETS

SIZE = (256, 192)
# What is tried beside each format's own choice, to show the difference.
VARIANTS: tuple[tuple[str, Options], ...] = (
    ("ncnn", Options()),
    ("ncnn", Options(precision="fp16")),
    ("litert", Options(sampling="gather")),
    ("litert", Options(sampling="native")),
    ("executorch", Options(sampling="native")),
    ("executorch", Options(sampling="gather")),
    ("coreml", Options(precision="fp16")),
    ("web", Options()),
    ("openvino", Options()),
)


class Loaded:
    """A package's frame graph as the harness times it."""

    batch, resolution = 1, "x".join(map(str, SIZE))

    def __init__(self, name: str, target: Target, package: Package, known: References):
        self.name, self.device = name, target.device
        self._runner = target.load("frame", package.signatures["frame"], package.folder, 1)
        self._runner.feed(known["frame"][0].feed)

    def prepare(self, threads: int) -> None:
        """Nothing: one thread, loaded already."""

    def run(self) -> None:
        """One frame."""
        self._runner.run()

    def check(self) -> None:
        """Nothing: `convert` compared it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Converts, compares, times and writes; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT_WEIGHTS)
    parser.add_argument("--data", type=Path, help="folder of shards; drawn pictures by default")
    parser.add_argument("--count", type=int, default=8, help="pairs of pictures compared")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--targets", nargs="+", default=list(TARGETS))
    parser.add_argument("--keep", type=Path, help="JSON of an earlier run, for the other rows")
    parser.add_argument("--json", type=Path, default=Path("devices.json"))
    parser.add_argument("--out", type=Path, default=Path("docs/DEVICES.md"))
    given = parser.parse_args(argv)
    try:
        rows = json.loads(given.keep.read_text())["rows"] if given.keep else {}
        with TemporaryDirectory() as scratch:
            rows |= measured(given, Path(scratch))
        report = {"environment": environment(), "pictures": _pictures(given), "rows": rows}
        write(given.json, report)
        write_text(given.out, page(report, [_key(n, o) for n, o in VARIANTS]), "pass another --out")
    except DmvtonError as error:
        print("devices: error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    print(f"written: {given.out}, {given.json}")
    return 0


def measured(given: argparse.Namespace, scratch: Path) -> dict[str, dict]:
    """Rows by variant, of the targets asked for whose converter is installed."""
    graphs = student_graphs(given.checkpoint, SIZE, scratch)
    pictures = samples(SIZE, given.count, given.data)
    known = references(graphs, [picture._asdict() for picture in pictures])
    rows, contenders = {}, []
    convert(Ort(), graphs, Options(), known, scratch / "ort")
    baseline = Loaded("onnxruntime", Ort(), opened(scratch / "ort", Ort()), known)
    for name, options in VARIANTS:
        target, key = TARGETS[name], _key(name, options)
        if name not in given.targets:
            continue
        if said := absence(target):
            print(f"{key}: left out: {said}")
            continue
        package = packaged(target, graphs, options, known)
        rows[key] = _row(target, options, package)
        runs = target.obstacle() is None and target.device != "interpreter"
        if "failed" not in rows[key] and runs:
            contenders.append(Loaded(key, target, package, known))
    baseline_time, *timings = measure([baseline, *contenders], 1, Plan(given.rounds, 2))
    for timing in timings:
        rows[timing.name]["ratio"] = timing.median / baseline_time.median
        rows[timing.name]["milliseconds"] = timing.median * 1e3
    return rows


def packaged(
    target: Target, graphs: list[Graph], options: Options, known: References
) -> Package | str:
    """The conversion, from the cache where it is there; or why the format cannot have it."""
    digest = "-".join(graph.digest[:8] for graph in graphs)
    folder = cache_folder() / "devices" / f"{_key(target.name, options)}-{digest}"
    try:
        if not (folder / "manifest.json").is_file():
            convert(target, graphs, options, known, folder)
        return opened(folder, target)
    except ConversionError as error:
        return str(error).replace(f"{folder.parent}/", "")


def _row(target: Target, options: Options, package: Package | str) -> dict:
    """What the table says of one variant."""
    if isinstance(package, str):
        return {"target": target.name, "failed": package}
    manifest = package.manifest
    parity = manifest["parity"]
    return {
        "target": target.name,
        "device": target.device,
        "precision": options.precision,
        "sampling": options.sampling,
        "versions": manifest["versions"],
        "not_run": manifest["not_run"],
        "error": parity and max(max(graph.values()) for graph in parity.values()),
        "bytes": package.size,
        "placement": manifest["placement"]["frame"],
    }


def _key(name: str, options: Options) -> str:
    """Name of a variant."""
    sampling: Sampling = TARGETS[name].sampling
    parts = [name, *([options.precision] if options.precision != "fp32" else [])]
    return ", ".join([*parts, *([options.sampling] if options.sampling != sampling else [])])


def _pictures(given: argparse.Namespace) -> str:
    kind = "drawn pictures" if given.data is None else "held-out pictures of shards"
    return f"{given.count} pairs of {kind}"


if __name__ == "__main__":
    sys.exit(main())
