"""Loading the pair: verified, complete, and clear about what is wrong."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dmvton.crop import movement
from dmvton.errors import CheckpointError
from dmvton.image_io import read_picture
from dmvton.locate import RULE
from dmvton.runtime import PACKAGED, NetworkPair, to_tensor
from dmvton.tryon import TryOn, dress
from tests import fake_pair

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def weights(fake_weights, tmp_path):
    """A copy of the fake pair that a test may spoil."""
    return shutil.copytree(fake_weights, tmp_path / "weights")


def test_layers_have_the_shapes_of_the_contract(fake_weights):
    network = NetworkPair(fake_weights, threads=1)
    rng = np.random.default_rng(0)
    person, garment = (to_tensor(rng.integers(0, 256, (256, 192, 3), np.uint8)) for _ in "pg")
    layers = network.run(person, garment, network.encode_garment(garment))
    assert network.size == (256, 192)
    assert layers.rendered.shape == layers.gain.shape == (256, 192, 3)
    assert layers.flow.shape == (256, 192, 2) and np.abs(layers.flow).max() <= 1
    assert layers.alpha.shape == layers.beta.shape == (256, 192)
    assert layers.keypoints.shape == (13, 3)
    assert 0 <= layers.presence <= 1


def test_tensor_is_planar_and_in_unit_range():
    rgb = np.zeros((4, 2, 3), np.uint8)
    rgb[3, 1] = (255, 51, 0)
    tensor = to_tensor(rgb)
    assert tensor.shape == (1, 3, 4, 2) and tensor.dtype == np.float32
    np.testing.assert_allclose(tensor[0, :, 3, 1], [1, 0.2, 0], atol=1e-6)


def test_missing_folder(tmp_path):
    with pytest.raises(CheckpointError, match="no weights.*install"):
        NetworkPair(tmp_path / "absent")


@pytest.mark.parametrize("name", ["garment.onnx", "frame.onnx"])
def test_missing_file(weights, name):
    (weights / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        NetworkPair(weights)


@pytest.mark.parametrize("name", ["garment.onnx", "frame.onnx"])
def test_one_bit_changed(weights, name):
    data = bytearray((weights / name).read_bytes())
    data[len(data) // 2] ^= 1
    (weights / name).write_bytes(data)
    with pytest.raises(CheckpointError, match="SHA-256"):
        NetworkPair(weights)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0"])
def test_other_length(weights, change):
    path = weights / "frame.onnx"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(CheckpointError, match="bytes, expected"):
        NetworkPair(weights)


def test_not_a_network_although_the_hash_is_right(weights):
    (weights / "frame.onnx").write_bytes(b"not a network" * 10)
    fake_pair.write_manifest(weights)
    with pytest.raises(CheckpointError, match="cannot load"):
        NetworkPair(weights)


def test_graphs_that_do_not_fit_together(weights):
    shutil.copy(weights / "garment.onnx", weights / "frame.onnx")
    fake_pair.write_manifest(weights)
    with pytest.raises(CheckpointError, match="do not fit together.*alpha"):
        NetworkPair(weights)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"format": 1}',
        '{"format": 1, "name": "x", "size": 256, "files": {}}',
        '{"format": 1, "name": "x", "size": [256, 192], "files": {}}',
        '{"format": 1, "name": "x", "size": [256, 192], "files": []}',
    ],
)
def test_damaged_manifest(weights, text):
    (weights / "manifest.json").write_text(text)
    with pytest.raises(CheckpointError, match="manifest.json"):
        NetworkPair(weights)


def test_newer_format(weights):
    manifest = json.loads((weights / "manifest.json").read_text()) | {"format": 2}
    (weights / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="format 2, this version reads format 1"):
        NetworkPair(weights)


def test_numbers_that_are_not_finite(tmp_path):
    weights = fake_pair.write_pair(tmp_path / "nan", gain=float("nan"))
    network = NetworkPair(weights, threads=1)
    picture = np.zeros((1, 3, 256, 192), np.float32)
    with pytest.raises(CheckpointError, match="not finite"):
        network.run(picture, picture, network.encode_garment(picture))


def test_packaged_int8_pair_is_of_the_same_checkpoint_and_does_much_the_same():
    manifests = [json.loads((PACKAGED / name / "manifest.json").read_text())
                 for name in ("student-256x192", "student-256x192-int8")]  # fmt: skip
    assert manifests[0]["checkpoint"] == manifests[1]["checkpoint"]
    person = read_picture(EXAMPLES / "person_astronaut.jpg").rgb
    photo = read_picture(EXAMPLES / "garment_striped.jpg")
    exact, small = (TryOn.load(name, threads=1) for name in (None, "student-256x192-int8"))
    garments = [tryon.garment(photo) for tryon in (exact, small)]
    view = exact.locator.find(person, garments[0])
    # A move of just `settled` is one that either may take and the other not.
    assert movement(view.box, small.locator.find(person, garments[1]).box) < RULE.settled + 0.02
    # In one and the same crop: a stripe lies elsewhere in the next one, in fp32 as well.
    other = small.locator.look(person, view.box, garments[1])
    assert np.abs(view.layers.alpha - other.layers.alpha).mean() < 0.02
    seen = (view.keypoints[:, 2] > 0.5) & (other.keypoints[:, 2] > 0.5)
    assert seen.sum() >= 5
    assert np.abs(view.keypoints - other.keypoints)[seen, :2].mean() < 3
    images = [dress(person, v, g).image for v, g in zip((view, other), garments, strict=True)]
    assert 0.1 < np.abs(images[0].astype(int) - images[1]).mean() < 10, "it is another file"


def test_a_folder_comes_before_a_packaged_name(weights, monkeypatch):
    monkeypatch.chdir(weights.parent)
    shutil.copytree(weights, "student-256x192-int8")
    assert NetworkPair("student-256x192-int8", threads=1).name == NetworkPair(weights, 1).name
    with pytest.raises(CheckpointError, match="student-256x192-int9: no weights"):
        NetworkPair("student-256x192-int9")
