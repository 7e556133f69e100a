"""Contenders on graphs small enough to be made here, and the numpy reference that checks them."""

import hashlib
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from benchmarks.contenders import (
    FRAME,
    Sources,
    Student,
    StudentUncached,
    WholeCall,
    camera_frame,
    expect_close,
)
from benchmarks.export2023 import exported
from benchmarks.harness import CheckFailed, Unavailable
from benchmarks.reference import compose, sample
from dmvton.errors import NoPersonError


def identity(height, width):
    x = (2 * np.arange(width) + 1) / width - 1
    y = (2 * np.arange(height) + 1) / height - 1
    return np.stack(np.meshgrid(x, y))


def test_sample_with_the_identity_changes_nothing():
    picture = np.random.default_rng(0).random((3, 5, 7))
    np.testing.assert_allclose(sample(picture, identity(5, 7)), picture, atol=1e-12)


def test_sample_shifts_by_a_whole_pixel_and_repeats_the_border():
    picture = np.random.default_rng(0).random((3, 5, 7))
    flow = identity(5, 7) + np.array([2 / 7, 0]).reshape(2, 1, 1)
    got = sample(picture, flow)
    np.testing.assert_allclose(got[:, :, :-1], picture[:, :, 1:], atol=1e-12)
    np.testing.assert_allclose(got[:, :, -1], picture[:, :, -1], atol=1e-12)


def test_compose_takes_each_part_where_its_weight_is_one():
    random = np.random.default_rng(0)
    person, garment, rendered = random.random((3, 1, 3, 4, 4))
    parts = {
        "flow": identity(4, 4)[None],
        "alpha": np.zeros((1, 1, 4, 4)),
        "beta": np.zeros((1, 1, 4, 4)),
        "rendered": rendered,
        "gain": np.full((1, 3, 4, 4), 2.0),
    }
    parts["alpha"][..., 0] = 1
    parts["beta"][..., 1] = 1
    image = compose(person, garment, parts)
    np.testing.assert_allclose(image[..., 0], np.minimum(2 * garment[0, ..., 0], 1))
    np.testing.assert_allclose(image[..., 1], rendered[0, ..., 1])
    np.testing.assert_allclose(image[..., 2:], person[0, ..., 2:])


@pytest.mark.parametrize("bad", [0.1, np.nan])
def test_check_fails_on_a_wrong_picture(bad):
    right = np.zeros((3, 4, 4), np.float32)
    wrong = right.copy()
    wrong[1, 2, 3] = bad
    expect_close("image", right, right)
    with pytest.raises(CheckFailed, match="image differs"):
        expect_close("image", wrong, right)
    with pytest.raises(CheckFailed, match="has shape"):
        expect_close("image", right[:1], right)


@pytest.mark.parametrize("shape", [(100, 50, 3), (480, 640, 3), (50, 900, 3)])
def test_camera_frame_fits_any_picture(shape):
    assert camera_frame(np.zeros(shape, np.uint8)).shape == (*FRAME, 3)


def export(path, module, inputs, outputs):
    """Writes a graph and returns what the manifest says of it."""
    import torch

    torch.onnx.export(
        module,
        tuple(inputs.values()),
        path,
        input_names=list(inputs),
        output_names=outputs,
        opset_version=17,
        dynamo=False,
    )
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


@pytest.fixture
def weights(tmp_path):
    """Folder with a small pair of graphs whose image is the composition of its other outputs."""
    pytest.importorskip("onnx")
    torch = pytest.importorskip("torch")

    class GarmentGraph(torch.nn.Module):
        def forward(self, garment):
            return garment.mean(1, keepdim=True), garment[:, :1] * 0.5

    class FrameGraph(torch.nn.Module):
        def forward(self, person, garment, key):
            flow = torch.cat([person[:, :1], key], 1) * 2 - 1
            alpha, beta = person[:, 1:2], person[:, 2:]
            rendered, gain = person * 0.5, person + 0.5
            return flow, alpha, beta, rendered, gain

    person, garment = torch.rand(2, 1, 3, 32, 24)
    pair = [
        ("garment.onnx", GarmentGraph(), {"garment": garment}, ["garment_mask", "key"]),
        (
            "frame.onnx",
            FrameGraph(),
            {"person": person, "garment": garment, "key": garment[:, :1]},
            ["flow", "alpha", "beta", "rendered", "gain"],
        ),
    ]
    files = {name: export(tmp_path / name, *rest) for name, *rest in pair}
    manifest = {"format": 1, "name": "tiny", "size": [32, 24], "opset": 17, "files": files}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("contender", [Student, StudentUncached])
def test_student_is_checked_against_the_composition(contender, weights, monkeypatch):
    student = contender(weights)
    student.prepare(1)
    student.check()
    assert student.resolution == "32x24"
    monkeypatch.setattr("benchmarks.contenders.compose", lambda *parts: compose(*parts) + 0.01)
    with pytest.raises(CheckFailed, match="image differs by 1.00e-02"):
        student.check()


def test_student_without_weights_is_unavailable(tmp_path):
    with pytest.raises(Unavailable, match="manifest.json"):
        Student(tmp_path).prepare(1)


def test_whole_call_without_a_picture_is_unavailable(tmp_path):
    with pytest.raises(Unavailable, match="pass --person FILE"):
        WholeCall(Sources()).prepare(1)
    with pytest.raises(Unavailable, match="not a picture that can be read"):
        WholeCall(Sources(person=tmp_path / "none.jpg")).prepare(1)


class FakeTryOn:
    """Paints `share` of the frame, or finds nobody."""

    share: float | None = 0.1

    @classmethod
    def load(cls, weights, threads):
        return cls()

    def garment(self, image):
        return image

    def __call__(self, frame, garment):
        if self.share is None:
            raise NoPersonError("nobody there")
        image = frame.copy()
        image[: round(self.share * len(image))] += 1
        return SimpleNamespace(image=image)


@pytest.mark.parametrize(
    ("share", "complaint"),
    [(0.1, None), (0.0, "0.0% of the pixels"), (1.0, "100.0% of the pixels"), (None, "nobody")],
)
def test_whole_call_is_checked(monkeypatch, tmp_path, share, complaint):
    monkeypatch.setattr("dmvton.tryon.TryOn", FakeTryOn)
    monkeypatch.setattr(FakeTryOn, "share", share)
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), np.zeros((90, 60, 3), np.uint8))
    contender = WholeCall(Sources(person=picture, garment=picture))
    contender.prepare(1)
    if complaint is None:
        contender.check()
        return
    with pytest.raises(CheckFailed, match=complaint):
        contender.check()


def test_2023_student_without_torch_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"torch and onnx cannot be imported.*dmvton\[export\]"):
        exported("plain", tmp_path)
