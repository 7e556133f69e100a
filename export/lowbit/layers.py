"""The weights of an ONNX graph that are worth few bits, each seen as a matrix."""

from typing import NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper

SMALLEST = 128  # weights; smaller tensors cost next to nothing as float16
KEPT = 16  # numbers; up to here a tensor stays in the graph as it is (scales of Resize, scalars)


Users = dict[str, list[tuple[onnx.NodeProto, int]]]  # tensor -> nodes and places of their inputs


class Window(NamedTuple):
    """How a convolution walks over its input."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]  # top, left, bottom, right


class Layer(NamedTuple):
    """One weight tensor and where it works."""

    name: str  # of the initialiser
    label: str  # for people: the node that it belongs to
    shape: tuple[int, ...]
    axis: int  # of the output channels: the matrix is this axis by all others
    parts: int  # groups of the convolution; rows of one part see the same inputs
    source: str | None  # tensor that it is multiplied with; None where it is not (an embedding)
    window: Window | None  # None: the source's last axis is multiplied (MatMul, Gemm)
    bias: str | None  # initialiser that is added to its output

    @property
    def rows(self) -> int:
        """Output channels."""
        return self.shape[self.axis]

    @property
    def columns(self) -> int:
        """Weights of one output channel."""
        return int(np.prod(self.shape)) // self.rows

    @property
    def count(self) -> int:
        """Number of weights."""
        return self.rows * self.columns


def initialisers(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """All float32 initialisers by name."""
    return {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    }


def find_layers(model: onnx.ModelProto) -> list[Layer]:
    """Every float32 weight tensor of at least two axes and `SMALLEST` numbers."""
    tensors = initialisers(model)
    users: Users = {}
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            users.setdefault(name, []).append((node, place))
    return [
        _layer(name, tensor.shape, users, tensors)
        for name, tensor in tensors.items()
        if tensor.ndim >= 2 and tensor.size >= SMALLEST and name in users
    ]


def _layer(name: str, shape: tuple[int, ...], users: Users, tensors: dict) -> Layer:
    """Read off the node how the weight is used; shared weights are taken as embeddings."""
    node, place = users[name][0]
    label = (node.name or name).strip("/")
    plain = Layer(name, label, shape, int(len(shape) > 2), 1, None, None, None)
    if len(users[name]) > 1 or place != 1:
        return plain
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    known = plain._replace(source=node.input[0], bias=_bias(node, users, tensors))
    if node.op_type == "Conv" and len(shape) == 4 and _is_plain(attributes):
        pads = tuple(attributes.get("pads", (0, 0, 0, 0)))
        strides = tuple(attributes.get("strides", (1, 1)))
        return known._replace(
            axis=0, parts=attributes.get("group", 1), window=Window(shape[2:], strides, pads)
        )
    if node.op_type == "MatMul" and len(shape) == 2:
        return known._replace(axis=1)
    if node.op_type == "Gemm" and not attributes.get("transA"):
        return known._replace(axis=0 if attributes.get("transB") else 1)
    return plain


def _bias(node: onnx.NodeProto, users: Users, tensors: dict) -> str | None:
    """The bias of a node: its own input, or the vector that the next node adds."""
    bias, output = None, node.output[0]
    if len(node.input) > 2:
        bias = node.input[2]
    elif node.op_type == "MatMul" and len(users.get(output, ())) == 1:
        after, place = users[output][0]
        if after.op_type == "Add" and np.ndim(tensors.get(after.input[1 - place])) == 1:
            bias = after.input[1 - place]
    return bias if bias in tensors and len(users[bias]) == 1 else None


def _is_plain(attributes: dict) -> bool:
    """Whether a convolution has no dilation and explicit padding."""
    dilated = any(step != 1 for step in attributes.get("dilations", ()))
    return not dilated and attributes.get("auto_pad", b"NOTSET") == b"NOTSET"


def to_matrix(tensor: np.ndarray, layer: Layer) -> np.ndarray:
    """A weight tensor as (parts, rows of a part, columns); `from_matrix` of dmvton undoes it."""
    matrix = np.moveaxis(tensor, layer.axis, 0).reshape(layer.parts, -1, layer.columns)
    return np.ascontiguousarray(matrix)


def with_weights(model: onnx.ModelProto, changed: dict[str, np.ndarray]) -> bytes:
    """Bytes of the model with some of its initialisers replaced."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if tensor.name in changed:
            values = np.ascontiguousarray(changed[tensor.name], np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return copy.SerializeToString()
