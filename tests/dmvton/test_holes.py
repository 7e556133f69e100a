from dataclasses import replace

import cv2
import numpy as np
import pytest

from dmvton.hem import Torso
from dmvton.holes import HOLES, without_holes
from dmvton.keypoints import Keypoint
from dmvton.runtime import Layers

SIZE = (128, 96)
TORSO = Torso(20, 100, 47.5, 24)
PLACES = {
    Keypoint.LEFT_SHOULDER: (66, 30),
    Keypoint.RIGHT_SHOULDER: (29, 30),
    Keypoint.LEFT_HIP: (60, 85),
    Keypoint.RIGHT_HIP: (35, 85),
}
LENGTH = 55


def layers_of(holes=(), wrist=None, seen=1.0, beta=0.0):
    """A person in a garment as it lies in its photo, with holes (x, y, radius) in alpha."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    alpha = np.zeros(SIZE, np.float32)
    alpha[20:100, 16:80] = 1
    for hx, hy, radius in holes:
        cv2.circle(alpha, (hx, hy), radius, 0.0, -1)
    keypoints = np.zeros((13, 3), np.float32)
    places = dict(PLACES) if wrist is None else {**PLACES, Keypoint.LEFT_WRIST: wrist}
    for k, (px, py) in places.items():
        keypoints[k] = (2 * px + 1) / SIZE[1] - 1, (2 * py + 1) / SIZE[0] - 1, seen
    flow = np.stack([(2 * x + 1) / SIZE[1] - 1, (2 * y + 1) / SIZE[0] - 1], 2)
    zero = np.zeros((*SIZE, 3), np.float32)
    return Layers(flow, alpha, np.full(SIZE, beta, np.float32), zero, zero + 1, keypoints, 1.0)


def closed(layers, torso=TORSO, rule=HOLES):
    return without_holes(layers.alpha, layers, torso, rule)


def test_a_button_is_covered_with_its_rim():
    layers = layers_of([(47, 60, 3)])
    alpha = closed(layers)
    assert alpha[20:100, 16:80].min() == 1
    assert np.array_equal(alpha[:, :16], layers.alpha[:, :16])
    blurred = layers._replace(alpha=cv2.GaussianBlur(layers.alpha, (0, 0), 1))
    assert closed(blurred)[60 - 5 : 60 + 6, 47].min() > 0.9


def test_an_island_of_what_is_painted_is_a_hole():
    layers = layers_of([(47, 60, 3)], beta=1.0)
    assert closed(layers)[20:100, 16:80].min() == 1
    neck = layers_of(beta=1.0)
    neck.alpha[20:40, 40:55] = 0  # painted skin, open above
    neck.alpha[:20] = 0
    assert np.array_equal(closed(neck), neck.alpha)


def test_a_badge_that_hangs_together_with_the_hem_is_covered():
    layers = layers_of([(47, 60, 5)])
    layers.alpha[60:110, 46:49] = 0  # a zip below it
    alpha = closed(layers)
    assert alpha[54:67, 41:54].min() == 1
    assert alpha[80:95, 47].max() == 0, "the zip itself is no hole"
    layers.alpha[60:110, 42:53] = 0
    assert np.array_equal(closed(layers), layers.alpha), "what is as wide is one with it"


@pytest.mark.parametrize(
    "hole",
    [
        (47, 60, 10),  # as large as a hand
        (47, 24, 8),  # the neck: open to what lies around
        (22, 60, 3),  # off the torso: a gap between arm and body
    ],
)
def test_what_is_no_hole_in_the_torso_stays(hole):
    layers = layers_of([hole])
    assert closed(layers) is layers.alpha


def test_a_hand_that_is_seen_stays():
    near, far = (47, 66), (47, 60 + round((HOLES.hand + 0.1) * LENGTH))
    hand = [(47, 60, 3)]
    held = layers_of(hand, wrist=near)
    assert closed(held) is held.alpha
    assert closed(layers_of(hand, wrist=far))[60, 47] == 1
    assert closed(layers_of(hand, wrist=near, seen=0.5))[60, 47] == 1  # a guess


def test_of_two_holes_only_one_may_be_a_hand():
    alpha = closed(layers_of([(40, 40, 2), (52, 80, 3)], wrist=(52, 86)))
    assert alpha[40, 40] == 1 and alpha[80, 52] == 0


def test_without_a_garment_or_a_body_nothing_is_done():
    layers = layers_of([(47, 60, 3)])
    assert closed(layers, torso=None) is layers.alpha
    lost = layers._replace(keypoints=np.zeros_like(layers.keypoints))
    assert closed(lost) is lost.alpha


def test_the_bounds_are_those_of_the_rule():
    layers = layers_of([(47, 60, 3)])
    area = (layers.alpha[20:100, 16:80] == 0).sum() / LENGTH**2
    assert closed(layers, rule=replace(HOLES, area=0.9 * area)) is layers.alpha
    assert closed(layers, rule=replace(HOLES, area=1.1 * area))[60, 47] == 1
