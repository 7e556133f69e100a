"""Engines made without a GPU, from the released weights; skipped where TensorRT-RTX is missing."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from dmvton.errors import CheckpointError, MissingExtraError, OutputError, UsageError
from dmvton.runtime import DEFAULT_WEIGHTS
from export.cli import main
from export.float8 import OPSET as FP8_OPSET
from export.float8 import to_fp8
from export.folder import PairFolder, write_pair
from export.graph import heads, weighted_layers
from export.quantise import calibrate, quantisable, to_int8
from export.trt import backend as backends
from export.trt import builder, commands
from export.trt.backend import Backend, load_backend, parse_targets
from export.trt.builder import Target, build_engine, size_ceiling
from export.trt.engines import read_engines
from tests.export.fake_gpu import FakeLibrary, fake_backend
from tests.students import SMALL, tiny_graphs

PLACES = (80, 86, 89, 120)


@pytest.fixture(scope="module")
def rtx():
    pytest.importorskip(
        "tensorrt_rtx", reason='TensorRT-RTX is not installed: pip install "dmvton[tensorrt]"'
    )
    return load_backend("rtx")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The tiny student as an exported pair."""
    folder = tmp_path_factory.mktemp("pair")
    note = {"batch": "static", "precision": "fp32", "checkpoint": ""}
    write_pair(tiny_graphs(), folder, "tiny", SMALL, note, {})
    return folder


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """The released checkpoint as an exported pair."""
    if not (DEFAULT_WEIGHTS / "model.safetensors").exists():
        pytest.skip("model.safetensors is not beside the packaged pair")
    folder = tmp_path_factory.mktemp("released")
    main(["onnx", "--checkpoint", str(DEFAULT_WEIGHTS), "--out", str(folder)])
    return folder


@pytest.fixture(scope="module")
def fp8():
    """The garment graph in 8-bit floats."""
    model = tiny_graphs(FP8_OPSET)["garment.onnx"]
    picture = np.random.default_rng(0).random((1, 3, *SMALL), dtype=np.float32)
    return to_fp8(
        to_int8(model, calibrate(model, [{"garment": picture}]), quantisable(model)), model
    )


def test_released_weights_become_engines_for_four_generations(rtx, released, tmp_path, capsys):
    words = ["--onnx", str(released), "--sm", "80,86,89,120", "--precision", "fp16"]
    main(["tensorrt", *words, "--out", str(tmp_path / "engines"), "--split", "true"])
    found = read_engines(tmp_path / "engines")
    assert {(e.graph, e.sms) for e in found.engines} == {
        (graph, (sm,)) for graph in ("garment", "frame") for sm in PLACES
    }
    for sm in PLACES:
        for graph in ("garment", "frame"):
            assert 1e6 < len(found.read(graph, sm)) < 3e7
    assert found.facts.precision == "fp16" and found.facts.builder == rtx.version
    assert "frame.sm120.engine" in capsys.readouterr().out


def test_one_engine_for_several_generations(rtx, pair, tmp_path):
    main(["tensorrt", "--onnx", str(pair), "--sm", "sm86, 120", "--precision", "fp32",
          "--out", str(tmp_path)])  # fmt: skip
    found = read_engines(tmp_path)
    assert [e.sms for e in found.engines] == [(86, 120)] * 2
    assert found.read("frame", 86) == found.read("frame", 120)
    with pytest.raises(CheckpointError, match="no frame engine for SM89, only for SM86, SM120"):
        found.read("frame", 89)


def test_dynamic_batch_gets_a_profile(rtx, monkeypatch):
    image, out = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, 8, 8]) for name in "xy"
    )
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [image], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    with pytest.raises(CheckpointError, match="expected at most 0.0 MB"):  # it has no weights
        build_engine(rtx, model, "relu", Target((89,), max_batch=4))
    monkeypatch.setattr(builder, "size_ceiling", lambda _: 10_000_000)
    assert build_engine(rtx, model, "relu", Target((89,), max_batch=4))
    monkeypatch.setattr(builder, "_set_profile", lambda *_: None)
    with pytest.raises(CheckpointError, match="profile"):
        build_engine(rtx, model, "relu", Target((89,), max_batch=4))


def test_int8_engine_stays_under_its_ceiling_and_depthwise_blows_it(rtx, released):
    model = onnx.load(released / "garment.onnx")
    picture = np.random.default_rng(0).random((1, 3, 256, 192), dtype=np.float32)
    found = calibrate(model, [{"garment": picture}])
    plain = to_int8(model, found, quantisable(model))
    assert len(build_engine(rtx, plain, "plain", Target((80,)))) < size_ceiling(model)
    everything = [n.name for n in weighted_layers(model) if n.name not in heads(model)]
    assert any(n.depthwise for n in weighted_layers(model) if n.name in everything)
    blown = to_int8(model, found, everything)
    with pytest.raises(CheckpointError, match="depthwise convolutions are quantised"):
        build_engine(rtx, blown, "blown", Target((80,)))


def test_fp8_builds_where_the_gpu_has_it(rtx, fp8):
    assert build_engine(rtx, fp8, "garment", Target((89, 120)))
    with pytest.raises(CheckpointError, match="does not build it for SM80.*fp8"):
        build_engine(rtx, fp8, "garment", Target((80,)))


def test_operator_that_tensorrt_does_not_know(rtx):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3])
    node = helper.make_node("Gizmo", ["x"], ["y"], domain="elsewhere")
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("elsewhere", 1)]
    model = helper.make_model(helper.make_graph([node], "g", [value], [out]), opset_imports=imports)
    with pytest.raises(CheckpointError, match="foreign: tensorrt_rtx .* does not build it.*Gizmo"):
        build_engine(rtx, model, "foreign", Target((89,)))


@pytest.mark.parametrize("text", ["90", "81,89", "sm", "", ",", "-80", "80;86"])
def test_unknown_target(text):
    with pytest.raises(UsageError, match="unknown target.*75, 80, 86, 89, 120, 121"):
        parse_targets(text, fake_backend(FakeLibrary()), "fp32")


def test_targets_are_read_in_order_and_once():
    backend = fake_backend(FakeLibrary())
    assert parse_targets("120, sm80,80", backend, "fp16") == (80, 120)
    assert parse_targets("89,120", backend, "fp8") == (89, 120)


def test_fp8_is_refused_before_sm89():
    with pytest.raises(UsageError, match="SM80, SM86 cannot compute in fp8.*from SM89 on"):
        parse_targets("80,86,89", fake_backend(FakeLibrary()), "fp8")


def test_classic_tensorrt_builds_for_its_own_machine_only():
    classic = Backend("classic", type("Module", (), {"__version__": "10.0"}))
    assert parse_targets("", classic, "fp16") == () and not classic.ahead_of_time
    with pytest.raises(UsageError, match="builds for the GPU of this machine only"):
        parse_targets("89", classic, "fp16")


def test_missing_package(monkeypatch):
    monkeypatch.setitem(backends._MODULES, "classic", "tensorrt_that_is_not_there")
    with pytest.raises(MissingExtraError, match="--builder rtx"):
        load_backend("classic")


@pytest.fixture
def no_builder(monkeypatch):
    """Whatever is refused must be refused before anything is built."""
    monkeypatch.setattr(commands, "load_backend", lambda _: fake_backend(FakeLibrary()))

    def build(*_):
        raise AssertionError("built")

    monkeypatch.setattr(commands, "build_engine", build)


@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_precision_that_needs_another_pair(no_builder, pair, tmp_path, precision):
    with pytest.raises(UsageError, match=f"pair in fp32.*dmvton export {precision}"):
        commands.tensorrt(pair, tmp_path / "out", precision, sm="89")
    assert not (tmp_path / "out").exists()


def test_batch_that_the_pair_cannot_take(no_builder, pair, tmp_path):
    with pytest.raises(UsageError, match="one picture at a time.*--batch dynamic"):
        commands.tensorrt(pair, tmp_path, "fp32", max_batch=4)
    with pytest.raises(UsageError, match="expected 1 or more"):
        commands.tensorrt(pair, tmp_path, "fp32", max_batch=0)


def test_folder_that_cannot_be_written(no_builder, pair, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write"):
        commands.tensorrt(pair, tmp_path / "file" / "out", "fp32")


def test_failed_build_leaves_nothing(pair, tmp_path, monkeypatch):
    calls = []

    def build(*_):
        calls.append(1)
        if len(calls) > 1:
            raise CheckpointError("blown up")
        return b"engine"

    monkeypatch.setattr(commands, "load_backend", lambda _: fake_backend(FakeLibrary()))
    monkeypatch.setattr(commands, "build_engine", build)
    with pytest.raises(CheckpointError, match="blown up"):
        commands.tensorrt(pair, tmp_path / "new" / "out", "fp32")
    assert len(calls) == 2 and not list(tmp_path.iterdir())


def test_half_precision_is_made_of_fp32():
    models = {file: model for file, model in tiny_graphs().items()}
    given = PairFolder("tiny", SMALL, models, {"precision": "fp32", "batch": "static"})
    half = commands.in_precision(given, "fp16")
    kinds = {t.data_type for t in half["frame.onnx"].graph.initializer}
    assert TensorProto.FLOAT16 in kinds
    assert commands.in_precision(given, "fp32") is models
    onnx.checker.check_model(half["garment.onnx"])
