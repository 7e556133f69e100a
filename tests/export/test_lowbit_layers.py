"""Which weights of a graph are found, and what is known of their inputs and outputs."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

pytest.importorskip("onnxslim", reason="the export extra is not installed")

from export.lowbit.coding import material  # noqa: E402
from export.lowbit.layers import find_layers, initialisers, to_matrix, with_weights  # noqa: E402
from export.lowbit.moments import gather_moments, inner_tensors  # noqa: E402
from export.lowbit.quantise import Scheme, output_error  # noqa: E402

SHAPES = {
    "dense": (16, 3, 3, 3), "dense_b": (16,), "depth": (16, 1, 5, 5), "point": (12, 16, 1, 1),
    "point_b": (12,), "place": (1, 12, 6, 5), "matmul": (12, 14), "matmul_b": (14,),
    "gemm": (20, 14), "gemm_b": (20,), "tiny": (2, 3),
}  # fmt: skip


def graph():
    """A convolution of every kind, an embedding, MatMul with Add, and Gemm."""
    rng = np.random.default_rng(0)
    tensors = [
        numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name)
        for name, shape in SHAPES.items()
    ] + [numpy_helper.from_array(np.array([30, 12]), "flat"), ]  # fmt: skip
    make = onnx.helper.make_node
    nodes = [
        make("Conv", ["x", "dense", "dense_b"], ["a"], name="stem", strides=[2, 2],
             pads=[0, 1, 1, 2]),
        make("Relu", ["a"], ["a1"]),
        make("Conv", ["a1", "depth"], ["b"], name="depthwise", group=16, pads=[2, 2, 2, 2]),
        make("Conv", ["b", "point", "point_b"], ["c"], name="/point/Conv"),
        make("Add", ["c", "place"], ["d"], name="embed"),
        make("Transpose", ["d"], ["d1"], perm=[0, 2, 3, 1]),
        make("Reshape", ["d1", "flat"], ["d2"]),
        make("MatMul", ["d2", "matmul"], ["e"], name="product"),
        make("Add", ["matmul_b", "e"], ["f"]),
        make("Gemm", ["f", "gemm", "gemm_b"], ["y"], name="full", transB=1),
    ]  # fmt: skip
    info = onnx.helper.make_tensor_value_info
    ends = [info("x", 1, [1, 3, 13, 8])], [info("y", 1, [30, 20])]
    body = onnx.helper.make_graph(nodes, "all", *ends, tensors)
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(body, opset_imports=opset, ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture(scope="module")
def model():
    return graph()


@pytest.fixture(scope="module")
def feeds():
    rng = np.random.default_rng(1)
    return [{"x": rng.normal(0.5, 1, (1, 3, 13, 8)).astype(np.float32)} for _ in range(5)]


@pytest.fixture(scope="module")
def layers(model):
    return {layer.name: layer for layer in find_layers(model)}


def test_every_weight_is_found_with_its_place(layers):
    assert set(layers) == {"dense", "depth", "point", "place", "matmul", "gemm"}
    facts = {n: (x.rows, x.columns, x.parts, x.source, x.bias) for n, x in layers.items()}
    assert facts == {
        "dense": (16, 27, 1, "x", "dense_b"),
        "depth": (16, 25, 16, "a1", None),
        "point": (12, 16, 1, "b", "point_b"),
        "place": (12, 30, 1, None, None),
        "matmul": (14, 12, 1, "d2", "matmul_b"),
        "gemm": (20, 14, 1, "f", "gemm_b"),
    }
    assert layers["point"].label == "point/Conv"


def test_moments_predict_the_power_of_every_output(model, layers, feeds):
    """Mean square of W x from the moments, against the graph's own outputs without bias."""
    bare = onnx.load_from_string(
        with_weights(model, {n: np.zeros(s) for n, s in SHAPES.items() if n.endswith("_b")})
    )
    tensors = initialisers(model)
    after = {"dense": "a", "depth": "b", "point": "c", "matmul": "e", "gemm": "y"}
    moments = gather_moments(bare, list(layers.values()), feeds)
    seen = list(inner_tensors(bare.SerializeToString(), set(after.values()), feeds))
    for name, output in after.items():
        matrix = to_matrix(tensors[name], layers[name]).astype(float)
        wanted = np.mean([np.square(one[output]).mean() for one in seen])
        assert output_error(matrix, moments[name].gram) == pytest.approx(wanted, rel=1e-4)
        found = np.einsum("prk,pk->pr", matrix, moments[name].mean).mean()
        assert found == pytest.approx(np.mean([one[output].mean() for one in seen]), abs=1e-4)
    np.testing.assert_array_equal(moments["place"].gram[0], np.eye(30))


def test_replaced_weights_are_those_that_run(model, feeds):
    scaled = with_weights(model, {"gemm": 2 * initialisers(model)["gemm"], "gemm_b": np.zeros(20)})
    run = [ort.InferenceSession(data).run(None, feeds[0])[0]
           for data in (model.SerializeToString(), scaled)]  # fmt: skip
    bias = initialisers(model)["gemm_b"]
    np.testing.assert_allclose(run[1], 2 * (run[0] - bias), rtol=1e-4, atol=1e-4)


def test_coded_biases_keep_the_mean_output_of_their_own_layer(model, layers, feeds):
    """Also that of a matrix product whose bias is added by the next node."""
    whole = material(model, gather_moments(model, list(layers.values()), feeds))
    for name, output in {"dense": "a", "point": "c", "matmul": "f", "gemm": "y"}.items():
        coded = whole.code(layers[name], Scheme(2, 0, True))
        changed = whole.changes(layers[name], coded)
        assert set(changed) == {name, layers[name].bias}
        assert changed[name].shape == layers[name].shape
        runs = [
            np.mean([tensors[output] for tensors in inner_tensors(data, {output}, feeds)], 0)
            for data in (model.SerializeToString(), with_weights(model, changed))
        ]
        axes = (0, 2, 3) if runs[0].ndim == 4 else (0,)
        np.testing.assert_allclose(runs[0].mean(axes), runs[1].mean(axes), atol=1e-3)
        assert np.abs(runs[0] - runs[1]).max() > 0.05
