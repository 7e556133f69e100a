"""Masks completed before plain walls, and left as they are before all else."""

import cv2
import numpy as np
import pytest

from dmvton.wall import before_wall

SIZE = (200, 150)
WALL, CLOTH, PRINT = (245, 245, 247), (120, 125, 130), (200, 40, 60)


def hung(wall=WALL, cloth=CLOTH, slope=0.0, noise=1.0, seed=0):
    """A tank top with thin straps and a print before a wall: (photo, where it is)."""
    rng = np.random.default_rng(seed)
    true = np.zeros(SIZE, np.uint8)
    cv2.rectangle(true, (40, 70), (110, 170), 1, -1)
    for x in (52, 96):
        cv2.rectangle(true, (x, 20), (x + 2, 72), 1, -1)
    photo = np.where(true[..., None] > 0, np.float64(cloth), np.float64(wall))
    photo[110:130, 60:90] = PRINT
    photo += np.linspace(-slope, slope, SIZE[1])[None, :, None]
    photo = cv2.GaussianBlur(photo + rng.normal(0, noise, photo.shape), (0, 0), 0.6)
    return photo.clip(0, 255).astype(np.uint8), true > 0


def partial(true):
    """A mask as the network may give it: no straps, a hole in the print, a quarter gone."""
    mask = true.astype(np.float32)
    mask[:68] = mask[112:128, 62:88] = mask[68:130, 85:] = 0
    return mask


@pytest.mark.parametrize(
    "case", [{}, {"slope": 25}, {"cloth": (30, 30, 30)}, {"wall": (60, 62, 64)}]
)
def test_straps_prints_and_lost_parts_come_back(case):
    photo, true = hung(**case)
    mask = partial(true)
    before = mask.copy()
    found = before_wall(photo, mask, np.uint8(case.get("wall", WALL)))
    assert found.dtype == np.float32 and (found >= mask).all()
    assert np.array_equal(mask, before), "the mask given is not changed"
    assert (found[true] > 0.5).mean() > 0.95 > (mask[true] > 0.5).mean()
    assert found[40, 53] == 1 and found[120, 75] == 1 and found[90, 100] == 1
    assert (found[~true] > 0.5).mean() < 0.005


def test_a_white_top_before_a_white_wall_keeps_what_the_network_saw():
    photo, true = hung(cloth=(250, 250, 250))
    mask = partial(true)
    found = before_wall(photo, mask, np.uint8(WALL))
    assert (found >= mask).all() and (found[~true] > 0.5).mean() < 0.005


def test_wall_in_the_loop_of_a_strap_goes_and_a_white_print_stays():
    photo, true = hung()
    cv2.rectangle(photo, (52, 20), (60, 70), CLOTH, 2)  # a strap from front to back
    photo[100:104, 60:90] = WALL  # letters
    mask = true.astype(np.float32)
    mask[20:70, 51:62] = 1
    found = before_wall(photo, mask, np.uint8(WALL))
    assert found[25:66, 56].max() == 0 and found[25:66, 52].min() == 1
    assert found[101:103, 62:88].min() == 1


def test_a_textured_floor_is_no_wall():
    photo, true = hung(noise=25)
    mask = partial(true)
    assert before_wall(photo, mask, np.uint8(WALL)) is mask


def test_a_garment_that_hides_most_of_the_rim_leaves_no_wall_to_tell():
    photo, true = hung()
    photo[:, :40] = photo[:, 111:] = CLOTH
    mask = partial(true)
    assert before_wall(photo, mask, np.uint8(WALL)) is mask


def test_a_hanger_and_a_bag_beside_are_no_garment():
    photo, true = hung()
    photo[10:20, 40:112] = (150, 90, 30)  # wood, across the straps' ends
    photo[150:190, 5:30] = CLOTH  # apart from it, and unknown to the network
    mask = true.astype(np.float32)
    mask[:30] = 0
    found = before_wall(photo, mask, np.uint8(WALL))
    assert found[12:18, 60:90].max() == 0 and found[150:190, 5:30].max() == 0


def test_wall_that_a_sleeve_shuts_in_stays_wall():
    photo, true = hung()
    cv2.rectangle(photo, (20, 80), (40, 150), CLOTH, 5)
    mask = true.astype(np.float32)
    found = before_wall(photo, mask, np.uint8(WALL))
    assert found[90:140, 26:34].max() == 0
    assert found[100, 20] == 1, "the sleeve itself"


def test_nothing_known_is_nothing_found():
    photo, true = hung()
    mask = np.zeros(SIZE, np.float32)
    assert before_wall(photo, mask, np.uint8(WALL)) is mask
