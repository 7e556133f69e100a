"""Half precision: where it is, where it is not, and that the runtime takes it."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dmvton.image_io import read_picture
from dmvton.runtime import DEFAULT_WEIGHTS, NetworkPair, to_tensor
from export.cli import main
from export.folder import write_pair
from export.graph import heads, weighted_layers
from export.precision import to_fp16
from tests.students import SMALL, tiny_graphs

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """The same student in fp32 and in fp16."""
    folders = {p: tmp_path_factory.mktemp(p) for p in ("fp32", "fp16")}
    for precision, folder in folders.items():
        note = {"batch": "static", "precision": precision, "checkpoint": ""}
        models = tiny_graphs()
        if precision == "fp16":
            models = {file: to_fp16(model) for file, model in models.items()}
        write_pair(models, folder, "tiny", SMALL, note, {})
    return folders


def kinds(model):
    """Element type of every tensor of a graph, by name."""
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    graph = model.graph
    found = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.input)}
    found |= {v.name: v.type.tensor_type.elem_type for v in graph.output}
    return found | {t.name: t.data_type for t in graph.initializer}


def test_runtime_runs_half_precision_on_the_cpu(pairs):
    rng = np.random.default_rng(0)
    person, garment = rng.random((2, 1, 3, *SMALL), dtype=np.float32)
    found = {}
    for precision, folder in pairs.items():
        network = NetworkPair(folder, threads=1)
        found[precision] = network.run(person, garment, network.encode_garment(garment))
    np.testing.assert_allclose(found["fp16"].flow, found["fp32"].flow, atol=4e-3)
    np.testing.assert_allclose(found["fp16"].rendered, found["fp32"].rendered, atol=2e-2)
    assert not np.array_equal(found["fp16"].rendered, found["fp32"].rendered)


def test_weights_are_half_as_large(pairs):
    sizes = {p: (folder / "frame.onnx").stat().st_size for p, folder in pairs.items()}
    assert sizes["fp16"] < 0.75 * sizes["fp32"]


def test_sampling_and_heads_stay_in_fp32(pairs):
    model = onnx.load(pairs["fp16"] / "frame.onnx")
    types = kinds(model)
    samplers = [n for n in model.graph.node if n.op_type == "GridSample"]
    assert len(samplers) == 4
    assert {types[name] for n in samplers for name in n.input} == {TensorProto.FLOAT}
    kept = heads(onnx.load(pairs["fp32"] / "frame.onnx"))
    convolutions = {n.name: types[n.input[1]] for n in model.graph.node if n.op_type == "Conv"}
    for name, kind in convolutions.items():
        assert kind == (TensorProto.FLOAT if name in kept else TensorProto.FLOAT16), name
    assert set(convolutions.values()) == {TensorProto.FLOAT, TensorProto.FLOAT16}


def test_what_leaves_the_graph_was_not_rounded_on_the_way(pairs):
    model = onnx.load(pairs["fp16"] / "frame.onnx")
    maker = {output: node for node in model.graph.node for output in node.output}
    for output in model.graph.output:
        assert maker[output.name].op_type != "Cast", output.name
    for node in model.graph.node:
        if node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT:
            before = maker.get(node.input[0])
            assert before is None or before.op_type != "Cast"


def test_heads_are_found_by_what_they_feed(pairs):
    model = onnx.load(pairs["fp32"] / "frame.onnx")
    kept = heads(model)
    convolutions = {n.name for n in weighted_layers(model) if n.op == "Conv"} & kept
    assert any("generator/out" in name for name in convolutions)
    assert sum("/head/" in name for name in convolutions) == 3  # of the three refiners
    assert not any("trunk" in name or "/body/" in name for name in kept)


def test_original_graph_is_left_alone():
    weight = numpy_helper.from_array(np.full((2, 3, 1, 1), 0.1, np.float32), "w")
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 4, 4])
    node = helper.make_node("Conv", ["x", "w"], ["y"], "conv")
    graph = helper.make_graph([node], "g", [image], [out], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    before = model.SerializeToString()
    half = to_fp16(model)
    assert model.SerializeToString() == before
    assert half.graph.initializer[0].data_type == TensorProto.FLOAT16
    assert [n.op_type for n in half.graph.node] == ["Cast", "Conv", "Cast"]


def test_released_weights_in_half_precision(tmp_path):
    main(["onnx", "--checkpoint", str(DEFAULT_WEIGHTS), "--out", str(tmp_path / "half"),
          "--precision", "fp16"])  # fmt: skip
    pairs = NetworkPair(DEFAULT_WEIGHTS, threads=1), NetworkPair(tmp_path / "half", threads=1)
    assert sum(f.stat().st_size for f in (tmp_path / "half").glob("*.onnx")) < 4e6
    photo, garment = (
        to_tensor(cv2.resize(read_picture(EXAMPLES / name).rgb, (192, 256)))
        for name in ("person_astronaut.jpg", "garment_striped.jpg")
    )
    wanted, found = (p.run(photo, garment, p.encode_garment(garment)) for p in pairs)
    for name in ("flow", "alpha", "beta", "rendered", "gain"):
        assert np.abs(getattr(wanted, name) - getattr(found, name)).mean() < 2e-3, name
