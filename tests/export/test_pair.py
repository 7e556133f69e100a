import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from dmvton.checkpoint import save_model
from dmvton.errors import CheckpointError
from dmvton.runtime import DEFAULT_WEIGHTS, Layers, NetworkPair, to_tensor
from dmvton.student.model import Student, StudentConfig
from export import pair
from export.cli import main
from export.pair import FEATURES, FRAME_OUTPUTS, OPSET, TOLERANCE, export_pair, load_student

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SIZE = (128, 96)
TINY = StudentConfig(width=16, thin=8, decoder=(16, 16, 12, 8, 8), tokens=1, pretrained=False)


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
    """A tiny network whose flows and batch norms do something, as after training."""
    torch.manual_seed(0)
    student = Student(TINY)
    for refiner in student.refiners:
        torch.nn.init.normal_(refiner.head.weight, 0, 0.05)
    for name, value in student.named_buffers():
        if name.endswith("running_mean"):
            value.normal_(0, 0.2)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 2)
    return student.eval()


@pytest.fixture(scope="module")
def checkpoint(student, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    save_model(folder, student, {"student": TINY.__dict__, "step": 7})
    return folder


@pytest.fixture(scope="module")
def exported(student, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    return folder, export_pair(student, SIZE, folder, "tiny")


@torch.no_grad()
def by_torch(student, person, garment):
    """What the two graphs should give, by their output names, from the student itself."""
    out, code = student(torch.from_numpy(person), torch.from_numpy(garment))
    pose = torch.cat([out.pose.xy, out.pose.visibility.sigmoid()[..., None]], 2)
    found = {name: getattr(out, name) for name in FRAME_OUTPUTS[:6]}
    found |= {"keypoints": pose, "presence": out.pose.presence.sigmoid()}
    found |= dict(zip(FEATURES, (code.mask.sigmoid(), *code[1:]), strict=True))
    return {name: value.numpy() for name, value in found.items()}


def by_onnx(folder, person, garment):
    sessions = [ort.InferenceSession(str(folder / name), providers=["CPUExecutionProvider"])
                for name in ("garment.onnx", "frame.onnx")]  # fmt: skip
    out = dict(zip(FEATURES, sessions[0].run(list(FEATURES), {"garment": garment}), strict=True))
    known = {"person": person, "garment": garment, **out}
    feed = {node.name: known[node.name] for node in sessions[1].get_inputs()}
    return out | dict(zip(FRAME_OUTPUTS, sessions[1].run(list(FRAME_OUTPUTS), feed), strict=True))


def differences(student, folder, size):
    person, garment = example("person", size), example("garment", size)
    wanted, found = by_torch(student, person, garment), by_onnx(folder, person, garment)
    assert wanted["image"].std() > 0.02 and wanted["flow"].std() > 0.02
    return {name: float(np.abs(found[name] - wanted[name]).max()) for name in wanted}


def test_onnx_and_torch_agree_on_pictures(student, exported):
    found = differences(student, exported[0], SIZE)
    assert set(found) == set(FEATURES) | set(FRAME_OUTPUTS)
    assert {name: error for name, error in found.items() if not error < TOLERANCE} == {}


def test_graphs_have_the_interface_of_the_runtime(exported):
    assert set(FRAME_OUTPUTS) == set(Layers._fields)
    network = NetworkPair(exported[0], threads=1)
    assert network.size == SIZE and network.name == "tiny"
    person, garment = example("person", SIZE), example("garment", SIZE)
    features = network.encode_garment(garment)
    assert 0 <= features["garment_mask"].min() and features["garment_mask"].max() <= 1
    layers = network.run(person, garment, features)
    assert layers.image.shape == (*SIZE, 3) and layers.alpha.shape == SIZE
    assert layers.flow.shape == (*SIZE, 2) and np.abs(layers.flow).max() <= 1
    assert layers.keypoints.shape == (13, 3) and 0 <= layers.presence <= 1


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


@pytest.mark.parametrize("error", [2 * TOLERANCE, float("nan")])
def test_failed_parity_replaces_nothing(student, tmp_path, monkeypatch, error):
    (tmp_path / "garment.onnx").write_bytes(b"the old one")
    answers = iter([0.0, error])
    monkeypatch.setattr(pair, "parity", lambda *_: next(answers))
    with pytest.raises(CheckpointError, match="differ.*were not written"):
        export_pair(student, SIZE, tmp_path, "tiny")
    assert [p.name for p in tmp_path.iterdir()] == ["garment.onnx"]
    assert (tmp_path / "garment.onnx").read_bytes() == b"the old one"


def test_parity_sees_a_difference(exported):
    folder, _ = exported
    garment = example("garment", SIZE)
    session = ort.InferenceSession(str(folder / "garment.onnx"))
    truth = [torch.from_numpy(v) for v in session.run(None, {"garment": garment})]
    assert pair.parity(folder / "garment.onnx", {"garment": garment}, truth) == 0
    truth[2] = truth[2].clone()
    truth[2].view(-1)[5] += 0.25
    assert pair.parity(folder / "garment.onnx", {"garment": garment}, truth) == pytest.approx(0.25)
    truth[2].view(-1)[5] = float("nan")
    assert np.isnan(pair.parity(folder / "garment.onnx", {"garment": garment}, truth))


def test_command_writes_a_folder_to_run_and_to_train_on(checkpoint, tmp_path, capsys):
    size = f"[{SIZE[0]},{SIZE[1]}]"
    main(["onnx", "--checkpoint", str(checkpoint), "--out", str(tmp_path), "--size", size])
    assert str(tmp_path) in capsys.readouterr().out
    assert NetworkPair(tmp_path, threads=1).name == f"student-{SIZE[0]}x{SIZE[1]}"
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
