"""Where the garment ends: one row of it, whatever the cloth below makes of alpha."""

import numpy as np
import pytest

from dmvton.hem import HEM, torso_of, with_hem

H, W = SIZE = (128, 96)
Y, X = np.mgrid[0:H, 0:W].astype(np.float32)


def identity():
    return np.stack([(2 * X + 1) / W - 1, (2 * Y + 1) / H - 1], -1)


def t_shirt():
    """Torso of columns 30 to 65, rows 20 to 109; sleeves beside it to row 60."""
    mask = np.zeros(SIZE, np.float32)
    mask[20:110, 30:66] = 1
    mask[20:60, 10:86] = 1
    return mask


def in_doubt(mask, seed=0):
    """Alpha that falls from row 70 to row 110, torn by the cloth below."""
    torn = np.random.default_rng(seed).normal(0, 0.08, SIZE)
    return (mask * (np.clip((110 - Y) / 40, 0, 1) + torn * (Y > 70))).clip(0, 1).astype(np.float32)


def hemmed(alpha, flow, mask, beta=None):
    """Alpha with a hem, and the flow; nothing is rendered unless `beta` says so."""
    beta = np.zeros(SIZE, np.float32) if beta is None else beta
    return with_hem(alpha, beta, flow, torso_of(mask))


def ends(alpha, columns):
    """The last row of each column that is garment."""
    return np.array([np.flatnonzero(alpha[:, c] > 0.5)[-1] for c in columns])


def test_a_torn_hem_becomes_one_row():
    mask = t_shirt()
    alpha = in_doubt(mask)
    columns = range(32, 64)
    assert np.ptp(ends(alpha, columns)) > 5
    hem = hemmed(alpha, identity(), mask)[0]
    found = ends(hem, columns)
    assert np.ptp(found) <= 1 and abs(found.mean() - 90) < 3  # where the chance is a half
    assert hem[20:87, 32:64].min() > 0.5 and hem[95:].max() == 0
    assert hem.dtype == np.float32


def test_the_row_follows_the_flow():
    tilted = identity()
    tilted[..., 1] += (X - 48) / 48 * 0.1  # the left side of the picture shows rows higher up
    mask = t_shirt()
    rows = (tilted[..., 1] + 1) * H / 2 - 0.5
    alpha = (mask * np.clip((110 - rows) / 40, 0, 1)).astype(np.float32)
    found = ends(hemmed(alpha, tilted, mask)[0], range(32, 64))
    slope = np.polyfit(np.arange(32, 64), found, 1)[0]
    assert slope == pytest.approx(-0.1 * H / 2 / 48, abs=0.02)


def test_sleeves_beside_the_torso_stay():
    mask = np.zeros(SIZE, np.float32)
    mask[20:100, 30:66] = mask[20:118, 8:20] = mask[20:118, 76:88] = 1  # hanging, longer
    alpha = in_doubt(mask)
    alpha[:, :20] = alpha[:, 76:] = mask[:, :20] * 0.9
    hem = hemmed(alpha, identity(), mask)[0]
    np.testing.assert_array_equal(hem[:, :20], alpha[:, :20])
    np.testing.assert_array_equal(hem[:, 76:], alpha[:, 76:])
    assert hem[95:, 32:64].max() == 0


def test_a_hand_in_front_neither_shortens_the_garment_nor_is_covered():
    mask = t_shirt()
    alpha = in_doubt(mask)
    alpha[60:75, 36:60] = 0
    hem = hemmed(alpha, identity(), mask)[0]
    assert hem[60:75, 36:60].max() == 0
    assert abs(ends(hem, range(32, 64)).mean() - 90) < 3


def test_outline_above_the_hem_stays():
    """Pixels beside the body have little of the row's chance, and get no more."""
    mask = t_shirt()
    alpha = in_doubt(mask)
    alpha[:, 30:33] *= 0.1
    assert hemmed(alpha, identity(), mask)[0][20:, 30:33].max() < 0.2


def test_a_garment_is_no_longer_than_its_photo_shows():
    alpha = np.ones(SIZE, np.float32)  # down to the picture's end
    hem = hemmed(alpha, identity(), t_shirt())[0]
    assert abs(ends(hem, range(32, 64)) - 109).max() <= 1


@pytest.mark.parametrize(
    ("alpha", "mask"),
    [
        (np.zeros(SIZE, np.float32), t_shirt()),  # no garment on the person
        (in_doubt(t_shirt()), np.zeros(SIZE, np.float32)),  # nor in the photo
    ],
)
def test_without_a_garment_nothing_changes(alpha, mask):
    np.testing.assert_array_equal(hemmed(alpha, identity(), mask)[0], alpha)


def test_below_the_picture_the_hem_is_not_looked_for():
    above = identity() * 0.3 - (0, 0.3)  # the picture shows rows 26 to 64 alone
    alpha = in_doubt(t_shirt())
    np.testing.assert_array_equal(hemmed(alpha, above, t_shirt())[0] > 0.5, alpha > 0.5)


def test_torso_is_the_widest_run_of_columns_below():
    torso = torso_of(t_shirt())
    assert torso == (20, 110, 47.5, 18)
    holed = t_shirt()
    holed[90:100, 44:46] = 0
    assert torso_of(holed) == torso
    assert HEM.first < 1 < HEM.last


def shown_row(alpha, flow):
    """The garment's row that the last row of the torso's middle shows."""
    last = np.flatnonzero(alpha[:, 48] > 0.5)[-1]
    return float((flow[last, 48, 1] + 1) * H / 2 - 0.5)


@pytest.mark.parametrize("strip", [0, 6, 12])
def test_the_garment_is_stretched_over_a_strip_that_would_be_rendered(strip):
    mask, flow = t_shirt(), identity()
    alpha = in_doubt(mask)  # a half at row 90, 0.3 at row 98
    old = (Y < 90 + strip).astype(np.float32) * (np.abs(X - 47.5) < 19)
    found, moved = hemmed(alpha, flow, mask, old)
    last = ends(found, range(32, 64)).mean()
    assert last == pytest.approx(90 + min(strip, 8), abs=2.5)
    assert shown_row(found, moved) == pytest.approx(90, abs=2.5), "its own hem is shown there"
    above = Y < 20 + 0.3 * 90 - 1
    np.testing.assert_array_equal(moved[above], flow[above])


def test_a_long_rest_of_a_coat_is_not_covered():
    mask = np.zeros(SIZE, np.float32)
    mask[20:70, 30:66] = 1
    alpha = (mask * np.clip((70 - Y) / 20, 0, 1)).astype(np.float32)
    alpha = np.maximum(alpha, 0.4 * (np.abs(X - 47.5) < 19) * (Y > 55))
    coat = ((Y < 120) * (np.abs(X - 47.5) < 19)).astype(np.float32)
    found, moved = hemmed(alpha.astype(np.float32), identity(), mask, coat)
    np.testing.assert_array_equal(moved, identity())
    assert ends(found, range(32, 64)).max() < 66


def test_sleeves_are_not_stretched():
    mask = t_shirt()
    alpha = in_doubt(mask)
    _, moved = hemmed(alpha, identity(), mask, np.ones(SIZE, np.float32))
    assert not np.array_equal(moved, identity())
    beside = np.r_[0:26, 70:W]
    np.testing.assert_array_equal(moved[:, beside], identity()[:, beside])
