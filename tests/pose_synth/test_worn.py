import numpy as np
import pytest

from pose_synth.flat import mesh_iou
from pose_synth.worn import hem_depth, torso_frame, worn_mesh
from tests.figures import NECK_Y, TORSO, person_masks, person_points

POINTS = person_points()[:, :2]


def fit(hidden=None, **cut):
    region, _ = person_masks(**cut)
    hidden = np.zeros_like(region) if hidden is None else hidden
    return worn_mesh(POINTS, region & ~hidden, hidden), region


def test_frame_of_the_torso():
    frame = torso_frame(POINTS)
    assert np.allclose(frame.neck, (128, NECK_Y))
    assert np.allclose(frame.down, (0, 1)) and np.allclose(frame.across, (1, 0))
    assert frame.length == pytest.approx(TORSO, rel=1e-4)
    assert frame.shoulders == pytest.approx(72)


def test_frame_turns_with_the_person():
    turn = np.array([[0.0, -1], [1, 0]])  # a quarter turn
    frame = torso_frame(POINTS @ turn.T)
    assert np.allclose(frame.down, (-1, 0), atol=1e-6)
    assert np.allclose(np.abs(frame.across), (0, 1), atol=1e-6)


@pytest.mark.parametrize("hem", [0.8, 1.1, 1.5])
def test_hem_is_found(hem):
    worn, _ = fit(hem=hem)
    assert worn.hem == pytest.approx(hem, abs=0.03)
    assert np.abs(worn.mesh.torso[-1, :, 1] - (NECK_Y + hem * TORSO)).max() < 4


@pytest.mark.parametrize("share", [0.3, 0.5, 0.75, 1.0])
def test_sleeves_are_measured(share):
    worn, region = fit(sleeve=share)
    # The rounded end of the drawn sleeve reaches half its width further.
    assert all(share - 0.03 < found < share + 0.14 for found in worn.sleeves)
    assert 1 - mesh_iou(worn.mesh, region) < 0.2


def test_bare_arms_have_no_sleeves():
    region, _ = person_masks(sleeve=0.0)
    region[:, :94] = region[:, 163:] = False  # nothing beyond the shoulders' joints
    worn = worn_mesh(POINTS, region, np.zeros_like(region))
    assert worn.mesh.left is None and worn.mesh.right is None
    assert max(worn.sleeves) < 0.1
    assert 1 - mesh_iou(worn.mesh, region) < 0.15


def test_left_sleeve_is_on_the_left_of_the_picture():
    worn, region = fit(sleeve=0.8)
    assert worn.mesh.left[-1, :, 0].max() < 100 < 156 < worn.mesh.right[-1, :, 0].min()
    outer, inner = worn.mesh.left[-1, 0], worn.mesh.left[-1, -1]
    assert outer[0] < inner[0]


def test_sleeve_goes_on_behind_what_hides_it():
    hidden = np.zeros((336, 256), bool)
    hidden[165:190, 50:110] = True
    seen, _ = fit(sleeve=0.8)
    covered, _ = fit(hidden, sleeve=0.8)
    assert covered.sleeves == pytest.approx(seen.sleeves, abs=0.03)
    cut, _ = fit(sleeve=0.8)
    region, _ = person_masks(sleeve=0.8)
    gap = worn_mesh(POINTS, region & ~hidden, np.zeros_like(hidden))  # bare skin, not an occluder
    assert gap.sleeves[0] < 0.6 < cut.sleeves[0]


def test_edge_behind_an_occluder_is_where_the_body_lets_expect_it():
    region, _ = person_masks(sleeve=0)
    bag = np.zeros_like(region)
    bag[190:230, 80:118] = True  # over the flank on the left
    free, hidden = (worn_mesh(POINTS, region & ~bag, h) for h in (np.zeros_like(bag), bag))
    row = int(np.argmin(np.abs(free.mesh.torso[:, 0, 1] - 210)))
    assert hidden.mesh.torso[row, 0, 0] < free.mesh.torso[row, 0, 0]
    assert abs(hidden.mesh.torso[row, 0, 0] - 94) < 10


def test_hem_has_a_least_depth_where_no_top_is_seen():
    empty = np.zeros((336, 256), bool)
    assert hem_depth(empty, torso_frame(POINTS)) == 0.5
