import numpy as np
import pytest

from pose_synth.body import (
    CONTROLLED,
    LIMIT,
    PARENTS,
    Body,
    PoseSampler,
    mirrored,
    rotations,
    skin,
    spreads,
    transforms,
)
from pose_synth.ccp import SourceError
from pose_synth.proxies import Proxy
from pose_synth.wardrobe import Wardrobe


@pytest.fixture(scope="module")
def body():
    return Body()


def test_parents_come_first():
    assert len(PARENTS) == len(CONTROLLED)
    assert all(p < i for i, p in enumerate(PARENTS))


def test_rotations_turn_about_their_axis():
    turn = rotations(np.array([[0, 0, np.pi / 2], [0, 0, 0]]))
    np.testing.assert_allclose(turn[0] @ [1, 0, 0], [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(turn[1], np.eye(3), atol=1e-6)


def test_rest_pose_moves_nothing(body):
    figure = body.figure(np.zeros(len(body.basis)))
    still = transforms(np.zeros((len(CONTROLLED), 3)), figure.heads)
    posed = skin(figure.vertices, body.skin_index, body.skin_weight, still)
    np.testing.assert_allclose(posed, figure.vertices, atol=1e-5)


def test_elbow_moves_the_hand_and_nothing_else(body):
    figure = body.figure(np.zeros(len(body.basis)))
    pose = np.zeros((len(CONTROLLED), 3))
    pose[CONTROLLED.index("lowerarm01.L")] = [0, 0, 1.0]
    posed = skin(figure.vertices, body.skin_index, body.skin_weight,
                 transforms(pose, figure.heads))  # fmt: skip
    away = np.linalg.norm(body.keypoints(posed) - body.keypoints(figure.vertices), axis=1)
    assert away[9] > 0.1  # the left wrist
    assert np.delete(away, [7, 9]).max() < 0.02


def test_people_have_human_heights(body):
    rng = np.random.default_rng(0)
    for _ in range(10):
        vertices = body.figure(body.draw_shape(rng)).vertices[:13380]
        assert 1.4 < np.ptp(vertices[:, 2]) < 2.15


def test_poses_stay_within_limits():
    sampler, rng = PoseSampler(), np.random.default_rng(0)
    for _ in range(20):
        pose = sampler.draw(rng, jitter=2.0)
        assert (np.linalg.norm(pose, axis=1) <= LIMIT * spreads()[:, 0] + 1e-4).all()


def test_mirror_twice_is_the_pose():
    pose = PoseSampler().poses[3]
    np.testing.assert_allclose(mirrored(mirrored(pose)), pose)


def test_mirror_mirrors_the_keypoints(body):
    figure = body.figure(np.zeros(len(body.basis)))
    pose = PoseSampler().poses[5]
    put = [skin(figure.vertices, body.skin_index, body.skin_weight, transforms(p, figure.heads))
           for p in (pose, mirrored(pose))]  # fmt: skip
    first, second = (body.keypoints(p) for p in put)
    np.testing.assert_allclose(second[[6, 8, 10]], first[[5, 7, 9]] * [-1, 1, 1], atol=0.02)


def test_missing_meshes_name_the_repository(tmp_path):
    with pytest.raises(SourceError, match="makehumancommunity/makehuman-assets"):
        Wardrobe(tmp_path)


def test_git_lfs_pointer_is_named(tmp_path, body):
    (tmp_path / "shirt.mhclo").write_text("obj_file shirt.obj\nverts 0\n")
    (tmp_path / "shirt.obj").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(SourceError, match="lfs pull"):
        Proxy(tmp_path / "shirt.mhclo", body)


def test_missing_mesh_file_is_named(tmp_path, body):
    with pytest.raises(SourceError, match="shirt.mhclo"):
        Proxy(tmp_path / "shirt.mhclo", body)
