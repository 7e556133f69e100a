"""Bytes of convolutions, against a count by hand."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from export.lowbit.traffic import convolutions, table  # noqa: E402


def model():
    """(1, 8, 6, 5) through a pointwise convolution to 64 channels and a depthwise 3x3."""
    weights = {"p": np.zeros((64, 8, 1, 1)), "d": np.zeros((64, 1, 3, 3))}
    nodes = [
        helper.make_node("Conv", ["x", "p"], ["y"], name="pointwise"),
        helper.make_node("Conv", ["y", "d"], ["z"], name="depthwise", group=64, pads=[1] * 4),
    ]
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 6, 5])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 64, 6, 5])],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()],
    )
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8)


def test_bytes_and_products():
    pointwise, depthwise = convolutions(model(), bits=4)
    assert (pointwise.kind, depthwise.kind) == ("pointwise", "depthwise")
    assert pointwise.products == 64 * 8 * 30 and depthwise.products == 64 * 9 * 30
    assert pointwise.activations == 2 * (8 + 64) * 30
    assert depthwise.activations == 2 * (64 + 64) * 30
    assert pointwise.weights == 2 * 64 * 8 and depthwise.weights == 2 * 64 * 9
    assert pointwise.packed == 64 * 8 // 2 + 4 * 64  # one scale and one offset a row
    assert pointwise.saved == (1024 - 512) / (1024 + 4320)


def test_table_has_a_line_for_each_kind():
    lines = table(list(convolutions(model(), bits=4))).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["pointwise", "depthwise"]
