import hashlib
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

import dmvton
from dmvton.errors import CheckpointError, OutputError, UsageError
from dmvton.runtime import DEFAULT_WEIGHTS, Layers, NetworkPair, to_tensor
from export import pair
from export.cli import main
from export.folder import metadata, read_pair
from export.pair import (
    FEATURES,
    FRAME_OUTPUTS,
    GARMENT_OUTPUTS,
    OPSET,
    Error,
    Form,
    Probe,
    export_pair,
    load_student,
    usual_size,
)
from tests import fake_pair
from tests.students import TINY, save_tiny, tiny_student

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SIZE = (128, 96)
TOLERANCE = 1e-3


def example(kind, size):
    """The first example picture of a kind, cut to the network's shape, (1, 3, h, w) in [0, 1]."""
    path = sorted(EXAMPLES.glob(f"{kind}*.jpg"))[0]
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    width = min(image.shape[1], image.shape[0] * size[1] // size[0])
    height = width * size[0] // size[1]
    left, top = (image.shape[1] - width) // 2, (image.shape[0] - height) // 2
    cut = image[top : top + height, left : left + width]
    return to_tensor(cv2.resize(cut, size[::-1], interpolation=cv2.INTER_AREA))


@pytest.fixture(scope="module")
def student():
    return tiny_student()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def exported(student, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    return folder, export_pair(student, SIZE, folder, "tiny", checkpoint="0123")


@torch.no_grad()
def by_torch(student, person, garment):
    """What the two graphs should give, by their output names, from the student itself."""
    out, code = student(torch.from_numpy(person), torch.from_numpy(garment))
    pose = torch.cat([out.pose.xy, out.pose.visibility.sigmoid()[..., None]], 2)
    found = {name: getattr(out, name) for name in FRAME_OUTPUTS[:5]}
    found |= {"keypoints": pose, "presence": out.pose.presence.sigmoid()}
    chance = student.garment.is_top(code).sigmoid()
    found |= dict(zip(GARMENT_OUTPUTS, (*code, chance), strict=True))
    return {name: value.numpy() for name, value in found.items()}


def by_onnx(folder, person, garment):
    sessions = [ort.InferenceSession(str(folder / name), providers=["CPUExecutionProvider"])
                for name in ("garment.onnx", "frame.onnx")]  # fmt: skip
    names = list(GARMENT_OUTPUTS)
    out = dict(zip(names, sessions[0].run(names, {"garment": garment}), strict=True))
    known = {"person": person, "garment": garment, **out}
    feed = {node.name: known[node.name] for node in sessions[1].get_inputs()}
    return out | dict(zip(FRAME_OUTPUTS, sessions[1].run(list(FRAME_OUTPUTS), feed), strict=True))


def differences(student, folder, size):
    person, garment = example("person", size), example("garment", size)
    wanted, found = by_torch(student, person, garment), by_onnx(folder, person, garment)
    assert wanted["rendered"].std() > 0.002 and wanted["flow"].std() > 0.02
    return {name: float(np.abs(found[name] - wanted[name]).max()) for name in wanted}


def test_onnx_and_torch_agree_on_pictures(student, exported):
    found = differences(student, exported[0], SIZE)
    assert set(found) == set(GARMENT_OUTPUTS) | set(FRAME_OUTPUTS)
    assert {name: error for name, error in found.items() if not error < TOLERANCE} == {}


def test_graphs_have_the_interface_of_the_runtime(exported):
    assert set(FRAME_OUTPUTS) == set(Layers._fields)
    network = NetworkPair(exported[0], threads=1)
    assert network.size == SIZE and network.name == "tiny"
    person, garment = example("person", SIZE), example("garment", SIZE)
    features = network.encode_garment(garment)
    assert 0 <= features["garment_mask"].min() and features["garment_mask"].max() <= 1
    assert features["garment_top"] == 0.5, "unfitted, the head has no opinion"
    layers = network.run(person, garment, features)
    assert layers.rendered.shape == (*SIZE, 3) and layers.alpha.shape == SIZE
    assert layers.flow.shape == (*SIZE, 2) and np.abs(layers.flow).max() <= 1
    assert layers.keypoints.shape == (13, 3) and 0 <= layers.presence <= 1


def test_a_student_with_a_finer_level_takes_pictures_of_twice_the_size(tmp_path):
    torch.manual_seed(1)
    student = tiny_student(replace(TINY, fine=6))
    torch.nn.init.normal_(student.generator.fine.out.weight, 0, 0.05)
    assert usual_size(student) == (512, 384) and usual_size(tiny_student()) == (256, 192)
    with pytest.raises(UsageError, match="multiples of 32 from 64 on"):
        export_pair(student, (144, 112), tmp_path, "fine")
    export_pair(student, SIZE, tmp_path, "fine")
    found = differences(student, tmp_path, SIZE)
    assert {name: error for name, error in found.items() if not error < TOLERANCE} == {}
    network = NetworkPair(tmp_path, threads=1)
    person, garment = example("person", SIZE), example("garment", SIZE)
    features = network.encode_garment(garment)
    assert features["garment_mask"].shape == (1, 1, *SIZE)
    assert features["garment_feat16"].shape[2:] == (SIZE[0] // 32, SIZE[1] // 32)
    layers = network.run(person, garment, features)
    assert layers.alpha.shape == SIZE and layers.flow.shape == (*SIZE, 2)


def test_graphs_need_no_custom_operator_and_keep_the_opset(exported):
    for name in ("garment.onnx", "frame.onnx"):
        model = onnx.load(exported[0] / name)
        assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
        assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}


def test_manifest_names_the_very_bytes(exported):
    folder, manifest = exported
    assert json.loads((folder / "manifest.json").read_text()) == manifest
    assert manifest["size"] == list(SIZE) and manifest["format"] == 1
    for name, entry in manifest["files"].items():
        data = (folder / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    assert sorted(p.name for p in folder.iterdir()) == sorted([*manifest["files"], "manifest.json"])
    assert max(manifest["parity"].values()) < TOLERANCE


def test_graphs_say_what_they_are(exported):
    for name in ("garment.onnx", "frame.onnx"):
        facts = metadata(onnx.load(exported[0] / name))
        assert facts["graph"] == name.removesuffix(".onnx")
        assert facts["size"] == "128x96" and facts["version"] == dmvton.__version__
        assert facts["precision"] == "fp32" and facts["batch"] == "static"
        assert facts["checkpoint"] == "0123" and "[0, 1]" in facts["normalisation"]


def test_constants_are_folded(exported):
    kinds = {n.op_type for f in ("garment.onnx", "frame.onnx") for n in read(exported, f).node}
    assert not kinds & {"Constant", "ConstantOfShape", "Shape", "Pad", "BatchNormalization"}


def read(exported, name):
    return onnx.load(exported[0] / name).graph


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_dynamic_batch_gives_what_single_pictures_give(student, tmp_path, precision):
    export_pair(student, SIZE, tmp_path, "tiny", Form(precision, "dynamic"))
    person, garment = example("person", SIZE), example("garment", SIZE)
    people = np.concatenate([person, person[..., ::-1], person[:, :, ::-1]])
    garments = np.concatenate([garment, garment[:, :, ::-1], garment])
    together = by_onnx(tmp_path, people, garments)
    for i in range(3):
        alone = by_onnx(tmp_path, people[i : i + 1], garments[i : i + 1])
        for name, value in alone.items():
            np.testing.assert_allclose(together[name][i : i + 1], value, atol=2e-2, err_msg=name)
    assert NetworkPair(tmp_path, threads=1).encode_garment(garment)["garment_mask"].shape[0] == 1


@pytest.mark.parametrize("step", range(4))
@pytest.mark.parametrize("error", [Error(2e-3, 0), Error(0, 2e-4), Error(float("nan"), 0)])
def test_failed_parity_after_any_step_replaces_nothing(student, tmp_path, monkeypatch, step, error):
    (tmp_path / "garment.onnx").write_bytes(b"the old one")
    answers = iter([Error(0, 0)] * step + [error])
    monkeypatch.setattr(pair, "parity", lambda *_: next(answers))
    monkeypatch.setattr(pair, "trace", lambda *_: onnx.ModelProto())
    monkeypatch.setattr(pair, "slimmed", lambda model: model)
    with pytest.raises(CheckpointError, match="differ.*were not written"):
        export_pair(student, SIZE, tmp_path, "tiny")
    assert [p.name for p in tmp_path.iterdir()] == ["garment.onnx"]
    assert (tmp_path / "garment.onnx").read_bytes() == b"the old one"


def test_parity_sees_a_difference(exported):
    model = onnx.load(exported[0] / "garment.onnx")
    feed = {"garment": example("garment", SIZE)}
    session = ort.InferenceSession(model.SerializeToString())
    truth = dict(zip(FEATURES, session.run(list(FEATURES), feed), strict=True))
    assert pair.parity(model, [Probe(feed, truth)]) == (0, 0)
    mask = truth["garment_mask"].copy()
    mask[0, 0, 3, 5] += 0.25
    found = pair.parity(model, [Probe(feed, truth | {"garment_mask": mask})])
    assert found == pytest.approx((0.25, 0.25 / mask.size), rel=1e-3)
    mask[0, 0, 3, 5] = np.nan
    assert np.isnan(pair.parity(model, [Probe(feed, truth | {"garment_mask": mask})]).largest)


def test_folder_that_cannot_be_written(student, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(pair, "trace", None)  # refused before any work
    with pytest.raises(OutputError, match="cannot write.*Not a directory"):
        export_pair(student, SIZE, tmp_path / "file" / "out", "tiny")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("size", [(130, 96), (16, 16), (0, 96)])
def test_size_that_does_not_fit(student, tmp_path, size):
    with pytest.raises(UsageError, match="multiples of 16"):
        export_pair(student, size, tmp_path / "new" / "out", "tiny")
    assert not list(tmp_path.iterdir())


def test_pair_is_read_back(exported):
    found = read_pair(exported[0])
    assert found.size == SIZE and found.name == "tiny" and found.precision == "fp32"


def test_graph_of_other_origin_is_refused(tmp_path):
    foreign = fake_pair.write_pair(tmp_path / "foreign")
    with pytest.raises(CheckpointError, match="of other origin.*dmvton export"):
        read_pair(foreign)
    (foreign / "garment.onnx").write_bytes(b"no graph at all")
    fake_pair.write_manifest(foreign)
    with pytest.raises(CheckpointError, match="not a sound ONNX graph"):
        read_pair(foreign)


def test_command_writes_a_folder_to_run_and_to_train_on(checkpoint, tmp_path, capsys):
    main(["onnx", "--checkpoint", str(checkpoint), "--out", str(tmp_path), "--size", "128", "96"])
    assert str(tmp_path) in capsys.readouterr().out
    assert NetworkPair(tmp_path, threads=1).name == f"student-{SIZE[0]}x{SIZE[1]}"
    digest = hashlib.sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()
    assert read_pair(tmp_path).note["checkpoint"] == digest
    again = load_student(tmp_path)
    assert max(differences(again, tmp_path, SIZE).values()) < TOLERANCE


def test_checkpoint_is_loaded_with_its_own_sizes(checkpoint, student, tmp_path):
    found = load_student(checkpoint)
    assert not found.training
    assert found.cfg == TINY
    assert all(torch.equal(v, found.state_dict()[k]) for k, v in student.state_dict().items())
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        load_student(tmp_path)


def test_packaged_weights_are_those_of_their_checkpoint():
    if not (DEFAULT_WEIGHTS / "model.safetensors").exists():
        pytest.skip("model.safetensors is not beside the packaged pair")
    student = load_student(DEFAULT_WEIGHTS)
    size = NetworkPair(threads=1).size
    found = differences(student, DEFAULT_WEIGHTS, size)
    assert {name: error for name, error in found.items() if not error < TOLERANCE} == {}
