"""From measurements of single layers to a width for each."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import tqdm

from dmvton.errors import UsageError
from dmvton.files import write_text
from export.calibration import Sample
from export.folder import PairFolder
from export.lowbit.allocate import Choice, allocate
from export.lowbit.coding import Material, overhead, stored
from export.lowbit.layers import Layer
from export.lowbit.quantise import Scheme
from export.lowbit.sensitivity import (
    PROBED,
    Probe,
    Prober,
    blind_predictor,
    predictor,
    schemes,
    uniform_scheme,
)

Graphs = Mapping[str, Material]  # by file name
Plan = dict[str, dict[str, Scheme]]  # file name -> layer -> scheme
UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "kib": 2**10, "mib": 2**20}
MANIFEST = 1024  # bytes kept for manifest.json
CACHE = "sensitivity.json"


class Measured(NamedTuple):
    """What is known of one layer."""

    errors: list[float]  # mean square change of its output under each of `schemes`
    signal: float  # mean square of its output
    probes: list[Probe]  # empty without pictures

    def choices(self, layer: Layer) -> list[Choice]:
        """Size and expected damage of each of `schemes`."""
        predict = predictor(self.probes) if self.probes else blind_predictor(self.signal)
        return [
            Choice(stored(layer, scheme).nbytes, predict(error))
            for scheme, error in zip(schemes(layer), self.errors, strict=True)
        ]


Table = dict[str, dict[str, Measured]]  # file name -> layer


def parse_size(text: str) -> int:
    """`2MB`, `1.5 MB`, `900kB`, `2MiB` or a number of bytes, in bytes.

    Raises:
        UsageError: it is none of these.
    """
    words = text.strip().lower()
    number = words.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = words[len(number) :].strip()
    try:
        size = int(float(number) * UNITS[unit])
        if size > 0:
            return size
    except (ValueError, KeyError, OverflowError):
        pass
    raise UsageError(f"budget {text!r}, expected a size such as 2MB, 1.5MB or 900kB")


def uniform_plan(graphs: Graphs, bits: int) -> Plan:
    """All layers at one width."""
    return {
        file: {layer.name: uniform_scheme(layer, bits) for layer in graph.layers}
        for file, graph in graphs.items()
    }


def fixed_bytes(graphs: Graphs) -> int:
    """Bytes of a packed folder beside the coded weights."""
    least = uniform_plan(graphs, 1)
    return MANIFEST + sum(overhead(graph, least[file]) for file, graph in graphs.items())


def check_budget(graphs: Graphs, budget: int) -> None:
    """Refuse what cannot be, before anything is measured.

    Raises:
        UsageError: the budget is too small for any widths.
    """
    least = fixed_bytes(graphs) + sum(
        min(stored(layer, scheme).nbytes for scheme in schemes(layer))
        for graph in graphs.values()
        for layer in graph.layers
    )
    if budget < least:
        raise UsageError(
            f"a budget of {budget} bytes, expected at least {least}, which is all layers at their "
            "smallest; allow more"
        )


def budget_plan(graphs: Graphs, table: Table, budget: int, margin: int = 0) -> Plan:
    """The widths with which a folder of at most `budget` bytes is expected to be best.

    Args:
        graphs: what is coded.
        table: what is known of the layers.
        budget: bytes of both files and the manifest.
        margin: bytes to leave free.

    Raises:
        UsageError: the budget is too small for any widths.
    """
    keys = [(file, layer) for file, graph in graphs.items() for layer in graph.layers]
    fixed = fixed_bytes(graphs) + margin
    choices = [table[file][layer.name].choices(layer) for file, layer in keys]
    picks = allocate(choices, budget - fixed)
    plan: Plan = {file: {} for file in graphs}
    for (file, layer), pick in zip(keys, picks, strict=True):
        plan[file][layer.name] = schemes(layer)[pick]
    return plan


def measure(graphs: Graphs, prober: Prober | None, cache: Path, key: str) -> Table:
    """Every layer's error at every width, and the damage at some; goes on where it was stopped.

    Args:
        graphs: what is coded.
        prober: runs the network; None where there are no pictures.
        cache: file that keeps what was measured; one of another key is replaced.
        key: stands for the weights and the samples.
    """
    table = _read_cache(cache, key)
    keys = [(file, layer) for file, graph in graphs.items() for layer in graph.layers]
    for file, layer in tqdm.tqdm(keys, desc="sensitivity", unit="layer"):
        known = table.setdefault(file, {})
        if layer.name not in known:
            known[layer.name] = _measure_layer(graphs[file], prober, file, layer)
            write_text(cache, json.dumps({"key": key, "layers": table}))
    return table


def _measure_layer(graph: Material, prober: Prober | None, file: str, layer: Layer) -> Measured:
    coded = [graph.code(layer, scheme) for scheme in schemes(layer)]
    probes = [prober.probe(file, layer, bits) for bits in PROBED] if prober else []
    return Measured([c.error for c in coded], coded[0].signal, probes)


def cache_key(pair: PairFolder, samples: list[Sample]) -> str:
    """Stands for weights and samples."""
    digest = hashlib.sha256()
    for model in pair.models.values():
        digest.update(model.SerializeToString(deterministic=True))
    for sample in samples:
        digest.update(sample.person.tobytes())
        digest.update(sample.garment.tobytes())
    return digest.hexdigest()


def _read_cache(path: Path, key: str) -> Table:
    try:
        saved = json.loads(path.read_bytes())
        if saved["key"] != key:
            return {}
        return {
            file: {
                name: Measured(errors, signal, [Probe(*probe) for probe in probes])
                for name, (errors, signal, probes) in layers.items()
            }
            for file, layers in saved["layers"].items()
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # missing or of another version: it is only a cache
