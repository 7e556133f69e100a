"""Geometry of boxes, and a box that follows."""

import cv2
import numpy as np
import pytest

from dmvton.crop import (
    LEFT_HIP,
    LEFT_SHOULDER,
    RIGHT_HIP,
    RIGHT_SHOULDER,
    Box,
    CropRule,
    Tracker,
    centre_crop,
    letterbox,
    movement,
    sample,
    search_boxes,
    torso_box,
)

SIZE = (256, 192)
RNG = np.random.default_rng(0)


def standing(x, shoulder_y, hip_y, half_width=40, visibility=1.0):
    """Keypoints of somebody upright; centres of pixels."""
    points = np.zeros((13, 3), np.float32)
    points[:, 2] = visibility
    points[LEFT_SHOULDER, :2] = x + half_width, shoulder_y
    points[RIGHT_SHOULDER, :2] = x - half_width, shoulder_y
    points[LEFT_HIP, :2] = x + half_width / 2, hip_y
    points[RIGHT_HIP, :2] = x - half_width / 2, hip_y
    return points


@pytest.mark.parametrize("shape", [(256, 192), (100, 900), (900, 100), (333, 250), (481, 640)])
def test_letterbox_holds_the_picture_in_the_middle(shape):
    box = letterbox(*shape, SIZE)
    assert box.inside(*shape) == Box(0, 0, shape[1], shape[0])
    assert abs(box.width / box.height - 0.75) < 0.02
    assert abs((box.x + box.right) - shape[1]) <= 1 and abs((box.y + box.bottom) - shape[0]) <= 1


def test_points_at_edges_and_pixel_centres():
    box = Box(10, 20, 30, 40)
    np.testing.assert_allclose(
        box.to_pixels(np.array([[-1, -1], [1, 1]])), [[9.5, 19.5], [39.5, 59.5]]
    )
    centre_of_first = np.array([(2 * 0 + 1) / 30 - 1, (2 * 0 + 1) / 40 - 1])
    np.testing.assert_allclose(box.to_pixels(centre_of_first), [10, 20], atol=1e-5)


def test_point_in_a_crop_comes_back_to_its_place_in_the_frame():
    """A blob seen in the crop, brought back through the box, is where it was drawn."""
    frame = np.zeros((600, 500, 3), np.uint8)
    at = np.array([210.0, 330.0])
    cv2.circle(frame, at.astype(int), 12, (255, 255, 255), -1)
    box = Box(-40, 90, 450, 600)
    crop = sample(frame, box, SIZE)[..., 0].astype(float)
    rows, columns = np.indices(SIZE)
    seen = np.array([(columns * crop).sum(), (rows * crop).sum()]) / crop.sum()
    normalised = (2 * seen + 1) / np.array(SIZE[::-1]) - 1
    np.testing.assert_allclose(box.to_pixels(normalised), at, atol=0.1)


def test_box_of_somebody_upright_has_the_rules_proportions():
    rule = CropRule()
    box = torso_box(standing(300, 199.5, 399.5), SIZE, limit=10_000)
    assert box.height == round(rule.height * 200)
    assert box.width == pytest.approx(0.75 * rule.height * 200, abs=0.51)
    assert abs(box.y - (200 - rule.above * 200)) <= 0.5
    assert abs((box.x + box.right) / 2 - 300.5) <= 1


def test_hidden_hips_leave_the_scale_to_the_shoulders():
    points = standing(300, 200, 90_000, half_width=50)
    points[[LEFT_HIP, RIGHT_HIP], 2] = 0
    box = torso_box(points, SIZE, limit=10_000)
    assert box.height == round(2.35 * 1.4 * 100)


def test_torso_of_no_size_makes_no_box():
    assert torso_box(standing(300, 200, 201, half_width=1), SIZE, limit=10_000) is None


def test_box_never_exceeds_the_limit():
    assert torso_box(standing(300, 200, 5000), SIZE, limit=900).height == 900


def test_sample_inside_equals_a_plain_resize():
    frame = RNG.integers(0, 256, (700, 600, 3), np.uint8)
    box = Box(50, 60, 384, 512)
    wanted = cv2.resize(frame[60:572, 50:434], (192, 256), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(sample(frame, box, SIZE), wanted)


def test_sample_outside_repeats_the_border_or_fills():
    frame = np.full((256, 192, 3), 50, np.uint8)
    frame[:, 0] = (1, 2, 3)
    box = Box(-96, 0, 192, 256)
    assert (sample(frame, box, SIZE)[:, :96] == (1, 2, 3)).all()
    assert (sample(frame, box, SIZE, np.array([9, 8, 7]))[:, :96] == (9, 8, 7)).all()


def test_sample_of_a_long_strip_stays_small_and_keeps_its_place():
    strip = np.zeros((1000, 20_000, 3), np.uint8)
    strip[:, 10_000:] = 255
    small = sample(strip, letterbox(1000, 20_000, SIZE), SIZE)
    assert small.shape == (256, 192, 3)
    assert (small[128, :95] == 0).all() and (small[128, 97:] == 255).all()


@pytest.mark.parametrize("shape", [(480, 640), (720, 1280), (640, 480), (1000, 750), (1200, 300)])
def test_search_starts_whole_and_its_parts_lie_inside(shape):
    boxes = list(search_boxes(*shape, SIZE))
    assert boxes[0] == letterbox(*shape, SIZE)
    for part in boxes[1:]:
        assert part.inside(*shape) == part
    covered = np.zeros(shape, bool)
    for part in boxes[1:]:
        covered[part.y : part.bottom, part.x : part.right] = True
    assert covered.all() or len(boxes) in (1, 6)  # very long pictures: the five parts thin out


def test_movement_is_relative_to_the_box():
    assert movement(Box(0, 0, 75, 100), Box(10, 0, 75, 100)) == pytest.approx(0.1)
    assert movement(Box(0, 0, 75, 100), Box(0, 0, 75, 100)) == 0


def test_tracker_damps_a_tremble_and_follows_a_walk():
    tracker, rng = Tracker(), np.random.default_rng(2)
    trembling = [Box(100 + int(rng.integers(-4, 5)), 50, 300, 400) for _ in range(60)]
    followed = [tracker.update(box) for box in trembling]
    asked, given = (np.std([box.x for box in boxes[10:]]) for boxes in (trembling, followed))
    assert given < 0.6 * asked
    for step in range(40):
        last = tracker.update(Box(100 + 10 * step, 50, 300, 400))
    assert abs(last.x - 490) < 30


def test_tracker_jumps_at_once_to_somebody_else():
    tracker = Tracker()
    tracker.update(Box(0, 0, 300, 400))
    other = Box(900, 100, 150, 200)
    assert tracker.jumps_to(other)
    assert tracker.update(other) == other


def test_tracker_forgets():
    tracker = Tracker()
    tracker.update(Box(0, 0, 300, 400))
    tracker.reset()
    assert tracker.box is None
    assert not tracker.jumps_to(Box(900, 0, 300, 400))


@pytest.mark.parametrize("full, size, corner", [
    ((8, 6), (8, 6), (0, 0)), ((8, 6), (4, 2), (2, 2)), ((9, 7), (4, 4), (2, 1)),
])  # fmt: skip
def test_centre_crop_is_the_middle(full, size, corner):
    image = np.arange(full[0] * full[1] * 3).reshape(*full, 3)
    found = centre_crop(image, size)
    assert found.shape == (*size, 3) and found.flags.c_contiguous
    np.testing.assert_array_equal(found[0, 0], image[corner])
    np.testing.assert_array_equal(centre_crop(image[..., 0], size), found[..., 0])
