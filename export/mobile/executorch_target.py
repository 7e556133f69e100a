"""ExecuTorch with the XNNPACK backend."""

import json
from collections import Counter
from pathlib import Path

import numpy as np

from export.mobile.graphs import Feed, Graph, Signature
from export.mobile.rewrites import GATHER, Rewritten
from export.mobile.target import ConversionError, Options, Placement, absence


class ExecuTorchRunner:
    """A .pte file on the CPU."""

    def __init__(self, path: Path, signature: Signature):
        """Loads the file."""
        from executorch.runtime import Runtime

        try:
            # The program must outlive its method.
            self._program = Runtime.get().load_program(path)
            self._method = self._program.load_method("forward")
        except RuntimeError as error:
            raise ConversionError(f"{path}: ExecuTorch cannot load it ({error})") from error
        self._signature = signature

    def feed(self, inputs: Feed) -> None:
        """Keeps the inputs."""
        import torch

        names = self._signature.inputs
        self._inputs = [torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in names]

    def run(self) -> None:
        """One pass."""
        self._outputs = self._method.execute(self._inputs)

    def read(self) -> dict[str, np.ndarray]:
        """The outputs."""
        names = self._signature.outputs
        return {n: v.numpy().copy() for n, v in zip(names, self._outputs, strict=True)}


class ExecuTorch:
    """PyTorch's own runtime for phones."""

    name = "executorch"
    extra = "executorch"
    packages = ("executorch",)
    precisions = ("fp32",)
    sampling = "native"
    device = "cpu"

    def convert(self, graph: Graph, folder: Path, options: Options) -> None:
        """Writes NAME.pte, and NAME.operators.json: what XNNPACK does not take."""
        import torch
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        module = graph.module
        if options.sampling == "gather":
            module = Rewritten(module, GATHER).eval()
        try:
            program = torch.export.export(module, tuple(graph.inputs.values()))
            edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
            found = operators(edge.exported_program().graph_module)
            data = edge.to_executorch().buffer
        except (RuntimeError, NotImplementedError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ConversionError(f"{graph.name}: ExecuTorch fails ({reason})") from error
        (folder / f"{graph.name}.pte").write_bytes(data)
        (folder / f"{graph.name}.operators.json").write_text(json.dumps(found, indent=1) + "\n")

    def obstacle(self) -> str | None:
        """None where the package is installed."""
        return absence(self)

    def load(self, name: str, signature: Signature, folder: Path, threads: int) -> ExecuTorchRunner:
        """The file of one graph."""
        from executorch.extension.pybindings import portable_lib

        set_threads = getattr(portable_lib, "_threadpool_set_num_threads", None)
        if set_threads is not None:
            set_threads(threads)
        return ExecuTorchRunner(folder / f"{name}.pte", signature)

    def placement(self, name: str, folder: Path) -> Placement:
        """What XNNPACK leaves to the portable kernels."""
        found = json.loads((folder / f"{name}.operators.json").read_text())
        left = {k: v for k, v in found["left"].items() if k not in ("getitem",)}
        sampled = [f"{v} {k}" for k, v in left.items() if "grid_sampler" in k or "index" in k]
        return Placement(
            found["delegated"] + sum(left.values()), left, ", ".join(sampled) or "none in it"
        )


def operators(module) -> dict:
    """Operators inside the delegates, and those left outside by name."""
    inside, left = 0, Counter()
    for node in module.graph.nodes:
        if node.op != "call_function":
            continue
        name = getattr(node.target, "__name__", str(node.target))
        if "call_delegate" in name:
            lowered = getattr(module, node.args[0].target).original_module
            nodes = lowered.graph_module.graph.nodes
            inside += sum(n.op == "call_function" for n in nodes)
        else:
            left[name.removeprefix("aten.").partition(".")[0]] += 1
    return {"delegated": inside, "left": dict(left.most_common())}
