import numpy as np

from dmvton.keypoints import Keypoint
from pose_synth.pose import KEYPOINTS, NETWORK_KEYPOINTS, PoseBank
from tests.figures import person_points

# BlazePose's names for what the network predicts.
BLAZEPOSE = {
    "NOSE": 0, "LEFT_SHOULDER": 11, "RIGHT_SHOULDER": 12, "LEFT_ELBOW": 13, "RIGHT_ELBOW": 14,
    "LEFT_WRIST": 15, "RIGHT_WRIST": 16, "LEFT_HIP": 23, "RIGHT_HIP": 24, "LEFT_KNEE": 25,
    "RIGHT_KNEE": 26, "LEFT_ANKLE": 27, "RIGHT_ANKLE": 28,
}  # fmt: skip


def test_network_keypoints_are_the_same_joints():
    assert {k.name: NETWORK_KEYPOINTS[k] for k in Keypoint} == BLAZEPOSE


def test_bank_round_trip_keeps_an_eighth_of_a_pixel(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.uniform(-50, 900, (3, KEYPOINTS, 3)).astype(np.float32)
    values[..., 2] = rng.random((3, KEYPOINTS))
    scores = np.array([0.0, 0.5, 1.0])
    PoseBank.save(tmp_path / "bank.npz", ["b", "a", "0003"], values, scores)
    bank = PoseBank.load(tmp_path / "bank.npz")
    assert bank.index == {"b": 0, "a": 1, "0003": 2}
    points, score = bank.points("a")
    assert np.abs(points[:, :2] - values[1, :, :2]).max() <= 1 / 16 + 1e-4
    assert np.abs(points[:, 2] - values[1, :, 2]).max() <= 1 / 500
    assert abs(score - 0.5) < 1 / 500
    assert not list(tmp_path.glob("*.part*"))


def test_points_far_outside_the_photo_do_not_wrap_around(tmp_path):
    values = person_points()[None].copy()
    values[0, 0, :2] = 9000, -9000
    PoseBank.save(tmp_path / "bank.npz", ["a"], values, np.ones(1))
    x, y = PoseBank.load(tmp_path / "bank.npz").points("a")[0][0, :2]
    assert x == 4000 and y == -4000


def test_committed_bank_is_sound():
    bank = PoseBank.load()
    assert len(bank.index) > 1500
    assert bank.values.shape == (len(bank.index), KEYPOINTS, 3)
    assert 0 <= bank.values[..., 2].min() and bank.values[..., 2].max() <= 1
    sure = bank.scores > 0.9
    assert sure.mean() > 0.8
    shoulders, hips = bank.values[sure][:, [11, 12], 1], bank.values[sure][:, [23, 24], 1]
    assert (shoulders.mean(1) < hips.mean(1)).mean() > 0.98  # people stand
