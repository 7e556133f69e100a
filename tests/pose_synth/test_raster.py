"""The rasteriser's kernels against plain numpy."""

import numpy as np
import pytest

from pose_synth import raster

SCREEN = np.array([[2.0, 1.0, 1.0], [13.0, 3.0, 2.0], [4.0, 12.0, 3.0]], np.float32)
FACES = np.array([[0, 1, 2]], np.int32)


def weights(height, width):
    """Barycentric weights (H, W, 3) of SCREEN's triangle at every pixel, in float64."""
    (ax, ay), (bx, by), (cx, cy) = SCREEN[:, :2].astype(float)
    y, x = np.mgrid[:height, :width]
    area = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy)
    l0 = ((by - cy) * (x - cx) + (cx - bx) * (y - cy)) / area
    l1 = ((cy - ay) * (x - cx) + (ax - cx) * (y - cy)) / area
    return np.dstack([l0, l1, 1 - l0 - l1])


def filled(pattern=None, keep=None, what=raster.EVERYTHING, cull=False, buffers=None):
    buffers = buffers or raster.empty(16, 16)
    pattern = np.zeros((3, 3), np.float32) if pattern is None else pattern
    keep = np.zeros((2, 1, 1), np.uint8) if keep is None else keep
    raster.fill(*buffers, 0, 1, SCREEN, FACES, pattern, keep, what, cull)
    return buffers


def test_a_triangle_is_filled_with_its_depth():
    got, bary = filled(), weights(16, 16)
    inside = (bary > 1e-4).all(2)
    np.testing.assert_array_equal((got.face == 0)[inside], True)
    np.testing.assert_array_equal((got.face == 0)[(bary < -1e-4).any(2)], False)
    np.testing.assert_allclose(got.depth[inside], (bary @ SCREEN[:, 2])[inside], rtol=1e-4)
    np.testing.assert_allclose(got.corner[inside], bary[inside][:, :2], atol=1e-4)


def test_what_lies_behind_is_hidden():
    buffers = raster.empty(16, 16)
    buffers.depth[:] = 1.5
    got = filled(buffers=buffers)
    drawn = got.face == 0
    assert drawn.any() and (got.depth[drawn] < 1.5).all()
    assert (weights(16, 16)[drawn] @ SCREEN[:, 2] < 1.5 + 1e-4).all()


def test_one_of_two_windings_looks_away():
    shown = [(filled(cull=True).face == 0).any()]
    FACES[0] = FACES[0, ::-1]
    try:
        shown.append((filled(cull=True).face == 0).any())
    finally:
        FACES[0] = FACES[0, ::-1]
    assert sorted(shown) == [False, True]


@pytest.mark.parametrize("what", [raster.CLOTH, raster.BODY])
def test_cloth_and_body_share_a_triangle_along_the_cut(what):
    keep = np.zeros((2, 16, 16), np.uint8)
    keep[0, :, :7] = 1  # cloth to the left of x = 7, at the front
    pattern = SCREEN.copy()
    pattern[:, 2] = 0
    got = filled(pattern, keep, what).face == 0
    whole = filled().face == 0
    left = np.broadcast_to(np.arange(16) < 7, (16, 16))
    np.testing.assert_array_equal(got, whole & (left if what == raster.CLOTH else ~left))


def test_samples_become_pixels():
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (6, 8, 3)).astype(np.float32)
    depth = rng.uniform(1, 2, (6, 8)).astype(np.float32)
    face = rng.integers(-1, 3, (6, 8)).astype(np.int32)
    flow = rng.uniform(0, 9, (6, 8, 2)).astype(np.float32)
    flow[rng.random((6, 8)) < 0.4] = np.nan
    labels = np.array([5, 7, 9], np.uint8)
    mean, cover, label, near = raster.gather(image, (depth, face), flow, labels, 2)

    def blocks(x):
        return x.reshape(3, 2, 4, 2, -1).mean((1, 3))

    np.testing.assert_allclose(mean, blocks(image), rtol=1e-5)
    np.testing.assert_allclose(cover, blocks(~np.isnan(flow[..., 0]))[..., 0])
    middle = face[1::2, 1::2]
    np.testing.assert_array_equal(label, np.where(middle < 0, 0, labels[middle]))
    np.testing.assert_array_equal(near, depth[1::2, 1::2])
