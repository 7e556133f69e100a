"""One pair being packed: its graphs, what is known of their layers, and the files made of them."""

from pathlib import Path
from typing import Any

from dmvton.errors import CheckpointError, UsageError
from export.calibration import Sample
from export.folder import PairFolder
from export.lowbit.coding import Material, material
from export.lowbit.layers import find_layers
from export.lowbit.moments import gather_moments, white
from export.lowbit.packing import weight_bytes, write_packed
from export.lowbit.plan import (
    Plan,
    Table,
    budget_plan,
    cache_key,
    check_budget,
    measure,
    uniform_plan,
)
from export.lowbit.sensitivity import Prober
from export.quality import Runner

PROBE_SAMPLES = 3  # on which single layers are tried


class Work:
    """Writes packed folders of one pair, at a width or within a size."""

    def __init__(self, pair: PairFolder, samples: list[Sample], cache: Path):
        """Gathers what the layers see.

        Args:
            pair: in fp32.
            samples: for calibration; without any, all inputs are taken as white noise and all
                layers as equally important.
            cache: file that keeps what was measured of the layers, for other budgets.
        """
        self.pair, self.samples, self.cache = pair, samples, cache
        self.graphs = _materials(pair, samples)
        self.count = sum(layer.count for g in self.graphs.values() for layer in g.layers)
        self._table: Table | None = None

    def table(self) -> Table:
        """What is known of every layer; measured when first asked for."""
        if self._table is None:
            some = spread(self.samples, PROBE_SAMPLES)
            prober = Prober(self.graphs, some) if some else None
            key = cache_key(self.pair, self.samples)
            self._table = measure(self.graphs, prober, self.cache, key)
        return self._table

    def at_width(self, folder: Path, bits: int) -> tuple[Plan, int]:
        """Write with the same width for all layers; returns the plan and the bytes."""
        plan = uniform_plan(self.graphs, bits)
        return plan, self._write(folder, plan, f"{self.pair.name}-{bits}bit")

    def within(self, folder: Path, budget: int) -> tuple[Plan, int]:
        """Write with the best widths within `budget` bytes; returns the plan and the bytes.

        Raises:
            UsageError: the budget is too small.
        """
        check_budget(self.graphs, budget)
        margin = 0
        # The header's compressed size depends on the plan, by some hundred bytes.
        for _ in range(3):
            plan = budget_plan(self.graphs, self.table(), budget, margin)
            size = self._write(folder, plan, f"{self.pair.name}-lowbit")
            if size <= budget:
                return plan, size
            margin += size - budget + 64
        raise UsageError(f"a budget of {budget} bytes, got down to {size}; allow more")

    def mean_bits(self, plan: Plan) -> float:
        """Bits a weight, scales and offsets included."""
        return 8 * weight_bytes(self.graphs, plan) / self.count

    def layer_rows(self, plan: Plan) -> list[dict[str, Any]]:
        """One line a layer, for the report."""
        return [
            {
                "graph": file,
                "layer": layer.label,
                "weights": layer.count,
                **plan[file][layer.name]._asdict(),
            }
            for file, graph in self.graphs.items()
            for layer in graph.layers
        ]

    def _write(self, folder: Path, plan: Plan, name: str) -> int:
        return write_packed(self.graphs, plan, folder, name, self.pair.size)


def _materials(pair: PairFolder, samples: list[Sample]) -> dict[str, Material]:
    """Both graphs with the moments of their layers' inputs."""
    found: dict[str, Material] = {}
    runner = Runner(pair.models) if samples else None
    for file, model in pair.models.items():
        layers = find_layers(model)
        if not layers:
            raise CheckpointError(f"{file} has no weights to pack; export the pair again")
        if runner is None:
            moments = {layer.name: white(layer) for layer in layers}
        else:
            feeds = (_feed(runner, sample, model) for sample in samples)
            moments = gather_moments(model, layers, feeds)
        found[file] = material(model, moments)
    return found


def spread(samples: list[Sample], count: int) -> list[Sample]:
    """At most `count` of the samples, evenly from all of them."""
    return samples[:: max(1, len(samples) // count)][:count]


def _feed(runner: Runner, sample: Sample, model) -> dict:
    """The inputs of one graph for a sample."""
    known = runner.features(sample)
    return {node.name: known[node.name] for node in model.graph.input}
