"""A conversion as a folder: checked against ONNX Runtime before anything is written."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime as ort

from dmvton import __version__
from dmvton.errors import CheckpointError
from export.files import staged, write_json
from export.mobile.graphs import Feed, Graph, Signature
from export.mobile.target import Options, Runner, Target, check, require, versions
from export.pair import TOLERANCE, Error

FORMAT = 1
MANIFEST = "manifest.json"


class Reference(NamedTuple):
    """Inputs of a graph and what ONNX Runtime makes of them."""

    feed: Feed
    outputs: dict[str, np.ndarray]


References = Mapping[str, Sequence[Reference]]  # by graph


def references(graphs: Sequence[Graph], feeds: Iterable[Feed]) -> References:
    """What ONNX Runtime makes of some inputs; a graph is fed the outputs of those before it."""
    found: dict[str, list[Reference]] = {graph.name: [] for graph in graphs}
    sessions = [ort.InferenceSession(str(g.onnx), providers=["CPUExecutionProvider"])
                for g in graphs]  # fmt: skip
    for given in feeds:
        known = dict(given)
        for graph, session in zip(graphs, sessions, strict=True):
            feed = {name: known[name] for name in graph.inputs}
            outputs = session.run(list(graph.outputs), feed)
            known |= dict(zip(graph.outputs, outputs, strict=True))
            found[graph.name].append(Reference(feed, {n: known[n] for n in graph.outputs}))
    return found


class Difference(NamedTuple):
    """How far an output is off, NaN where a number is none."""

    largest: float  # as it is
    relative: Error


def differences(runner: Runner, references: Sequence[Reference]) -> dict[str, Difference]:
    """By output, the worst of all references."""
    found: dict[str, Difference] = {}
    for feed, expected in references:
        runner.feed(feed)
        runner.run()
        for name, value in runner.read().items():
            gap = np.abs(value - expected[name])
            unit = max(1.0, float(np.abs(expected[name]).max()))
            worst = np.array([gap.max(), gap.max() / unit, gap.mean() / unit])
            if name in found:
                worst = np.maximum(worst, [found[name].largest, *found[name].relative])
            largest, *relative = map(float, worst)
            found[name] = Difference(largest, Error(*relative))
    return found


def too_far(found: Mapping[str, Difference], allowed: Error) -> dict[str, str]:
    """The outputs that are further off than allowed, and how far."""
    return {
        name: f"{error.largest:.1e}, mean {error.mean:.1e}"
        for name, (_, error) in found.items()
        if not all(e <= t for e, t in zip(error, allowed, strict=True))  # NaN is refused
    }


def convert(
    target: Target, graphs: Sequence[Graph], options: Options, known: References, out: Path
) -> dict:
    """Converts, compares and writes; the folder is as it was unless everything holds.

    Args:
        target: the format.
        graphs: in the order in which they run.
        options: how to convert.
        known: what is compared, where the format runs here.
        out: folder, made where missing.

    Returns:
        The manifest.

    Raises:
        MissingExtraError: a package is missing.
        UsageError: the format lacks an option.
        ConversionError: the converter fails.
        CheckpointError: the conversion and ONNX Runtime disagree.
        OutputError: the folder cannot be written.
    """
    check(target, options)
    require(target)
    with staged(out) as folder:
        for graph in graphs:
            target.convert(graph, folder, options)
        parity = _compared(target, graphs, options, known, folder)
        manifest = _manifest(target, graphs, options, parity, folder)
        write_json(folder / MANIFEST, manifest)
        for path in folder.iterdir():
            if path.is_dir():  # an .mlpackage; a folder cannot be moved onto one
                shutil.rmtree(out / path.name, ignore_errors=True)
    return manifest


def _compared(target, graphs, options, known, folder) -> dict[str, dict[str, float]] | None:
    """Largest errors by graph and output; None where the format cannot run here."""
    if target.obstacle() is not None:
        return None
    found = {}
    allowed = TOLERANCE[options.precision]
    wrong = {}
    for graph in graphs:
        runner = target.load(graph.name, graph.signature, folder, threads=1)
        off = differences(runner, known[graph.name])
        found[graph.name] = {name: one.largest for name, one in off.items()}
        wrong |= {f"{graph.name}.{name}": told for name, told in too_far(off, allowed).items()}
    if wrong:
        raise CheckpointError(
            f"{target.name} and ONNX Runtime differ: {wrong}, expected under {allowed.largest}, "
            f"mean {allowed.mean}; nothing was written. Try the other --sampling, or other "
            "versions of the converter"
        )
    return found


def _manifest(target, graphs, options, parity, folder: Path) -> dict:
    """What the folder holds, from what and how it was made, and how well it agrees."""
    return {
        "format": FORMAT,
        "target": target.name,
        "dmvton": __version__,
        "versions": versions(target),
        "options": asdict(options),
        "graphs": {
            graph.name: {"source_sha256": graph.digest, **graph.signature._asdict()}
            for graph in graphs
        },
        "files": {
            str(path.relative_to(folder)): {
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "bytes": path.stat().st_size,
            }
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
        "parity": parity,
        "not_run": target.obstacle(),
        "placement": {g.name: target.placement(g.name, folder)._asdict() for g in graphs},
    }


class Package(NamedTuple):
    """A folder made by `convert`, verified."""

    folder: Path
    manifest: dict
    signatures: dict[str, Signature]  # by graph

    @property
    def size(self) -> int:
        """Bytes of all files but the manifest."""
        return sum(entry["bytes"] for entry in self.manifest["files"].values())


def opened(folder: Path, target: Target) -> Package:
    """Reads a folder made by `convert` and verifies its files.

    Raises:
        CheckpointError: it is none, of another target or format, or a file was changed.
    """
    remedy = f"make it again with `dmvton export {target.name}`"
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        told = (manifest["format"], manifest["target"])
        signatures = {
            name: Signature(*({k: tuple(v) for k, v in graph[side].items()}
                              for side in Signature._fields))
            for name, graph in manifest["graphs"].items()
        }  # fmt: skip
        expected = {name: entry["sha256"] for name, entry in manifest["files"].items()}
        found = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in expected}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{folder}: no conversion that can be read ({type(error).__name__}: {error}); {remedy}"
        ) from error
    if told != (FORMAT, target.name):
        raise CheckpointError(
            f"{folder}: holds {told[1]} of format {told[0]}, expected {target.name} of format "
            f"{FORMAT}; {remedy}"
        )
    if changed := [name for name in expected if found[name] != expected[name]]:
        raise CheckpointError(f"{folder}: {', '.join(changed)} changed since; {remedy}")
    return Package(folder, manifest, signatures)
