"""Each format whose packages are installed: converted, opened again, compared."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from dmvton.checkpoint import save_model
from dmvton.runtime import DEFAULT_WEIGHTS
from dmvton.student.config import StudentConfig
from dmvton.student.model import Student
from export.mobile import commands
from export.mobile.executorch_target import operators
from export.mobile.litert_target import delegated
from export.mobile.ncnn_target import Ncnn, layers, named, pooled, unknown_layers
from export.mobile.package import convert, differences, opened
from export.mobile.target import ConversionError, Options, absence
from export.mobile.targets import TARGETS
from tests.export.mobile_graphs import answers, small_graph

ROOT = Path(__file__).parents[2]
TINY = StudentConfig(width=16, thin=8, decoder=(16, 16, 12, 8, 8), tokens=1, pretrained=False)
VARIANTS = [
    ("ncnn", Options()),
    ("ncnn", Options(precision="fp16")),
    ("litert", Options(sampling="gather")),
    ("executorch", Options()),
    ("web", Options()),
    ("openvino", Options()),
]


def installed(name):
    """The target, or a skip with what is missing."""
    target = TARGETS[name]
    if said := absence(target) or target.obstacle():
        pytest.skip(said)
    return target


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    return small_graph(tmp_path_factory.mktemp("small"))


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_small_graph_in_each_format(name, options, graph, tmp_path):
    target = installed(name)
    manifest = convert(target, [graph], options, answers(graph), tmp_path)
    package = opened(tmp_path, target)
    runner = target.load("frame", package.signatures["frame"], tmp_path, threads=1)
    found = differences(runner, answers(graph, (7, 8, 9))["frame"])  # in turn, on one runner
    assert max(d.largest for d in found.values()) < (1e-5 if options.precision == "fp32" else 5e-3)
    assert found.keys() == {"picture", "peak"}
    placement = manifest["placement"]["frame"]
    assert placement["operators"] > 3
    assert ("gather" in placement["grid_sample"]) == (options.sampling == "gather")


@pytest.mark.parametrize(
    ("name", "bound"), [("ncnn", 1e-3), ("openvino", 1e-3), ("litert", 1e-3), ("coreml", 0.3)]
)
def test_released_weights_in_each_format(name, bound, tmp_path):
    """In a process of its own: one converter after the other in one process may crash."""
    target, out = installed(name), tmp_path / "out"
    command = [sys.executable, "-m", "app.cli", "export", name]
    options = ["--checkpoint", str(DEFAULT_WEIGHTS), "--out", str(out)]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "largest error against ONNX Runtime" in done.stdout
    package = opened(out, target)
    assert set(package.signatures) == {"garment", "frame"}
    parity = package.manifest["parity"]
    assert max(max(outputs.values()) for outputs in parity.values()) < bound


def test_gather_leaves_no_grid_sample(graph, tmp_path):
    target = installed("executorch")
    native = convert(target, [graph], Options(), answers(graph), tmp_path / "native")
    gather = Options(sampling="gather")
    other = convert(target, [graph], gather, answers(graph), tmp_path / "gather")
    told = [m["placement"]["frame"]["grid_sample"] for m in (native, other)]
    assert "index" in told[1] and "grid_sampler" not in told[1]
    assert told[0] != told[1]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    student = Student(TINY)
    for refiner in student.warper.refiners:
        torch.nn.init.normal_(refiner.head.weight, 0, 0.05)
    folder = tmp_path_factory.mktemp("checkpoint")
    save_model(folder, student, {"student": TINY.__dict__, "step": 7})
    return folder


def test_command_converts_the_student(checkpoint, tmp_path, capsys):
    target = installed("ncnn")
    commands.ncnn(checkpoint, tmp_path, (64, 48))
    assert "largest error against ONNX Runtime" in capsys.readouterr().out
    package = opened(tmp_path, target)
    assert set(package.signatures) == {"garment", "frame"}
    assert package.signatures["frame"].outputs["flow"] == (1, 2, 64, 48)
    assert package.manifest["parity"]["frame"].keys() == package.signatures["frame"].outputs.keys()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_core_ml_keeps_names_types_and_numbers(graph, tmp_path, precision):
    target, options = installed("coreml"), Options(precision=precision)
    import coremltools as ct

    manifest = convert(target, [graph], options, answers(graph), tmp_path)
    again = convert(target, [graph], options, answers(graph), tmp_path)  # over the first
    assert again["files"].keys() == manifest["files"].keys()
    package = opened(tmp_path, target)
    spec = ct.utils.load_spec(str(tmp_path / "frame.mlpackage")).description
    shapes = {i.name: tuple(i.type.multiArrayType.shape) for i in spec.input}
    assert shapes == graph.signature.inputs
    assert [o.name for o in spec.output] == list(graph.outputs)
    single = ct.proto.FeatureTypes_pb2.ArrayFeatureType.FLOAT32
    assert {x.type.multiArrayType.dataType for x in (*spec.input, *spec.output)} == {single}
    runner = target.load("frame", package.signatures["frame"], tmp_path, 1)
    found = differences(runner, answers(graph, (7, 8))["frame"])
    assert max(d.largest for d in found.values()) < (1e-5 if precision == "fp32" else 1e-2)
    assert manifest["placement"]["frame"]["grid_sample"] == "resample"


def test_ncnn_names_whole_words_only():
    param = "7767517\n2 2\nInput in0 0 1 in0\nGridSample main0 2 1 in0 in1 out0 0=1\n"
    text = named(param, ("person", "flow"), ("picture",))
    assert text.splitlines()[2:] == [
        "Input person 0 1 person",
        "GridSample main0 2 1 person flow picture 0=1",
    ]
    assert layers(text) == {"Input": 1, "GridSample": 1}


def test_ncnn_refuses_operators_that_pnnx_passes_through():
    installed("ncnn")
    with pytest.raises(ConversionError, match="frame: ncnn has no layer aten::logit"):
        unknown_layers("frame", "7767517\n1 1\nInput a 0 1 a\naten::logit b 1 1 a b\n")


def test_ncnn_file_that_is_none(tmp_path, graph):
    installed("ncnn")
    (tmp_path / "frame.ncnn.param").write_text("nothing\n")
    with pytest.raises(ConversionError, match="ncnn cannot load it"):
        Ncnn().load("frame", graph.signature, tmp_path, 1)


@pytest.mark.parametrize("keep", [0, 1])
def test_largest_value_of_a_map_becomes_a_pooling(keep):
    shape = [1, 2, 1, 1] if keep else [1, 2]
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("ReduceMax", ["x"], ["y"], axes=[2, 3], keepdims=keep)],
        "g", [info("x", 1, [1, 2, 3, 4])], [info("y", 1, shape)],
    )  # fmt: skip
    opset = onnx.helper.make_opsetid("", 17)
    model = pooled(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8))
    assert "ReduceMax" not in {node.op_type for node in model.graph.node}
    x = np.random.default_rng(0).random((1, 2, 3, 4), np.float32)
    found = ReferenceEvaluator(model).run(None, {"x": x})[0]
    np.testing.assert_array_equal(found, x.max((2, 3), keepdims=bool(keep)))


def test_delegated_operators_lie_between_its_inputs_and_outputs():
    def op(index, name, inputs, outputs):
        return {"index": index, "op_name": name, "inputs": inputs, "outputs": outputs}

    chain = [op(0, "CONV_2D", [0], [1]), op(1, "ADD", [1, 2], [3]), op(2, "GATHER", [3], [4]),
             op(3, "MUL", [4], [5])]  # fmt: skip
    assert delegated(chain) == set()
    assert delegated([*chain, op(4, "DELEGATE", [0, 2], [3])]) == {0, 1}
    assert delegated([*chain, op(4, "DELEGATE", [4], [5])]) == {3}


def test_operators_outside_the_delegates_are_counted():
    class Warped(torch.nn.Module):
        def forward(self, x):
            return (x + 1).floor() + x

    module = torch.export.export(Warped(), (torch.rand(2),)).graph_module
    assert operators(module) == {"delegated": 0, "left": {"add": 2, "floor": 1}}
