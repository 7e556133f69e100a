"""LiteRT, formerly TensorFlow Lite, converted by litert-torch."""

from collections import Counter
from pathlib import Path

import numpy as np

from export.mobile.graphs import Feed, Graph, Signature
from export.mobile.rewrites import GATHER, Named, Rewritten
from export.mobile.target import ConversionError, Options, Placement, absence


class LiteRTRunner:
    """A .tflite file on the CPU, with XNNPACK where it can."""

    def __init__(self, path: Path, signature: Signature, threads: int):
        """Loads the file."""
        self._interpreter = _interpreter(path, threads)
        self._inputs = _by_name(self._interpreter.get_input_details(), signature.inputs)
        self._outputs = _by_name(self._interpreter.get_output_details(), signature.outputs)
        self._shapes = signature.outputs

    def feed(self, inputs: Feed) -> None:
        """Copies the inputs."""
        for name, index in self._inputs.items():
            self._interpreter.set_tensor(index, inputs[name])

    def run(self) -> None:
        """One pass."""
        self._interpreter.invoke()

    def read(self) -> dict[str, np.ndarray]:
        """Copies of the outputs."""
        return {
            name: self._interpreter.get_tensor(index).reshape(self._shapes[name])
            for name, index in self._outputs.items()
        }


class LiteRT:
    """Android, and whatever else runs TensorFlow Lite."""

    name = "litert"
    extra = "litert"
    packages = ("litert_torch", "ai_edge_litert")
    precisions = ("fp32",)
    sampling = "gather"
    device = "cpu"

    def convert(self, graph: Graph, folder: Path, options: Options) -> None:
        """Writes NAME.tflite, its signature under the names of the graph."""
        import litert_torch

        module = graph.module
        if options.sampling == "gather":
            module = Rewritten(module, GATHER)
        module = Named(module, tuple(graph.inputs), graph.outputs).eval()
        try:
            litert_torch.convert(module, sample_kwargs=dict(graph.inputs)).export(
                str(folder / f"{graph.name}.tflite")
            )
        except (RuntimeError, NotImplementedError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ConversionError(f"{graph.name}: litert-torch fails ({reason})") from error

    def obstacle(self) -> str | None:
        """None where the package is installed."""
        return absence(self)

    def load(self, name: str, signature: Signature, folder: Path, threads: int) -> LiteRTRunner:
        """The file of one graph."""
        return LiteRTRunner(folder / f"{name}.tflite", signature, threads)

    def placement(self, name: str, folder: Path) -> Placement:
        """What XNNPACK leaves to the reference kernels."""
        operators = _interpreter(folder / f"{name}.tflite", 1)._get_ops_details()
        own = [op for op in operators if op["op_name"] != "DELEGATE"]
        taken = delegated(operators)
        left = Counter(op["op_name"] for op in own if op["index"] not in taken)
        gathers = sum(op["op_name"].startswith("GATHER") for op in own)
        return Placement(len(own), dict(left), f"{gathers} gathers" if gathers else "none in it")


def delegated(operators: list[dict]) -> set[int]:
    """Indices of the operators that the delegates took over.

    A delegate stands beside the operators that it replaces: they are those between its inputs and
    its outputs.
    """
    own = [op for op in operators if op["op_name"] != "DELEGATE"]
    maker = {int(t): op for op in own for t in op["outputs"]}
    taken: set[int] = set()
    for delegate in (op for op in operators if op["op_name"] == "DELEGATE"):
        stop = {int(t) for t in delegate["inputs"]}
        waiting = [int(t) for t in delegate["outputs"]]
        while waiting:
            op = maker.get(waiting.pop())
            if op is not None and op["index"] not in taken:
                taken.add(op["index"])
                waiting += [int(t) for t in op["inputs"] if int(t) not in stop]
    return taken


def _interpreter(path: Path, threads: int):
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ConversionError(f"{path}: LiteRT cannot load it ({error}); convert again") from error
    return interpreter


def _by_name(details: list[dict], names) -> dict[str, int]:
    """Tensor index of each name; tensors are called SIGNATURE_NAME or SIGNATURE_NAME_output."""
    found = {}
    for name in names:
        ends = (f"serving_default_{name}", f"serving_default_{name}_output")
        (found[name],) = (d["index"] for d in details if d["name"].partition(":")[0] in ends)
    return found
