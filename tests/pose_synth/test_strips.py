import numpy as np
import pytest

from pose_synth.strips import (
    SLEEVE_COLS,
    SLEEVE_ROWS,
    TORSO_COLS,
    TORSO_ROWS,
    StripMesh,
    bridge,
    dense_map,
    fill_nearest,
    resample,
)

SIZE = (120, 160)  # (height, width)


def grid(rows, cols, x, y, bend=0.0):
    """A grid (rows, cols, 2) over the box of x = (left, right), y = (top, bottom)."""
    v, u = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, cols), indexing="ij")
    wave = bend * np.sin(np.pi * v)
    return np.stack([x[0] + (x[1] - x[0]) * u + wave, y[0] + (y[1] - y[0]) * v], 2)


def mesh(bend=0.0):
    return StripMesh(
        grid(TORSO_ROWS, TORSO_COLS, (50, 110), (10, 110), bend),
        grid(SLEEVE_ROWS, SLEEVE_COLS, (15, 40), (20, 90), bend),
        grid(SLEEVE_ROWS, SLEEVE_COLS, (120, 150), (20, 60), -bend),
    )


def pixels():
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.stack([x, y], 2)


@pytest.mark.parametrize("bend", [0.0, 6.0])
def test_map_of_a_mesh_onto_itself_is_the_identity(bend):
    field = dense_map(mesh(bend), mesh(bend), SIZE)
    inside = ~np.isnan(field[..., 0])
    assert 0.3 < inside.mean() < 0.7
    assert np.abs(field - pixels())[inside].max() < 1e-3
    assert inside[60, 80] and not inside[5, 80] and not inside[100, 20]


def test_affine_copy_gives_the_affine_map():
    matrix = np.array([[0.8, -0.3, 20], [0.25, 1.1, -7]])
    field = dense_map(mesh(4), mesh(4).transform(matrix), SIZE)
    inside = ~np.isnan(field[..., 0])
    wanted = pixels() @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(field - wanted)[inside].max() < 2e-3


def test_maps_between_two_meshes_are_inverse():
    there, back = dense_map(mesh(), mesh(5), SIZE), dense_map(mesh(5), mesh(), SIZE)
    for x, y in ((80, 60), (65, 30), (27, 50), (135, 40)):
        at = there[y, x]
        assert np.abs(back[round(float(at[1])), round(float(at[0]))] - (x, y)).max() < 1.5


def test_later_parts_lie_on_top():
    crossed = mesh()._replace(left=grid(SLEEVE_ROWS, SLEEVE_COLS, (60, 100), (40, 80)))
    source = mesh()
    over, under = (
        dense_map(crossed, source, SIZE, order) for order in ("torso left", "left torso")
    )
    assert over[60, 80, 0] < 41 and 50 <= under[60, 80, 0] <= 110
    assert np.array_equal(over[20, 80], under[20, 80])


def test_missing_sleeve_leaves_a_hole():
    bare = mesh()._replace(left=None)
    for field in (dense_map(bare, mesh(), SIZE), dense_map(mesh(), bare, SIZE)):
        assert np.isnan(field[50, 27]).all()
        assert np.isfinite(field[40, 135]).all()
    assert bare.transform(np.eye(3)[:2]).left is None


def test_mesh_outside_the_picture_paints_nothing_there():
    away = mesh().transform(np.array([[1.0, 0, 500], [0, 1, 0]]))
    assert np.isnan(dense_map(away, mesh(), SIZE)).all()


def test_holes_take_the_nearest_value():
    field = np.full((9, 12, 2), np.nan, np.float32)
    field[2, 3], field[7, 10] = (1, 2), (3, 4)
    out = fill_nearest(field)
    y, x = np.mgrid[:9, :12]
    first = np.hypot(y - 2, x - 3) < np.hypot(y - 7, x - 10) - 1
    second = np.hypot(y - 7, x - 10) < np.hypot(y - 2, x - 3) - 1
    assert (out[first] == (1, 2)).all() and (out[second] == (3, 4)).all()
    assert not np.isnan(out).any()
    assert np.array_equal(fill_nearest(out), out)
    assert np.isnan(fill_nearest(np.full((3, 3, 2), np.nan))).all()


def test_resampling_steps_are_equally_long():
    path = np.array([(0, 0), (10, 0), (10, 2), (10, 20)], float)
    out = resample(path, 7)
    assert np.allclose(out[[0, -1]], path[[0, -1]])
    assert np.allclose(out[2], (10, 0)) and np.allclose(out[3], (10, 5))


def test_bridge_joins_point_to_point():
    a, b = np.array([(0.0, 0), (0, 1)]), np.array([(4.0, 0), (8, 1)])
    out = bridge(a, b, 5)
    assert out.shape == (2, 5, 2)
    assert np.allclose(out[0, :, 0], range(5)) and np.allclose(out[1, :, 0], range(0, 10, 2))


def test_sleeve_ratio_is_sleeve_over_torso():
    assert mesh().sleeve_ratio() == pytest.approx((70 + 40) / 2 / 100, rel=1e-3)
    assert StripMesh(mesh().torso, None, None).sleeve_ratio() == 0
