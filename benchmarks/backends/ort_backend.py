"""ONNX Runtime on the CPU: what the released student runs on."""

import shutil
from pathlib import Path

import numpy as np
import onnx

from benchmarks.contenders import load_graph
from export.mobile.graphs import Feed, Graph, Signature
from export.mobile.target import Options, Placement, absence


class OrtRunner:
    """An ONNX file."""

    def __init__(self, path: Path, signature: Signature, threads: int):
        """Loads it."""
        self._session = load_graph(path.read_bytes(), threads)
        self._names = list(signature.outputs)

    def feed(self, inputs: Feed) -> None:
        """Keeps the inputs."""
        self._inputs = dict(inputs)

    def run(self) -> None:
        """One pass."""
        self._outputs = self._session.run(self._names, self._inputs)

    def read(self) -> dict[str, np.ndarray]:
        """The outputs."""
        return dict(zip(self._names, self._outputs, strict=True))


class Ort:
    """The runtime of the base install."""

    name = "onnxruntime"
    extra = "export"
    packages = ("onnxruntime", "onnx")
    precisions = ("fp32",)
    sampling = "native"
    device = "cpu"

    def convert(self, graph: Graph, folder: Path, options: Options) -> None:
        """Copies the ONNX file."""
        shutil.copyfile(graph.onnx, folder / f"{graph.name}.onnx")

    def obstacle(self) -> str | None:
        """None where the package is installed."""
        return absence(self)

    def load(self, name: str, signature: Signature, folder: Path, threads: int) -> OrtRunner:
        """The file of one graph."""
        return OrtRunner(folder / f"{name}.onnx", signature, threads)

    def placement(self, name: str, folder: Path) -> Placement:
        """Everything runs in the CPU provider, or the graph would not load."""
        nodes = onnx.load(folder / f"{name}.onnx").graph.node
        sampled = any(node.op_type == "GridSample" for node in nodes)
        return Placement(len(nodes), {}, "GridSample" if sampled else "none in it")
