"""Eight bits in the form that TensorRT takes."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from export.calibration import read_samples
from export.eightbit import Quantiser
from export.float8 import LARGEST, to_fp8
from export.float8 import OPSET as FP8_OPSET
from export.graph import heads, weighted_layers
from export.pair import session_of
from export.quantise import calibrate, quantisable, to_int8
from tests.samples import write_shards
from tests.students import SMALL, tiny_graphs

PERSONS = ("flow", "alpha", "rendered", "keypoints")


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return read_samples(write_shards(tmp_path_factory.mktemp("shards"), "CDCD"), SMALL, 4)


@pytest.fixture(scope="module")
def quantiser(samples):
    """Both graphs of the tiny student, calibrated."""
    return Quantiser(tiny_graphs(), samples, "int8")


@pytest.fixture(scope="module")
def int8(quantiser):
    return quantiser.quantised(quantiser.layers)


def sources(model):
    """What each weighted node reads as its input, weight and bias: the node that made it."""
    maker = {output: node for node in model.graph.node for output in node.output}
    return {
        n.name: [maker.get(name) for name in n.input]
        for n in model.graph.node
        if n.op_type in ("Conv", "Gemm", "MatMul")
    }


@pytest.mark.parametrize("file", ["garment.onnx", "frame.onnx"])
def test_only_dense_layers_that_are_no_heads_are_quantised(int8, file):
    original, read = tiny_graphs()[file], sources(int8[file])
    kept = heads(original)
    for layer in weighted_layers(original):
        kinds = [node.op_type if node else None for node in read[layer.name]]
        small = not layer.depthwise and layer.name not in kept
        assert (kinds[:2] == ["DequantizeLinear"] * 2) == small, layer
        assert kinds[2:] in ([], [None]), "the bias is a constant in float"
    assert any(layer.depthwise for layer in weighted_layers(original))


@pytest.mark.parametrize("file", ["garment.onnx", "frame.onnx"])
def test_symmetric_and_per_channel(int8, file):
    model = int8[file]
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    pairs = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(pairs) > 30
    for node in pairs:
        zero = values[node.input[2]]
        assert zero.dtype == np.int8 and not zero.any()
        if node.input[0] in values:  # weights: a scale for each output channel
            axis = node.attribute[0].i
            assert values[node.input[1]].shape == (values[node.input[0]].shape[axis],)
            assert np.abs(values[node.input[0]]).max() == 127


def test_eight_bits_come_near_fp32(quantiser, int8, samples):
    feed = quantiser.runner.features(samples[0])
    wanted = quantiser.runner.outputs(feed)
    session = session_of(int8["frame.onnx"].SerializeToString())
    for name, found in zip(PERSONS, session.run(list(PERSONS), feed), strict=True):
        assert 0 < np.abs(found - wanted[name]).mean() < 0.03, name


def test_chosen_layers_alone_are_quantised(quantiser):
    key = next(k for k in quantiser.layers if k.file == "frame.onnx")
    found = quantiser.quantised([key])
    assert found["garment.onnx"] is quantiser.models["garment.onnx"]
    small = [n for n, read in sources(found["frame.onnx"]).items() if read[1] is not None
             and read[1].op_type == "DequantizeLinear"]  # fmt: skip
    assert small == [key.layer]


def test_sensitivity_tells_layers_apart(quantiser, samples, monkeypatch):
    monkeypatch.setattr(quantiser, "layers", quantiser.layers[::20])
    found = quantiser.sensitivity(samples[:1])
    assert list(found) == quantiser.layers
    assert all(value > 0 for value in found.values())
    assert max(found.values()) > 2 * min(found.values())


def test_ranges_are_those_of_the_inputs():
    model = tiny_graphs()["garment.onnx"]
    dark, light = (np.full((1, 3, *SMALL), v, np.float32) for v in (0.2, 0.9))
    ranges = calibrate(model, [{"garment": dark}, {"garment": light}])
    stem = weighted_layers(model)[0].name
    (name,) = (n.input[0] for n in model.graph.node if n.name == stem)
    low, high = (float(np.asarray(v).reshape(-1)[0]) for v in ranges[name].range_value)
    assert low == pytest.approx((0.2 - 0.498) / 0.502, abs=1e-4)
    assert high == pytest.approx((0.9 - 0.498) / 0.502, abs=1e-4)


def test_eight_bit_floats_keep_layers_and_ranges(samples):
    model = tiny_graphs(FP8_OPSET)["garment.onnx"]
    feeds = [{"garment": sample.garment} for sample in samples]
    whole = to_int8(model, calibrate(model, feeds), quantisable(model))
    small = to_fp8(whole, model)
    onnx.checker.check_model(small, full_check=True)
    assert [n.name for n in small.graph.node] == [n.name for n in whole.graph.node]
    kinds = {t.name: t.data_type for t in small.graph.initializer}
    assert TensorProto.INT8 not in kinds.values()
    weights = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    values = {t.name: numpy_helper.to_array(t) for t in small.graph.initializer}
    dequantised = [n for n in small.graph.node if n.input[0].endswith("_quantized")]
    assert len(dequantised) == len(quantisable(model))
    for node in dequantised:
        assert kinds[node.input[0]] == TensorProto.FLOAT8E4M3FN
        true = weights[node.input[0].removesuffix("_quantized")]
        shape = [-1 if i == node.attribute[0].i else 1 for i in range(true.ndim)]
        found = values[node.input[0]].astype(np.float32) * values[node.input[1]].reshape(shape)
        top = np.abs(true).max()
        np.testing.assert_allclose(found, true, rtol=1 / 16, atol=top / LARGEST)
    before, after = (session_of(m.SerializeToString()).run(None, feeds[0]) for m in (model, small))
    assert 0 < np.abs(before[0] - after[0]).mean() < 0.03
