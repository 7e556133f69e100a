"""What the exports ask of an ONNX graph: which layers have weights, which must stay in float."""

from typing import NamedTuple

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

WEIGHTED = ("Conv", "Gemm", "MatMul")
# Outputs that are coordinates, weights or probabilities; the others are features. An error in
# these shows at once, so the last layer before them and all that follows stays in fp32.
FLOAT_OUTPUTS = {
    *("garment_mask", "garment_key", "garment_top"),
    *("flow", "alpha", "beta", "rendered", "gain", "keypoints", "presence"),
}


class Layer(NamedTuple):
    """A node with constant weights."""

    name: str
    op: str  # one of WEIGHTED
    weight: tuple[int, ...]  # shape of its weights
    group: int  # of a convolution, 1 otherwise

    @property
    def depthwise(self) -> bool:
        """Whether each channel is convolved on its own."""
        return self.group > 1


def attribute(node: NodeProto, name: str, default: int) -> int:
    """An integer attribute of a node."""
    return next((a.i for a in node.attribute if a.name == name), default)


def weighted_layers(model: ModelProto) -> list[Layer]:
    """Convolutions and matrix products with constant weights, in the graph's order."""
    shapes = {t.name: tuple(t.dims) for t in model.graph.initializer}
    return [
        Layer(n.name, n.op_type, shapes[n.input[1]], attribute(n, "group", 1))
        for n in model.graph.node
        if n.op_type in WEIGHTED and n.input[1] in shapes
    ]


def heads(model: ModelProto) -> set[str]:
    """Names of the nodes that make coordinates, weights and probabilities out of features.

    Found by walking back from the outputs in FLOAT_OUTPUTS and from every sampling grid, up to and
    with the first convolution or fully connected layer on each way.
    """
    maker = {output: node for node in model.graph.node for output in node.output}
    waiting = [o.name for o in model.graph.output if o.name in FLOAT_OUTPUTS]
    waiting += [n.input[1] for n in model.graph.node if n.op_type == "GridSample"]
    found: set[str] = set()
    while waiting:
        node = maker.get(waiting.pop())
        if node is None or node.name in found:
            continue
        found.add(node.name)
        if node.op_type not in ("Conv", "Gemm"):
            waiting += node.input
    return found


def parameter_count(model: ModelProto) -> int:
    """Number of weights: values of all constants of two or more axes."""
    return sum(int(np.prod(t.dims)) for t in model.graph.initializer if len(t.dims) > 1)


def constants(model: ModelProto) -> dict[str, np.ndarray]:
    """Values of the initialisers by name."""
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
