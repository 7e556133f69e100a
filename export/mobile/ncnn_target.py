"""ncnn, converted from ONNX by pnnx."""

import re
import subprocess
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import helper

from export.mobile.graphs import Feed, Graph, Signature, graph_of
from export.mobile.target import ConversionError, Options, Placement, absence


class NcnnRunner:
    """A .param and .bin pair on the CPU, in float32."""

    def __init__(self, param: Path, signature: Signature, threads: int):
        """Loads both files."""
        import ncnn

        self._mat, self._signature = ncnn.Mat, signature
        self._net = ncnn.Net()
        options = self._net.opt
        options.num_threads, options.use_vulkan_compute = threads, False
        # bfloat16 and half arithmetic would make it another network.
        for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
            setattr(options, name, False)
        options.use_bf16_storage = False
        if self._net.load_param(str(param)) or self._net.load_model(str(param.with_suffix(".bin"))):
            raise ConversionError(f"{param}: ncnn cannot load it; convert again")

    def feed(self, inputs: Feed) -> None:
        """Copies the inputs, without their batch axis."""
        self._inputs = {
            name: self._mat(np.ascontiguousarray(inputs[name][0])).clone()
            for name in self._signature.inputs
        }

    def run(self) -> None:
        """One pass."""
        with self._net.create_extractor() as pass_:
            for name, value in self._inputs.items():
                pass_.input(name, value)
            self._outputs = [pass_.extract(name)[1] for name in self._signature.outputs]

    def read(self) -> dict[str, np.ndarray]:
        """The outputs with their batch axis."""
        shapes = self._signature.outputs.items()
        return {
            name: np.array(value).reshape(shape)
            for (name, shape), value in zip(shapes, self._outputs, strict=True)
        }


class Ncnn:
    """Phones and small computers: Android, iOS, Linux on ARM."""

    name = "ncnn"
    extra = "mobile"
    packages = ("pnnx", "ncnn")
    precisions = ("fp32", "fp16")
    sampling = "native"
    device = "cpu"

    def convert(self, graph: Graph, folder: Path, options: Options) -> None:
        """Writes NAME.ncnn.param and NAME.ncnn.bin, with the graph's own names of blobs."""
        with TemporaryDirectory(dir=folder) as scratch:
            # Not the slimmed file: pnnx folds the axes of attention only in their first form.
            traced = graph_of("graph", graph.module, graph.inputs, graph.outputs, Path(scratch))
            source = traced.onnx
            onnx.save(pooled(onnx.load(source)), source)
            half = f"fp16={int(options.precision == 'fp16')}"
            done = subprocess.run(
                [_pnnx(), source.name, half], cwd=scratch, capture_output=True, text=True
            )
            param, weights = (Path(scratch, f"graph.ncnn.{end}") for end in ("param", "bin"))
            if done.returncode or not param.is_file():
                raise ConversionError(
                    f"{graph.name}: pnnx ends with {done.returncode} and no graph; "
                    "try another version of pnnx"
                )
            text = named(param.read_text(), tuple(graph.inputs), graph.outputs)
            unknown_layers(graph.name, text)
            (folder / f"{graph.name}.ncnn.param").write_text(text)
            weights.replace(folder / f"{graph.name}.ncnn.bin")

    def obstacle(self) -> str | None:
        """None where the package is installed."""
        return absence(self)

    def load(self, name: str, signature: Signature, folder: Path, threads: int) -> NcnnRunner:
        """The pair of files of one graph."""
        return NcnnRunner(folder / f"{name}.ncnn.param", signature, threads)

    def placement(self, name: str, folder: Path) -> Placement:
        """All layers run on the CPU; `fallback` are those that leave the GPU where there is one."""
        import ncnn

        kinds = layers((folder / f"{name}.ncnn.param").read_text())
        slow = {
            kind: number
            for kind, number in kinds.items()
            if kind not in ("Input", "MemoryData", "Split")
            and not ncnn.create_layer(ncnn.layer_to_index(kind)).support_vulkan
        }
        return Placement(sum(kinds.values()), slow, "GridSample, on the CPU")


def layers(param: str) -> Counter[str]:
    """Kinds of layer in a .param file, and how many of each."""
    return Counter(line.split()[0] for line in param.splitlines()[2:] if line.strip())


def unknown_layers(name: str, param: str) -> None:
    """Refuses a graph with layers that ncnn does not have.

    Raises:
        ConversionError: pnnx passed operators through that it could not convert.
    """
    import ncnn

    unknown = [kind for kind in layers(param) if ncnn.layer_to_index(kind) < 0]
    if unknown:
        raise ConversionError(
            f"{name}: ncnn has no layer {', '.join(unknown)}; say it with other operators in "
            "the network or in export/mobile/ncnn_target.py"
        )


def named(param: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> str:
    """The .param text with pnnx's in0, in1, ..., out0, ... under the names of the graph."""
    names = {f"in{i}": name for i, name in enumerate(inputs)}
    names |= {f"out{i}": name for i, name in enumerate(outputs)}
    return re.sub(r"(?<=\s)(in|out)\d+(?=\s|$)", lambda found: names[found[0]], param)


def pooled(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its largest value over a map as a pooling, which ncnn knows."""
    nodes = []
    for node in model.graph.node:
        axes = next((list(a.ints) for a in node.attribute if a.name == "axes"), None)
        keep = next((a.i for a in node.attribute if a.name == "keepdims"), 1)
        if node.op_type == "ReduceMax" and axes == [2, 3]:
            pool = node.output[0] if keep else f"{node.output[0]}_map"
            nodes.append(helper.make_node("GlobalMaxPool", node.input, [pool]))
            if not keep:
                nodes.append(helper.make_node("Flatten", [pool], node.output, axis=1))
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def _pnnx() -> str:
    """The converter's program, which lies in its package."""
    import pnnx

    folder = Path(pnnx.__file__).parent
    found = [folder / name for name in ("pnnx", "pnnx.exe") if (folder / name).is_file()]
    if not found:
        raise ConversionError(f"{folder} holds no program pnnx; install the package pnnx again")
    return str(found[0])
