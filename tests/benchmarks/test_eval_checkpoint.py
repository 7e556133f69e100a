import hashlib

import cv2
import numpy as np
import pytest
import torch

from benchmarks.evaluation import inception, synthetic
from benchmarks.evaluation.checkpoint import Checkpoint, _in_box, _normalised
from benchmarks.evaluation.contenders import Cloth, Known, Student
from dmvton.checkpoint import save_model
from dmvton.crop import Box
from dmvton.errors import CheckpointError, MissingExtraError
from dmvton.networks import NETWORKS, load_network
from dmvton.student.config import StudentConfig
from dmvton.teacher.model import TeacherConfig
from tests import fake_pair
from tests.samples import POINTS, pattern, write_shards

SIZES = dict(width=16, thin=8, decoder=(16, 16, 16, 8, 8), tokens=1, pretrained=False)


def shirt():
    mask = np.zeros((320, 240), bool)
    mask[60:270, 40:200] = True
    return Cloth(
        np.where(mask[..., None], pattern((240, 320), 40), 255).astype(np.uint8), mask, "s"
    )


def person():
    points = np.c_[POINTS - (32, 40), np.ones(13)].astype(np.float32)
    worn = np.zeros((256, 192), bool)
    worn[72:180, 66:126] = True
    return pattern((192, 256), 60), Known(points, worn, worn.astype(np.uint8) * 3)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Checkpoint folders of tiny networks that change the picture, by kind."""
    out = {}
    for kind, config in (("student", StudentConfig(**SIZES)), ("teacher", TeacherConfig(**SIZES))):
        torch.manual_seed(1)
        model = NETWORKS[kind].build(config)
        with torch.no_grad():  # weights of change well within what the composite lets through
            model.generator.out.bias[3:5] += 1.0
        out[kind] = tmp_path_factory.mktemp(kind)
        save_model(out[kind], model, {kind: vars(config)})
    return out


def test_a_student_checkpoint_dresses_as_its_export_does(folders, tmp_path):
    pytest.importorskip("onnxslim", reason="the extra `export` is not installed")
    from export.pair import export_pair

    model = load_network("student", folders["student"])
    export_pair(model, (256, 192), tmp_path / "pair", "tiny")
    student = Student("student", tmp_path / "pair", 1)
    checkpoint = Checkpoint("student", folders["student"], student)
    image, known = person()
    expected = student.crop(image, shirt(), known)
    assert (expected != image).mean() > 0.2
    found = checkpoint.crop(image, shirt(), known)
    assert np.abs(found.astype(int) - expected).mean() < 0.1
    shards = write_shards(tmp_path / "d", "AD")
    one, other = (synthetic.run(c, shards, 2) for c in (student, checkpoint))
    for a, b in zip(one, other, strict=True):
        assert a.values["epe"] == pytest.approx(b.values["epe"], rel=1e-3)
        assert 0 <= b.values["iou"] <= 1 and "iou" not in a.values


def test_a_network_of_another_size_is_held_against_the_same_flow(tmp_path):
    shards = write_shards(tmp_path / "d", "AD")
    found = []
    for size in ((256, 192), (128, 96)):
        (tmp_path / str(size[0])).mkdir()
        pair = fake_pair.write_pair(tmp_path / str(size[0]), size)
        found.append(synthetic.run(Student("student", pair, 1), shards, 2))
    for own, other in zip(*found, strict=True):
        assert own.values["epe"] > 1
        assert other.values["epe"] == pytest.approx(own.values["epe"], rel=0.05)


def test_the_teacher_does_not_see_the_old_garment(folders, fake_weights):
    teacher = Checkpoint("teacher", folders["teacher"], Student("framer", fake_weights, 1))
    image, known = person()
    other = np.where(known.worn[..., None], 255 - image, image)
    dressed = [teacher.crop(x, shirt(), known).astype(int) for x in (image, other)]
    assert (dressed[0] != image).any()
    garment = teacher.framer.garment(shirt())
    layers = [teacher.dressed(x, known, garment) for x in (image, other)]
    assert torch.equal(layers[0].flow, layers[1].flow)
    assert torch.equal(layers[0].alpha, layers[1].alpha)


def test_a_photo_is_dressed_where_the_keypoints_are(folders, fake_weights):
    student = Checkpoint("student", folders["student"], Student("framer", fake_weights, 1))
    image, known = person()
    wide = cv2.copyMakeBorder(image, 100, 0, 200, 200, cv2.BORDER_CONSTANT)
    moved = [cv2.copyMakeBorder(m, 100, 0, 200, 200, cv2.BORDER_CONSTANT)
             for m in (known.worn.astype(np.uint8), known.parsing)]  # fmt: skip
    there = Known(known.points + np.float32([200, 100, 0]), moved[0] > 0, moved[1])
    out = student.photo(wide, shirt(), there)
    assert (out[:60] == wide[:60]).all() and (out[:, :150] == wide[:, :150]).all()
    assert (out[150:300, 250:350] != wide[150:300, 250:350]).any()
    assert (student.stream(shirt())(wide, there) == out).all()
    lost = there._replace(points=np.zeros((13, 3), np.float32))
    assert (student.photo(wide, shirt(), lost) == wide).all()


def test_what_is_known_follows_the_crop_by_pixel_centres():
    parsing = np.zeros((800, 600), np.uint8)
    parsing[300:330, 200:240] = 7
    points = np.tile(np.float32([219.5, 314.5, 1]), (13, 1))  # the middle of the patch
    box = Box(-30, 60, 384, 512)  # two pixels to one
    found = _in_box(Known(points, parsing > 0, parsing), box)
    assert found.parsing.shape == (256, 192)
    rows, columns = np.nonzero(found.parsing == 7)
    assert (rows.min(), rows.max() + 1) == ((300 - 60) / 2, (330 - 60) / 2)
    assert (columns.min(), columns.max() + 1) == ((200 + 30) / 2, (240 + 30) / 2)
    assert (found.worn == (found.parsing > 0)).all()
    centre = found.points[0, :2]
    np.testing.assert_allclose(centre, [columns.mean(), rows.mean()])
    unit = _normalised(torch.from_numpy(found.points)[None])[0, 0].numpy()
    np.testing.assert_allclose((unit[:2] + 1) / 2 * [192, 256], centre + 0.5, rtol=1e-5)
    assert unit[2] == 1


def test_a_wrong_checkpoint_is_a_typed_error(folders):
    with pytest.raises(CheckpointError, match="not a usable checkpoint"):
        Checkpoint("teacher", folders["student"], None)


def test_a_student_for_pictures_of_twice_the_size_is_refused(tmp_path):
    config = StudentConfig(**SIZES, fine=4)
    save_model(tmp_path, NETWORKS["student"].build(config), {"student": vars(config)})
    with pytest.raises(CheckpointError, match="twice the size.*256x192.*benchmarks.native"):
        Checkpoint("student", tmp_path, None)


def test_inception_lets_in_no_file_but_the_known_one(tmp_path, monkeypatch):
    import sys
    import types

    class Extractor:
        def __init__(self, name, features, path):
            assert features == ["2048"]

        def __call__(self, images):
            return (images.float().mean((2, 3)).repeat(1, 3)[:, :8],)

    module = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = Extractor
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    path = tmp_path / "weights.pth"
    with pytest.raises(CheckpointError, match="can't be read"):
        inception.load(path)
    path.write_bytes(b"anything")
    with pytest.raises(CheckpointError, match="expected 6726825d"):
        inception.load(path)
    monkeypatch.setattr(inception, "_SHA256", hashlib.sha256(b"anything").hexdigest()[:8])
    image = np.zeros((4, 5, 3), np.uint8)
    image[..., 1] = 7
    features = inception.load(path)(image)
    assert features.dtype == np.float64 and list(features[:3]) == [0, 7, 0]
    monkeypatch.setitem(sys.modules, module.__name__, None)
    with pytest.raises(MissingExtraError, match="pip install torch-fidelity"):
        inception.load(path)
