from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from dmvton.augment import Augment, AugmentConfig
from dmvton.dataset import to_batch
from dmvton.flow import warp
from dmvton.keypoints import MIRROR, Keypoint
from dmvton.shards import ShardReader
from tests.samples import marker_grey, write_shards

SIZE = (256, 192)
CALM = AugmentConfig(
    recolour=0, recolour_old=0, print=0, lower=0, studio=0, cut=0, garment_background=0, exposure=0,
    camera=0, garment_light=0, garment_bars=0,
)  # fmt: skip
STILL = replace(
    CALM, zoom=(1, 1), shift=0, rotate=0, stretch=0, bend=0, garment_rotate=0, garment_stretch=0,
    garment_bend=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return ShardReader(write_shards(tmp_path_factory.mktemp("shards")))[1]


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    return ShardReader(write_shards(tmp_path_factory.mktemp("marked"), "C", markers=True))[0]


def view(raw, seed, config=CALM, size=SIZE, **options):
    return Augment(size, config, **options)(raw, np.random.default_rng(seed))


def inside(arrays, rim=3):
    """Where the new garment surely is, and its sample lies within the garment's picture."""
    core = cv2.erode((arrays["target_mask"][..., 0] > 0.99).astype(np.uint8), np.ones((rim, rim)))
    return (core > 0) & (np.abs(arrays["flow"]) < 0.97).all(2)


def outside(arrays):
    """Where target and person are the same, further from the garment than a JPEG block."""
    return cv2.dilate((arrays["target_mask"] > 0).astype(np.uint8), np.ones((35, 35))) == 0


def psnr_of_flow(arrays):
    """PSNR in dB between the target and the garment under the flow, inside the garment."""
    batch = to_batch(arrays)
    warped = warp(batch.garment[None], batch.flow[None])[0].permute(1, 2, 0).numpy()
    where = inside(arrays)
    assert where.mean() > 0.05
    return -10 * np.log10(((warped - arrays["target"])[where] ** 2).mean())


@pytest.mark.parametrize("seed", range(12))
def test_flow_stays_exact_under_flips_rotations_and_zooms(raw, seed):
    assert psnr_of_flow(view(raw, seed)) > 38


@pytest.mark.parametrize("size", [(128, 96), (384, 288)])
def test_flow_stays_exact_at_other_sizes(raw, size):
    assert min(psnr_of_flow(view(raw, seed, size=size)) for seed in range(4)) > 33


def test_flow_test_would_see_an_error_of_half_a_pixel(raw):
    arrays = view(raw, 0)
    arrays["flow"] += np.float32([1 / SIZE[1], 0])
    assert psnr_of_flow(arrays) < 36


def test_colours_and_prints_change_garment_and_target_alike(raw):
    """Whatever is done to the garment photo happens to the worn garment."""
    config = replace(CALM, recolour=1, print=1)
    found = [psnr_of_flow(view(raw, seed, config)) for seed in range(16)]
    assert np.median(found) > 24  # a print takes each picture's own shading
    changed = [np.abs(view(raw, s, config)["garment"] - view(raw, s)["garment"]).mean()
               for s in range(4)]  # fmt: skip
    assert min(changed) > 0.01


def flipped(arrays):
    left, right = Keypoint.LEFT_SHOULDER, Keypoint.RIGHT_SHOULDER
    grey = [brightness(arrays, left), brightness(arrays, right)]
    return abs(grey[0] - marker_grey(right)) < abs(grey[0] - marker_grey(left))


def brightness(arrays, index):
    """Median grey of the picture at a keypoint."""
    height, width = SIZE
    x, y = ((arrays["keypoints"][index, :2] + 1) / 2 * (width, height) - 0.5).round().astype(int)
    patch = arrays["person"][max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
    return float(np.median(patch)) * 255


@pytest.mark.parametrize("seed", range(8))
def test_keypoints_lie_on_what_is_drawn_there(marked, seed):
    """Left stays the side of a person that faces the camera, so names swap in a mirror image."""
    arrays = view(marked, seed)
    points = arrays["keypoints"]
    order = MIRROR if flipped(arrays) else range(13)
    seen = [i for i in range(13) if points[i, 2] and np.abs(points[i, :2]).max() < 0.97]
    assert len(seen) >= 6
    for i in seen:
        assert abs(brightness(arrays, i) - marker_grey(order[i])) < 8, Keypoint(i).name
    assert points[Keypoint.LEFT_SHOULDER, 0] > points[Keypoint.RIGHT_SHOULDER, 0]


def test_both_ways_round_occur(marked):
    assert {flipped(view(marked, seed)) for seed in range(8)} == {True, False}


@pytest.mark.parametrize("seed", range(4))
def test_keypoints_are_the_centres_of_their_disks(marked, seed):
    arrays = view(marked, seed)
    nose = arrays["keypoints"][Keypoint.NOSE]
    if not nose[2]:
        pytest.skip("the nose is out of this view")
    x, y = (nose[:2] + 1) / 2 * (SIZE[1], SIZE[0]) - 0.5
    top, left = max(round(y) - 11, 0), max(round(x) - 11, 0)
    patch = arrays["person"][top : round(y) + 12, left : round(x) + 12].mean(2)
    rows, cols = np.nonzero(patch > patch.max() / 2)
    assert np.abs([cols.mean() + left - x, rows.mean() + top - y]).max() < 0.5


def test_points_outside_the_view_are_not_visible(raw):
    arrays = view(raw, 0, replace(CALM, zoom=(1.9, 1.9)))
    points = arrays["keypoints"]
    outside = np.abs(points[:, :2]).max(1) >= 1
    assert outside.any() and not points[outside, 2].any()
    assert points[~outside, 2].all()


def test_without_chances_only_framing_is_left(raw):
    """The still view is the stored canvas' middle, or its mirror image."""
    arrays = view(raw, 3, STILL)
    crop = raw.person[40:296, 32:224].astype(np.float32) / 255
    assert min(np.abs(arrays["person"] - c).max() for c in (crop, crop[:, ::-1])) < 1e-5
    assert np.abs(arrays["target"] - arrays["person"])[outside(arrays)].max() == 0


def test_half_size_canvas_gives_the_same_view(tmp_path, raw):
    """Pictures halved while they are decoded: same framing, same flow, same keypoints."""
    half = ShardReader(write_shards(tmp_path), rows=128)[1]
    for seed in range(6):
        one = view(raw, seed, size=(128, 96))
        two = view(half, seed, size=(128, 96))
        where = inside(one) & inside(two)
        # The garment's box is read off masks of different sizes: its framing may differ by a pixel.
        assert np.abs(one["flow"] - two["flow"])[where].max() < 0.03
        assert np.abs(one["keypoints"] - two["keypoints"]).max() < 1e-5
        assert np.abs(one["target_mask"] - two["target_mask"]).mean() < 0.01
        assert np.abs(one["target"] - two["target"])[where].mean() < 0.02
        assert psnr_of_flow(two) > 28
        assert (one["parsing"] == two["parsing"]).mean() > 0.97


def test_surfaces_and_shadows_lie_behind_the_garment(raw):
    """They change nothing of the garment itself, and are no two alike."""
    lying = replace(STILL, garment_background=1, garment_surface=1, garment_shadow=1)
    colours = []
    for seed in range(8):
        plain, one = view(raw, seed, STILL), view(raw, seed, lying)
        mask = plain["garment_mask"][..., 0]
        np.testing.assert_array_equal(one["garment_mask"][..., 0], mask)
        sure = mask > 0.999
        np.testing.assert_allclose(one["garment"][sure], plain["garment"][sure], atol=2e-3)
        behind = one["garment"][mask == 0]
        assert behind.std(0).max() > 0.004  # none is plain
        colours.append(behind.mean(0))
    assert np.std(colours, 0).min() > 0.05


def test_bars_leave_the_garment_whole(raw):
    barred, axes = replace(STILL, garment_bars=1), set()
    for seed in range(8):
        plain, one = view(raw, seed, STILL), view(raw, seed, barred)
        changed = (one["garment"] != plain["garment"]).any(2)
        assert not changed[one["garment_mask"][..., 0] > 0.06].any()
        if changed.any():
            rows, columns = changed.any(1), changed.any(0)
            assert rows.all() or columns.all()
            axes.add(bool(rows.all()))
            assert len(np.unique(one["garment"][changed], axis=0)) == 1
    assert axes == {True, False}


def test_cut_ends_picture_masks_and_keypoints_at_one_row(raw):
    arrays = view(raw, 1, replace(STILL, cut=1))
    row = int(np.nonzero(np.abs(np.diff(arrays["person"], axis=0)).max((1, 2)))[0][-1]) + 2
    assert 0.5 * SIZE[0] < row < SIZE[0]
    for name in ("person", "target"):
        assert (arrays[name][row:] == arrays[name][row - 1]).all()
    assert not arrays["target_mask"][row:].any() and not arrays["person_mask"][row:].any()
    below = arrays["keypoints"][:, 1] > (row + 1) / SIZE[0] * 2 - 1
    assert below.any() and not arrays["keypoints"][below, 2].any()


def test_other_trousers_in_person_and_target_alike(raw):
    legs = raw._replace(parsing=np.where(np.indices(raw.parsing.shape)[0] > 220, 6, raw.parsing))
    for seed in range(4):
        plain, arrays = (view(legs, seed, replace(STILL, lower=chance)) for chance in (0, 1))
        rows = [x["person"].mean((1, 2)) for x in (plain, arrays)]  # one may be a mirror image
        change = np.abs(rows[1] - rows[0])
        assert change[240:].mean() > 0.01 and change[:120].max() < 1e-5
        away = outside(arrays)
        assert np.abs(arrays["person"] - arrays["target"])[away].max() < 1e-6


@pytest.mark.parametrize("cause", ["exposure", "camera"])
def test_light_and_camera_change_person_and_target_alike(raw, cause):
    arrays = view(raw, 2, replace(STILL, **{cause: 1}))
    plain = view(raw, 2, STILL)
    assert np.abs(arrays["person"] - plain["person"]).mean() > 0.005
    assert np.abs(arrays["person"] - arrays["target"])[outside(arrays)].max() < 1e-6
    assert np.array_equal(arrays["garment"], plain["garment"])


@pytest.mark.parametrize(("kind", "tryon", "presence"), [("C", 1, 1), ("D", 1, 1), ("K", 0, 1),
                                                         ("N", 0, 0)])  # fmt: skip
def test_kinds_of_samples(tmp_path, kind, tryon, presence):
    raw = ShardReader(write_shards(tmp_path, kind))[0]
    for seed in range(3):
        arrays = view(raw, seed, STILL)
        assert arrays["tryon"].item() == tryon
        assert arrays["photo"].item() == (kind == "D")
        if kind != "K":  # how much of a whole photo is shown is drawn each time
            assert arrays["presence"].item() == presence
        if kind == "N":
            assert not arrays["keypoints"][:, 2].any()


def test_presence_needs_both_shoulders(raw):
    raw.keypoints[Keypoint.LEFT_SHOULDER, 2], before = 0, raw.keypoints.copy()
    try:
        assert view(raw, 0, STILL)["presence"].item() == 0
    finally:
        raw.keypoints[:] = before


@pytest.mark.parametrize("seed", range(10))
def test_everything_at_full_strength_stays_in_range(raw, seed):
    config = AugmentConfig(recolour=1, recolour_old=1, print=1, lower=1, studio=1, cut=1,
                           exposure=1, camera=1, garment_background=1, garment_light=1)  # fmt: skip
    batch = to_batch(view(raw, seed, config))
    for value in (batch.person, batch.garment, batch.target, batch.garment_mask,
                  batch.person_mask, batch.target_mask):  # fmt: skip
        assert value.dtype == torch.float32
        assert 0 <= value.min() and value.max() <= 1
    assert batch.parsing.dtype == torch.int64 and batch.parsing.max() <= 10
    assert batch.flow.isfinite().all()
