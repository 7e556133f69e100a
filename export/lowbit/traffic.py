"""Bytes that a GPU moves for each kind of convolution, and what packed weights would save of them.

Run as ``python -m export.lowbit.traffic [--checkpoint DIR] [--bits 4]``. Activations are float16,
read once and written once; packed weights have a float16 scale and offset for each 32 of a row.
This is what decides which convolutions are worth a kernel with packed weights.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime as ort

from dmvton.runtime import DEFAULT_WEIGHTS, read_graph, read_manifest

GROUP = 32


class Traffic(NamedTuple):
    """One convolution, for one picture."""

    name: str
    kind: str  # pointwise, depthwise or dense
    products: int  # multiplications
    activations: int  # bytes read and written
    weights: int  # bytes as float16
    packed: int  # bytes as codes with scales and offsets

    @property
    def saved(self) -> float:
        """Share of all bytes that packing saves."""
        return (self.weights - self.packed) / (self.weights + self.activations)


def convolutions(model: onnx.ModelProto, bits: int) -> Iterator[Traffic]:
    """Every convolution of a graph of fixed size."""
    sizes = element_counts(model)
    shapes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        rows, columns, *kernel = shapes[node.input[1]]
        taps = kernel[0] * kernel[1]
        before, after = sizes[node.input[0]], sizes[node.output[0]]
        grouped = any(a.name == "group" and a.i > 1 for a in node.attribute)
        kind = "depthwise" if grouped else "pointwise" if taps == 1 else "dense"
        weights = rows * columns * taps
        scales = rows * -(-columns * taps // GROUP)
        packed = weights * bits // 8 + 4 * scales
        yield Traffic(
            node.name, kind, after * columns * taps, 2 * (before + after), 2 * weights, packed
        )


def element_counts(model: onnx.ModelProto) -> dict[str, int]:
    """Sizes of what convolutions read and write, from a run on zeros."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    wanted = {name for node in convs for name in (node.input[0], node.output[0])}
    given = {value.name for value in model.graph.output}
    known = {value.name for value in model.graph.input}
    for name in sorted(wanted - given - known):
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {node.name: np.zeros(node.shape, np.float32) for node in session.get_inputs()}
    names = [output.name for output in session.get_outputs()]
    found = {**feed, **dict(zip(names, session.run(names, feed), strict=True))}
    return {name: found[name].size for name in wanted}


def table(layers: list[Traffic]) -> str:
    """Markdown: for each kind, its share of the products and what packing saves."""
    total = sum(layer.products for layer in layers)
    lines = ["| kind | layers | products | weights fp16, kB | activations, kB | saved | at most |"]
    lines.append("|---|---|---|---|---|---|---|")
    for kind in ("pointwise", "depthwise", "dense"):
        own = [layer for layer in layers if layer.kind == kind]
        if not own:
            continue
        weights, packed = sum(x.weights for x in own), sum(x.packed for x in own)
        moved = weights + sum(x.activations for x in own)
        lines.append(
            f"| {kind} | {len(own)} | {sum(x.products for x in own) / total:.1%} | "
            f"{weights / 1e3:.0f} | {(moved - weights) / 1e3:.0f} | "
            f"{(weights - packed) / moved:.1%} | {max(x.saved for x in own):.1%} |"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Print the table of a checkpoint's two graphs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT_WEIGHTS)
    parser.add_argument("--bits", type=int, default=4, choices=range(1, 9))
    args = parser.parse_args(argv)
    manifest = read_manifest(args.checkpoint)
    layers: list[Traffic] = []
    for graph in ("garment", "frame"):
        model = onnx.load_from_string(read_graph(args.checkpoint, manifest, graph))
        layers += convolutions(model, args.bits)
    print(table(layers))


if __name__ == "__main__":
    main()
