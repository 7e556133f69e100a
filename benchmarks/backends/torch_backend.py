"""torch on the CPU, as TorchScript with its graph frozen and folded."""

import warnings
from pathlib import Path

import numpy as np
import torch

from export.mobile.graphs import Feed, Graph, Signature
from export.mobile.target import Options, Placement, absence


class TorchRunner:
    """A traced module."""

    def __init__(self, path: Path, signature: Signature, threads: int):
        """Loads and freezes it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of TorchScript's age
            loaded = torch.jit.load(path).eval()
            self._module = torch.jit.optimize_for_inference(torch.jit.freeze(loaded))
        self._signature, self._threads = signature, threads

    def feed(self, inputs: Feed) -> None:
        """Copies the inputs."""
        self._inputs = [torch.tensor(inputs[name]) for name in self._signature.inputs]

    def run(self) -> None:
        """One pass."""
        torch.set_num_threads(
            self._threads
        )  # of the process: another contender may have changed it
        with torch.inference_mode():
            self._outputs = self._module(*self._inputs)

    def read(self) -> dict[str, np.ndarray]:
        """The outputs."""
        names = self._signature.outputs
        return {n: v.numpy().copy() for n, v in zip(names, self._outputs, strict=True)}


class Torch:
    """What the network is trained in."""

    name = "torch"
    extra = "train"
    packages = ("torch",)
    precisions = ("fp32",)
    sampling = "native"
    device = "cpu"

    def convert(self, graph: Graph, folder: Path, options: Options) -> None:
        """Writes NAME.pt."""
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of the tracer's age, and of sizes that are constant
            examples = tuple(graph.inputs.values())
            traced = torch.jit.trace(graph.module, examples, check_trace=False)
            traced.save(str(folder / f"{graph.name}.pt"))

    def obstacle(self) -> str | None:
        """None where the package is installed."""
        return absence(self)

    def load(self, name: str, signature: Signature, folder: Path, threads: int) -> TorchRunner:
        """The file of one graph."""
        return TorchRunner(folder / f"{name}.pt", signature, threads)

    def placement(self, name: str, folder: Path) -> Placement:
        """Everything runs in torch's own kernels."""
        graph = torch.jit.load(folder / f"{name}.pt").inlined_graph
        kinds = [n.kind() for n in graph.nodes() if n.kind().startswith("aten::")]
        sampled = "aten::grid_sampler" in kinds
        return Placement(len(kinds), {}, "grid_sampler" if sampled else "none in it")
