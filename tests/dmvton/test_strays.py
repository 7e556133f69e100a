"""Slits and patches of background, told from prints, cuffs and stripes."""

import numpy as np
import pytest

from dmvton.strays import strays

SIZE = (256, 192)
TABLE, CLOTH = (180, 60, 70), (40, 60, 120)


def laid(background=TABLE, cloth=CLOTH, noise=4):
    """A garment whose sleeves hang beside the torso: (picture, closed mask, true mask)."""
    rng = np.random.default_rng(0)
    true = np.zeros(SIZE, bool)
    true[40:220, 60:132] = True  # torso
    true[40:200, 40:56] = true[40:200, 136:152] = True  # sleeves
    true[40:80, 40:152] = True  # shoulders
    closed = true.copy()
    closed[40:200, 40:152] = True
    picture = np.where(true[..., None], np.array(cloth), np.array(background))
    picture = (picture + rng.normal(0, noise, (*SIZE, 3))).clip(0, 255).astype(np.uint8)
    return picture, closed.astype(np.float32), true


def test_slits_are_found_and_nothing_else():
    picture, closed, true = laid()
    found = strays(picture, closed)
    slit = (closed > 0.5) & ~true
    assert found[slit].mean() > 0.99
    # One pixel about them, as it is a mixture of both.
    assert found[true].mean() < 0.05
    assert not found[closed < 0.5].any()


@pytest.mark.parametrize("colour", [TABLE, (255, 255, 255)])
def test_a_print_in_the_colour_of_the_table_stays(colour):
    picture, _, true = laid(background=colour)
    mask = np.zeros(SIZE, np.float32)
    mask[40:220, 60:132] = 1
    picture[120:126, 90:100] = colour  # letters on the chest
    assert not strays(picture, mask).any()


def test_cuffs_and_a_hem_in_the_colour_of_the_table_stay():
    picture, _, true = laid()
    mask = true.astype(np.float32)
    picture[196:200, 40:56] = picture[196:200, 136:152] = TABLE
    picture[217:220, 60:132] = TABLE
    assert not strays(picture, mask).any()


def test_stripes_in_the_colour_of_the_table_stay():
    picture, _, true = laid(background=(250, 250, 250))
    stripes = true & (np.arange(SIZE[0]) % 12 < 4)[:, None]
    picture[stripes] = 250
    mask = true.astype(np.float32)
    assert not strays(picture, mask).any()


def test_a_garment_of_the_tables_colour_is_left_alone():
    picture, closed, _ = laid(cloth=TABLE)
    assert not strays(picture, closed).any()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_nothing_to_tell_apart(value):
    picture, _, _ = laid()
    found = strays(picture, np.full(SIZE, value, np.float32))
    assert found.shape == SIZE and not found.any()


def test_a_patch_of_the_table_is_found():
    picture, closed, true = laid()
    mask = true.astype(np.float32)
    mask[150:170, 152:175] = 1
    found = strays(picture, mask)
    assert found[150:170, 153:175].all() and found[true].mean() < 0.01


def test_what_is_seen_through_an_opening_is_background():
    """An open shirt over the table."""
    picture, _, _ = laid()
    mask = np.zeros(SIZE, np.float32)
    mask[40:220, 40:152] = 1
    picture[40:220, 40:152] = CLOTH
    picture[40:220, 92:102] = TABLE
    found = strays(picture, mask)
    assert found[40:220, 92:102].all() and not found[:, :91].any() and not found[:, 103:].any()
