"""Whole networks: the student's frame graph, and the rebuilt student of 2023."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.dmvton2023 import ForExport, Student2023, Student2023Config
from benchmarks.export2023 import INPUTS, OUTPUTS, exported
from export.mobile.graphs import Graph, student_graphs
from export.mobile.package import Reference, references
from export.mobile.samples import samples

FORMS = ("plain", "matmul")


class Model(NamedTuple):
    """A graph with inputs and right answers."""

    graph: Graph
    known: Sequence[Reference]


def student_model(
    checkpoint: Path, data: Path | None, scratch: Path, size: tuple[int, int] = (256, 192)
) -> Model:
    """The frame graph with the garment cached, on one pair of pictures."""
    graphs = student_graphs(checkpoint, size, scratch)
    pictures = [sample._asdict() for sample in samples(size, 1, data)]
    return Model(graphs[-1], references(graphs, pictures)[graphs[-1].name])


def model2023(form: str, cache: Path | None) -> Model:
    """The rebuilt student of 2023, whole, as in its paper; with random weights.

    Args:
        form: how its cost volume is written, one of `FORMS`.
        cache: folder of its graphs; None for the usual one.
    """
    files = exported(form, cache)
    torch.manual_seed(0)  # the weights of the exported graph
    module = ForExport(Student2023(Student2023Config(cost_volume=form))).eval()
    with np.load(files.reference) as arrays:
        feed = {name: arrays[name] for name in INPUTS}
        answers = {name: arrays[name] for name in OUTPUTS}
    inputs = {name: torch.from_numpy(value) for name, value in feed.items()}
    graph = Graph(f"dmvton2023-{form}", module, inputs, OUTPUTS, files.graph)
    return Model(graph, [Reference(feed, answers)])
