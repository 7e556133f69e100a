"""From INT8 QDQ to 8-bit floats (E4M3), with the same layers and ranges."""

import ml_dtypes
import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.graph import constants

OPSET = 19  # the first in which QuantizeLinear knows 8-bit floats
LARGEST = 448.0  # of E4M3
_INT8 = 127.0
_ZERO = "zero_float8"


def to_fp8(quantised: ModelProto, original: ModelProto) -> ModelProto:
    """Replaces the 8-bit integers of a QDQ graph by 8-bit floats.

    Args:
        quantised: of `export.quantise.to_int8`; not changed. Of opset 19 or later.
        original: the fp32 graph that it was made from, for the weights.
    """
    model = ModelProto()
    model.CopyFrom(quantised)
    values, weights = constants(model), constants(original)
    fresh = {_ZERO: helper.make_tensor(_ZERO, TensorProto.FLOAT8E4M3FN, [], [0.0])}
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        source, scale = node.input[0], node.input[1]
        if source in values:
            name = source.removesuffix("_quantized")
            fresh |= _weight(node, weights[name])
        else:
            stretched = values[scale] * np.float32(_INT8 / LARGEST)
            fresh[scale] = numpy_helper.from_array(np.asarray(stretched, np.float32), scale)
            node.input[2] = _ZERO
    kept = [t for t in model.graph.initializer if t.name not in fresh]
    used = {name for node in model.graph.node for name in node.input}
    del model.graph.initializer[:]
    model.graph.initializer.extend(t for t in [*kept, *fresh.values()] if t.name in used)
    return model


def _weight(node: NodeProto, weight: np.ndarray) -> dict[str, TensorProto]:
    """New weight and scale of a DequantizeLinear node, which drops its zero point."""
    source, scale = node.input[0], node.input[1]
    axis = next(a.i for a in node.attribute if a.name == "axis")
    others = tuple(i for i in range(weight.ndim) if i != axis % weight.ndim)
    step = np.maximum(np.abs(weight).max(others, keepdims=True), 1e-12) / np.float32(LARGEST)
    small = (weight / step).astype(ml_dtypes.float8_e4m3fn)
    del node.input[2:]
    return {
        source: numpy_helper.from_array(small, source),
        scale: numpy_helper.from_array(step.reshape(-1).astype(np.float32), scale),
    }
