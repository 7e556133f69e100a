"""The composite at native size against a naive loop, and what it must leave alone."""

import numpy as np
import pytest

from dmvton.compose import Edges, composite, distance, sampling_density, warp_to_network_size
from dmvton.crop import Box, letterbox
from dmvton.garment import Garment, Pyramid, border_colour
from dmvton.image_io import Picture
from dmvton.runtime import Layers

SIZE = (64, 48)
RNG = np.random.default_rng(0)
PLAIN = Edges(hem=None, feather=0.0)
WIDE = Edges(hem=None, feather=0.0, width=3.0, reach=2.0, round=0.6, flat=0.2)


def smooth(height, width, channels=3):
    """A picture without fine detail, (height, width, channels) uint8."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [127 + 100 * np.sin(5 * x + 3 * y * k + k) for k in range(1, channels + 1)]
    return np.stack(waves, axis=-1).astype(np.uint8)


def a_garment(picture):
    """A garment that no network has seen."""
    box = letterbox(*picture.shape[:2], SIZE)
    small = np.zeros((*SIZE, 3), np.uint8)
    features = {"garment_mask": np.ones((1, 1, *SIZE), np.float32)}
    return Garment(Pyramid(picture), box, border_colour(picture), small, None, features)


def identity_flow():
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float32)
    return np.stack([(2 * x + 1) / SIZE[1] - 1, (2 * y + 1) / SIZE[0] - 1], axis=-1)


def layers(**changes):
    """Layers that change nothing, but for what is given."""
    plain = Layers(
        flow=identity_flow(),
        alpha=np.zeros(SIZE, np.float32),
        beta=np.zeros(SIZE, np.float32),
        rendered=np.zeros((*SIZE, 3), np.float32),
        gain=np.ones((*SIZE, 3), np.float32),
        keypoints=np.zeros((13, 3), np.float32),
        presence=1.0,
    )
    return plain._replace(**changes)


def bilinear(field, x, y):
    """One bilinear sample, the border repeated; x and y count from the first pixel's centre."""
    height, width = field.shape[:2]
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    left, top = min(int(x), width - 2), min(int(y), height - 2)
    u, v = x - left, y - top
    rows = [
        (1 - u) * field[top + k, left].astype(float) + u * field[top + k, left + 1] for k in (0, 1)
    ]
    return (1 - v) * rows[0] + v * rows[1]


def _without_outermost(low, high, side):
    return range(low + 1 if low > 0 else 0, high - 1 if high < side else side)


def ramp(value, low, high):
    return min(max((value - low) / (high - low), 0), 1)


def naive(frame, box, given, picture, edges):
    """The composite pixel by pixel from its formula; the garment photo fills its letterbox.

    Without a feather, the fade at crop sides inside the frame is one pixel: the outermost.
    """
    out = frame.astype(float)
    changes = given.alpha + (1 - given.alpha) * given.beta
    changed = distance(changes, edges)
    worn = distance(given.alpha / changes.clip(1e-3), edges, changes)
    height, width = frame.shape[:2]
    for row in _without_outermost(box.y, box.bottom, height):
        for column in _without_outermost(box.x, box.right, width):
            x = (column - box.x + 0.5) * SIZE[1] / box.width - 0.5
            y = (row - box.y + 0.5) * SIZE[0] / box.height - 0.5
            flow = bilinear(given.flow, x, y)
            at_x = (flow[0] + 1) / 2 * picture.shape[1] - 0.5
            at_y = (flow[1] + 1) / 2 * picture.shape[0] - 0.5
            lit = np.minimum(bilinear(picture, at_x, at_y) * bilinear(given.gain, x, y), 255)
            rendered = bilinear(given.rendered, x, y) * 255
            half = edges.width / 2
            change, share = (ramp(bilinear(d, x, y), -half, half) for d in (changed, worn))
            new = share * lit + (1 - share) * rendered
            out[row, column] = change * new + (1 - change) * frame[row, column]
    return np.rint(out).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("edges", [PLAIN, WIDE])
@pytest.mark.parametrize(
    "box", [Box(20, 10, 96, 128), Box(-31, -17, 150, 200), Box(60, 40, 33, 44), Box(5, 9, 101, 133)]
)
def test_equals_the_formula_pixel_by_pixel(box, edges):
    frame, picture = smooth(150, 140), smooth(192, 144)
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float32)
    shift = 0.2 * np.stack([np.sin(y / 9), np.cos(x / 7)], axis=-1)
    given = layers(
        flow=(identity_flow() * 0.6 + shift).clip(-0.9, 0.9).astype(np.float32),
        alpha=(0.5 + 0.5 * np.sin(x / 8)).astype(np.float32),
        beta=(0.5 + 0.5 * np.cos(y / 5)).astype(np.float32),
        rendered=smooth(*SIZE).astype(np.float32) / 255,
        gain=0.7 + smooth(*SIZE).astype(np.float32) / 400,
    )
    # One level of the pyramid: the loop knows only the photo itself.
    assert sampling_density(given, Box(0, 0, 300, 400), Box(0, 0, 144, 192)) < 1.4
    garment = a_garment(picture)
    garment.photo.level = lambda density: picture
    got = composite(frame, box, given, garment, edges).astype(int)
    wanted = naive(frame, box, given, picture, edges).astype(int)
    # cv2.remap places its samples on a grid of 1/32 pixel.
    assert np.abs(got - wanted).max() <= 2
    assert np.abs(got - wanted).mean() < 0.3


def test_identity_flow_at_equal_size_copies_the_garment():
    picture = RNG.integers(0, 256, (128, 96, 3), np.uint8)
    frame = smooth(128, 96)
    full = layers(alpha=np.ones(SIZE, np.float32))
    out = composite(frame, Box(0, 0, 96, 128), full, a_garment(picture), PLAIN)
    # Off the rim, where the flow of the outermost network pixels repeats.
    np.testing.assert_array_equal(out[2:-2, 2:-2], picture[2:-2, 2:-2])


def test_no_weight_leaves_every_bit():
    frame = RNG.integers(0, 256, (200, 150, 3), np.uint8)
    kept = frame.copy()
    out = composite(frame, Box(10, 10, 96, 128), layers(), a_garment(smooth(64, 48)))
    np.testing.assert_array_equal(out, frame)
    np.testing.assert_array_equal(frame, kept)
    assert out is not frame


def test_weights_under_the_bound_leave_every_bit():
    frame = RNG.integers(0, 256, (200, 150, 3), np.uint8)
    faint = layers(alpha=np.full(SIZE, 0.02, np.float32), beta=np.full(SIZE, 0.009, np.float32))
    out = composite(frame, Box(-10, 10, 96, 128), faint, a_garment(smooth(64, 48)))
    np.testing.assert_array_equal(out, frame)


@pytest.mark.parametrize("scale", [0.7, 1, 2.3, 5])
def test_bits_outside_the_change_are_those_of_the_input(scale):
    frame = RNG.integers(0, 256, (500, 400, 3), np.uint8)
    alpha = np.zeros(SIZE, np.float32)
    alpha[20:40, 15:30] = 1
    box = Box(30, 40, round(48 * scale), round(64 * scale))
    black = a_garment(np.zeros((64, 48, 3), np.uint8))
    out = composite(frame, box, layers(alpha=alpha), black)
    changed = (out != frame).any(-1)
    # The enlarged patch reaches half a network pixel beyond its own pixels.
    rows = slice(int(40 + 19.4 * scale), int(np.ceil(40 + 40.6 * scale)))
    columns = slice(int(30 + 14.4 * scale), int(np.ceil(30 + 30.6 * scale)))
    assert changed[rows, columns].mean() > 0.6
    changed[rows, columns] = False
    assert not changed.any()


@pytest.mark.parametrize("fade", [1, 4, 8])
def test_cloth_has_an_edge_however_far_alpha_fades(fade):
    """Network pixels are four of the frame here; alpha falls over `fade` of them."""
    frame = np.zeros((256, 192, 3), np.uint8)
    alpha = np.clip((24 - np.arange(SIZE[1])) / fade + 0.5, 0, 1)
    alpha = np.broadcast_to(alpha.astype(np.float32), SIZE).copy()
    white = a_garment(np.full((64, 48, 3), 255, np.uint8))
    along = composite(frame, Box(0, 0, 192, 256), layers(alpha=alpha), white, PLAIN)[128, :, 0]
    assert (np.diff(along.astype(int)) <= 0).all()
    inside = np.flatnonzero((along > 0) & (along < 255))
    assert inside.size <= 4 and abs(inside.mean() - (24.5 * 4 - 0.5)) < 1
    assert along[0] == 255 and along[-1] == 0


def test_where_a_chance_hardly_changes_there_is_a_fade():
    frame = np.full((256, 192, 3), 100, np.uint8)
    rising = np.broadcast_to(np.linspace(0.3, 0.9, SIZE[1], dtype=np.float32), SIZE).copy()
    white = a_garment(np.full((64, 48, 3), 255, np.uint8))
    along = composite(frame, Box(0, 0, 192, 256), layers(alpha=rising), white, PLAIN)[128, :, 0]
    assert (np.diff(along.astype(int)) >= 0).all() and np.diff(along.astype(int)).max() < 20
    assert along[0] == 100 and along[-1] == 255


def test_distance_is_that_from_the_edge_in_pixels():
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    for width in (2, 5, 9):
        slanted = (3 * x + 4 * y) / 5 - 40  # pixels from a line
        found = distance(np.clip(0.5 + slanted / width, 0, 1), PLAIN)
        near = np.abs(slanted) < 0.6
        near[:4] = near[-4:] = near[:, :4] = near[:, -4:] = False
        assert np.abs(found - slanted)[near].max() < 0.45
        assert (np.sign(found) == np.sign(slanted))[np.abs(slanted) > 0.3].all()
        assert np.abs(found).max() <= PLAIN.reach + 1e-5


def test_no_archipelago_where_the_network_is_in_two_minds():
    rng = np.random.default_rng(3)
    sea = np.full(SIZE, 0.1, np.float32)
    sea[rng.integers(4, 60, 12), rng.integers(4, 44, 12)] = 0.9  # single pixels
    assert (distance(sea, PLAIN) < 0).all()
    sea[20:30, 20:30] = 0.9
    assert distance(sea, PLAIN)[25, 25] > 1


def test_no_rim_of_rendered_pixels_about_a_garment():
    """Beside it alpha and beta are both next to nothing, and their ratio is chance."""
    alpha = np.zeros(SIZE, np.float32)
    alpha[16:48, 12:36] = 1
    frame = np.full((256, 192, 3), 100, np.uint8)
    white = a_garment(np.full((64, 48, 3), 255, np.uint8))
    given = layers(alpha=alpha, beta=np.full(SIZE, 1e-3, np.float32))  # rendered is black
    out = composite(frame, Box(0, 0, 192, 256), given, white, PLAIN)
    assert out.min() == 100 and out.max() == 255


def test_change_fades_at_crop_sides_inside_the_frame_only():
    frame = np.zeros((300, 400, 3), np.uint8)
    white = a_garment(np.full((64, 48, 3), 255, np.uint8))
    full = layers(alpha=np.ones(SIZE, np.float32))
    out = composite(frame, Box(150, 100, 150, 200), full, white)[..., 0]
    assert (out[100:, 150] == 0).all() and (out[100:, 299] == 0).all() and (out[100] == 0).all()
    assert (out[299, 170:280] == 255).all()  # the frame ends here: no fade
    assert np.abs(np.diff(out[200, 150:300].astype(int))).max() < 60
    assert out[:, :150].max() == 0 and out[:, 300:].max() == 0


def test_large_garment_photo_does_not_alias():
    """Fine stripes, sixteen photo pixels to one of the result, must average to grey."""
    stripes = np.zeros((2048, 1536, 3), np.uint8)
    stripes[:, ::2] = 255
    full = layers(alpha=np.ones(SIZE, np.float32))
    frame = np.zeros((128, 96, 3), np.uint8)
    out = composite(frame, Box(0, 0, 96, 128), full, a_garment(stripes), PLAIN)
    assert np.abs(out[4:-4, 4:-4].astype(int) - 128).max() <= 4


def test_density_counts_photo_pixels_a_result_pixel():
    full = layers(alpha=np.ones(SIZE, np.float32))
    assert sampling_density(full, Box(0, 0, 96, 128), Box(0, 0, 384, 512)) == pytest.approx(4)
    assert sampling_density(layers(), Box(0, 0, 96, 128), Box(0, 0, 384, 512)) == 1.0


def test_pyramid_levels_are_never_coarser_than_the_output():
    pyramid = Pyramid(smooth(400, 300))
    assert pyramid.level(0.2) is pyramid.level(1.3) is pyramid.image
    for density in (1.5, 2.0, 3.1, 9.0):
        left = pyramid.level(density).shape[0] / (400 / density)
        assert 0.99 <= left < 1.45


def test_outside_of_the_garment_photo_its_rim_goes_on():
    """A wide photo is letterboxed; above it the photo's outermost pixels go on."""
    picture = np.full((48, 96, 3), (10, 200, 30), np.uint8)
    picture[:, 48:] = (200, 10, 90)
    picture[8:-8, 8:-8] = 0
    full = layers(alpha=np.ones(SIZE, np.float32))
    frame = np.zeros((128, 96, 3), np.uint8)
    out = composite(frame, Box(0, 0, 96, 128), full, a_garment(picture), PLAIN)
    assert (out[10, 10:45] == (10, 200, 30)).all()
    assert (out[10, 52:-10] == (200, 10, 90)).all()
    assert (out[64, 30:-30] == 0).all()


def test_warp_to_network_size_with_identity_flow_is_the_picture():
    garment = a_garment(smooth(64, 48))
    object.__setattr__(garment, "picture", RNG.integers(0, 256, (*SIZE, 3), np.uint8))
    warped, mask = warp_to_network_size(garment, layers())
    np.testing.assert_array_equal(warped, garment.picture)
    np.testing.assert_array_equal(mask, 1)


def test_picture_survives_its_own_border_colour():
    assert tuple(border_colour(Picture(np.full((20, 20, 3), 7, np.uint8), None).rgb)) == (7, 7, 7)
