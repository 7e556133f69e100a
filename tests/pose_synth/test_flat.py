import cv2
import numpy as np
import pytest

from pose_synth.flat import flat_mesh, landmarks, mesh_iou, outline
from pose_synth.outlines import grabcut_mask
from pose_synth.strips import ARMPIT_ROW
from tests.figures import (
    LONGSLEEVE,
    MIDDLE,
    SLOPING,
    TSHIRT,
    filled,
    mirrored,
    polygon,
    shop_photo,
)

GARMENTS = {"t-shirt": TSHIRT, "longsleeve": LONGSLEEVE}
# The outline is smoothed, which moves sharp corners; where a neckline begins is a matter of taste.
TOLERANCE = {"armpit": 10, "hem": 6, "cuff_in": 8, "cuff_out": 9, "shoulder": 14, "neck": 14}


def distances(corners, angle, sloping=False):
    """Pixels between each drawn landmark and the one that is found, on a garment that is turned."""
    turn = cv2.getRotationMatrix2D((MIDDLE, 160), angle, 0.9)
    line, sides = landmarks(filled(polygon(corners) @ turn[:, :2].T + turn[:, 2]), sloping)
    out = {}
    for side, points in enumerate((list(corners.values()), mirrored(corners.values()))):
        for name, drawn in zip(corners, points, strict=True):
            wanted = turn[:, :2] @ drawn + turn[:, 2]
            out[side, name] = np.linalg.norm(line.points[sides[side][name]] - wanted)
    return out


@pytest.mark.parametrize("kind", GARMENTS)
@pytest.mark.parametrize("angle", [0, -8, 6])
def test_landmarks_lie_where_they_were_drawn(kind, angle):
    found = distances(GARMENTS[kind], angle)
    assert {key: d for key, d in found.items() if d > TOLERANCE[key[1]]} == {}


@pytest.mark.parametrize("angle", [0, -8, 6])
def test_inner_corner_of_a_sloping_cuff(angle):
    found = distances(SLOPING, angle, sloping=True)
    assert {key: d for key, d in found.items() if d > TOLERANCE[key[1]]} == {}
    plain = distances(SLOPING, angle)  # the hull's corner, kept for the protocols
    assert max(plain[side, "cuff_in"] for side in (0, 1)) > TOLERANCE["cuff_in"]


@pytest.mark.parametrize("kind", GARMENTS)
@pytest.mark.parametrize("angle", [0, -8, 6])
def test_straight_cuffs_are_not_taken_for_sloping_ones(kind, angle):
    found = distances(GARMENTS[kind], angle, sloping=True)
    assert {key: d for key, d in found.items() if d > TOLERANCE[key[1]]} == {}


@pytest.mark.parametrize("kind", GARMENTS)
def test_mesh_covers_the_garment(kind):
    corners = GARMENTS[kind]
    mask = filled(polygon(corners))
    mesh, misfit = flat_mesh(mask)
    assert misfit == pytest.approx(1 - mesh_iou(mesh, mask))
    assert misfit < 0.05
    assert np.linalg.norm(mesh.torso[ARMPIT_ROW, 0] - corners["armpit"]) < 10
    assert np.linalg.norm(mesh.torso[-1, 0] - corners["hem"]) < 6
    assert np.abs(mesh.torso[-1, 1:-1, 1] - corners["hem"][1]).max() < 2
    assert mesh.left[:, :, 0].max() < mesh.torso[:, 4, 0].min() < mesh.right[:, :, 0].min()
    cuff = (np.float64(corners["cuff_in"]) + corners["cuff_out"]) / 2
    assert np.linalg.norm(mesh.left[-1].mean(0) - cuff) < 8


def test_sleeves_are_told_apart_by_their_length():
    short, long = (flat_mesh(filled(polygon(c)))[0].sleeve_ratio() for c in (TSHIRT, LONGSLEEVE))
    assert short < 0.42 < long


def circle():
    mask = np.zeros((320, 240), np.uint8)
    cv2.circle(mask, (120, 160), 90, 1, -1)
    return mask > 0


def trousers():
    return filled(np.float64([(70, 20), (170, 20), (190, 300), (140, 300), (120, 120), (100, 300),
                              (50, 300)]))  # fmt: skip


def rectangle():
    return filled(np.float64([(40, 30), (200, 30), (200, 290), (40, 290)]))


@pytest.mark.parametrize("shape", [circle, rectangle, trousers])
def test_what_is_no_top_has_no_mesh(shape):
    assert shape().mean() > 0.15
    assert flat_mesh(shape()) is None


def test_outline_has_equal_steps_on_the_edge():
    points = outline(circle())
    assert points.shape == (400, 2)
    radius = np.linalg.norm(points - (120, 160), axis=1)
    assert np.abs(radius - 90).max() < 2
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    assert np.ptp(steps) < 0.2 * steps.mean()


@pytest.mark.parametrize("colour", [(60, 90, 200), (30, 30, 30), (170, 190, 120)])
def test_garment_is_cut_out_of_its_photo(colour):
    mask = filled(polygon(TSHIRT))
    found = grabcut_mask(shop_photo(TSHIRT, colour))
    assert (found & mask).sum() / (found | mask).sum() > 0.93


def test_cutting_out_is_the_same_each_time():
    photo = shop_photo(TSHIRT)
    assert np.array_equal(grabcut_mask(photo), grabcut_mask(photo))
