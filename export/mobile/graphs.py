"""What is converted: a graph in the two forms that converters read, a torch module and ONNX."""

import hashlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from export.pair import GRAPHS, OPSET, export_pair, load_student, make_probes

Feed = Mapping[str, np.ndarray]


class Signature(NamedTuple):
    """Names and shapes of a graph's inputs and outputs, in order; all float32."""

    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, tuple[int, ...]]


class Graph(NamedTuple):
    """One graph to convert."""

    name: str  # and stem of its files
    module: nn.Module  # takes the inputs in order, gives a tuple
    inputs: dict[str, Tensor]  # examples of the inputs, in order
    outputs: tuple[str, ...]
    onnx: Path  # the same graph, whose agreement with `module` was checked

    @property
    def signature(self) -> Signature:
        """Names and shapes; runs the module once."""
        with torch.no_grad():
            found = self.module(*self.inputs.values())
        shapes = [tuple(value.shape) for value in found]
        return Signature(
            {name: tuple(value.shape) for name, value in self.inputs.items()},
            dict(zip(self.outputs, shapes, strict=True)),
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the ONNX file."""
        return hashlib.sha256(self.onnx.read_bytes()).hexdigest()


def student_graphs(checkpoint: Path, size: tuple[int, int], scratch: Path) -> list[Graph]:
    """The garment graph and the frame graph of a checkpoint.

    Args:
        checkpoint: folder with config.json and model.safetensors.
        size: height and width, multiples of 16.
        scratch: where the ONNX pair is written, compared with torch.

    Raises:
        CheckpointError: the checkpoint is unusable, or ONNX and torch disagree.
        UsageError: the size does not fit the network.
    """
    student = load_student(checkpoint)
    export_pair(student, size, scratch, f"student-{size[0]}x{size[1]}")
    student.eval()  # the exporter puts it back to training mode
    with torch.no_grad():
        probes = make_probes(student, size, 1)
    graphs = []
    for file, (module, _, outputs) in GRAPHS.items():
        inputs = {name: torch.from_numpy(value) for name, value in probes[file].feed.items()}
        graphs.append(
            Graph(Path(file).stem, module(student).eval(), inputs, outputs, scratch / file)
        )
    return graphs


def graph_of(
    name: str, module: nn.Module, inputs: dict[str, Tensor], outputs: tuple[str, ...], folder: Path
) -> Graph:
    """A graph of any module whose inputs and outputs are tensors; its ONNX goes into `folder`."""
    path = folder / f"{name}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer warns about sizes that are constant here
        torch.onnx.export(
            module.eval(), tuple(inputs.values()), str(path), opset_version=OPSET, dynamo=False,
            input_names=list(inputs), output_names=list(outputs),
        )  # fmt: skip
    return Graph(name, module, inputs, outputs, path)
