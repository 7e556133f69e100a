import numpy as np
import pytest

from dmvton.view import View

SIZE = (128, 96)
MATRIX = np.array([[0.9, -0.2, 12.0], [0.25, 1.1, -7.0]])


def a_view(seed, stretch=0.15, bend=0.02):
    return View(MATRIX, SIZE, np.random.default_rng(seed), stretch, bend)


@pytest.mark.parametrize("seed", range(6))
def test_points_and_pixels_agree(seed):
    """The picture that holds its own coordinates shows where each output pixel comes from."""
    view = a_view(seed)
    y, x = np.mgrid[:200, :160].astype(np.float32)
    sources = view.picture(np.stack([x, y], 2))
    inside = ((sources > 2) & (sources < (157, 197))).all(2)
    assert inside.mean() > 0.5
    rows, columns = np.nonzero(inside)
    found = view.forward(sources[inside].astype(np.float64))
    assert np.abs(found - np.stack([columns, rows], 1)).max() < 0.1


def test_without_stretch_and_bend_it_is_the_matrix():
    view = a_view(0, 0, 0)
    points = np.random.default_rng(1).uniform(0, 90, (40, 2))
    wanted = points @ MATRIX[:, :2].T + MATRIX[:, 2]
    np.testing.assert_allclose(view.forward(points), wanted, rtol=1e-5)


def test_bends_differ_by_seed_and_are_smooth():
    first, second = a_view(0, 0).bend, a_view(1, 0).bend
    assert np.abs(first - second).max() > 2
    assert max(np.abs(np.diff(first, axis=k)).max() for k in (0, 1)) < 0.5


def test_labels_are_never_mixed():
    classes = np.where(np.arange(160) < 80, 3, 9).astype(np.uint8) * np.ones((200, 1), np.uint8)
    assert set(np.unique(a_view(2).labels(classes, 4))) <= {0, 3, 9}


def test_field_of_half_the_size_agrees_with_the_picture():
    view = a_view(3)
    y, x = np.mgrid[:100, :80].astype(np.float32)
    half = np.stack([2 * x + 0.5, 2 * y + 0.5], 2)  # centres of the coarse pixels
    y, x = np.mgrid[:200, :160].astype(np.float32)
    full = view.picture(np.stack([x, y], 2))
    inside = ((full > 3) & (full < (156, 196))).all(2)
    assert np.abs(view.field(half, 2) - full)[inside].max() < 0.05
