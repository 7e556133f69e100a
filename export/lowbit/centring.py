"""Biases set so that every channel of a coded network has the mean that it has in fp32.

The first correction of a bias (`export.lowbit.quantise.bias_change`) knows only its own layer's
error. This one walks through the coded network from its inputs on: each layer gets the inputs that
the coded and corrected layers before it give, and its bias takes up what is left of the difference.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import ModelProto, numpy_helper

from export.lowbit.layers import Layer
from export.pair import session_of

Tensors = dict[str, np.ndarray]


def centre(
    model: ModelProto, layers: list[Layer], changed: Tensors, feeds: list[Tensors], means: Tensors
) -> None:
    """Shift the biases.

    Args:
        model: in fp32.
        layers: those that have a bias are centred.
        changed: coded weights and biases by name; the biases are changed.
        feeds: inputs of the graph for some samples; without any, nothing is done.
        means: wanted mean of every output channel, by name of the layer.
    """
    if not feeds:
        return
    order = {name: i for i, node in enumerate(model.graph.node) for name in node.output}
    known = [dict(feed) for feed in feeds]
    for layer in sorted((x for x in layers if x.bias), key=lambda x: order[x.output]):
        part = session_of(part_of(model, layer.output, known[0], changed).SerializeToString())
        names = [node.name for node in part.get_inputs()]
        found = [part.run(None, {name: one[name] for name in names})[0] for one in known]
        shift = means[layer.name] - np.mean([channel_means(x, layer) for x in found], axis=0)
        changed[layer.bias] = (changed[layer.bias] + shift).astype(np.float32)
        for one, tensor in zip(known, found, strict=True):
            one[layer.output] = tensor + along_channels(shift.astype(np.float32), tensor)


def channel_means(tensor: np.ndarray, layer: Layer) -> np.ndarray:
    """(rows,) float64, of an output (1, rows, h, w) or (..., rows)."""
    if tensor.ndim == 4:
        return tensor.mean((0, 2, 3), dtype=np.float64)
    return tensor.reshape(-1, layer.rows).mean(0, dtype=np.float64)


def along_channels(vector: np.ndarray, tensor: np.ndarray) -> np.ndarray:
    """A vector (rows,) in a shape that adds to an output's channels."""
    return vector[:, None, None] if tensor.ndim == 4 else vector


def part_of(
    model: ModelProto, output: str, known: Mapping[str, np.ndarray], changed: Tensors
) -> ModelProto:
    """The nodes between known tensors and one output, as a model of their own.

    Args:
        model: the whole.
        output: tensor that is wanted.
        known: float tensors that are given; what lies before them is left out.
        changed: initialisers that have other values than in the model.
    """
    maker = {name: i for i, node in enumerate(model.graph.node) for name in node.output}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    chosen, inputs, used, waiting = set(), set(), set(), [output]
    while waiting:
        name = waiting.pop()
        if name in known and name != output:
            inputs.add(name)
        elif name in constants:
            used.add(name)
        elif name in maker and maker[name] not in chosen:
            chosen.add(maker[name])
            waiting += model.graph.node[maker[name]].input
    float32 = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [model.graph.node[i] for i in sorted(chosen)],
        "part",
        [onnx.helper.make_tensor_value_info(n, float32, known[n].shape) for n in sorted(inputs)],
        [onnx.helper.make_empty_tensor_value_info(output)],
        [
            numpy_helper.from_array(np.ascontiguousarray(changed[n], np.float32), n)
            if n in changed
            else constants[n]
            for n in sorted(used)
        ],
    )
    opsets, version = model.opset_import, model.ir_version
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=version)
