"""The garment photo, with the garment's own colours going on around it."""

from types import SimpleNamespace

import numpy as np
import pytest

from dmvton.crop import letterbox
from dmvton.errors import GarmentError
from dmvton.garment import Garment, Pyramid, border_colour, encode, extended
from dmvton.image_io import Picture

SIZE = (64, 48)


def a_garment(photo, shown):
    """The garment of a photo whose pixels `shown`, (H, W) bool, are garment."""
    import cv2

    box = letterbox(*photo.shape[:2], SIZE)
    assert box.inside(*photo.shape[:2]) == box, "the photo fills its letterbox"
    small = cv2.resize(photo, SIZE[::-1], interpolation=cv2.INTER_AREA)
    mask = cv2.resize(shown.astype(np.float32), SIZE[::-1], interpolation=cv2.INTER_AREA)
    features = {"garment_mask": mask[None, None]}
    return Garment(Pyramid(photo), box, border_colour(photo), small, None, features)


def halves(scale):
    """A garment, red on its left and blue on its right, before green: (photo, shown)."""
    photo = np.full((64 * scale, 48 * scale, 3), (0, 255, 0), np.uint8)
    shown = np.zeros(photo.shape[:2], bool)
    shown[16 * scale : -16 * scale, 12 * scale : -12 * scale] = True
    photo[shown] = (255, 0, 0)
    photo[:, 24 * scale :][shown[:, 24 * scale :]] = (0, 0, 255)
    return photo, shown


@pytest.mark.parametrize("scale", [1, 3, 11])
def test_background_takes_the_nearest_garment_colour(scale):
    photo, shown = halves(scale)
    kept = photo.copy()
    out = extended(photo, a_garment(photo, shown)).astype(int)
    np.testing.assert_array_equal(photo, kept)
    assert out[..., 1].max() == 0, "no background colour is left"
    side = 8 * scale  # off the seam, where the colours are mixed by the enlargement
    assert (out[:, :side] == (255, 0, 0)).all()
    assert (out[:, -side:] == (0, 0, 255)).all()


def test_the_garment_itself_stays_to_the_bit():
    rng = np.random.default_rng(0)
    photo, shown = halves(4)
    photo[shown] = rng.integers(0, 256, (shown.sum(), 3), np.uint8)
    out = extended(photo, a_garment(photo, shown))
    inside = np.zeros_like(shown)
    inside[72:-72, 56:-56] = True  # two network pixels from the rim
    np.testing.assert_array_equal(out[inside], photo[inside])


def test_a_mask_without_a_sure_pixel_leaves_the_photo():
    photo, shown = halves(2)
    faint = a_garment(photo, shown)
    faint.features["garment_mask"] *= 0.5
    np.testing.assert_array_equal(extended(photo, faint), photo)


def a_network(**outputs):
    """A network that sees a garment in the middle of everything, and `outputs`."""
    mask = np.zeros((1, 1, *SIZE), np.float32)
    mask[..., 4:-4, 4:-4] = 1
    seen = {"garment_mask": mask} | {k: np.array([[v]], np.float32) for k, v in outputs.items()}
    return SimpleNamespace(size=SIZE, encode_garment=lambda _: dict(seen))


def test_trousers_are_refused_unless_somebody_cut_them_out():
    photo, shown = halves(4)
    with pytest.raises(GarmentError, match=r"no top.*chance 2%.*trousers.*cut it out"):
        encode(a_network(garment_top=0.02), Picture(photo, None))
    cut_out = Picture(photo, shown.astype(np.uint8) * 255)
    encode(a_network(garment_top=0.02), cut_out)
    encode(a_network(garment_top=0.3), Picture(photo, None))


def test_weights_that_do_not_tell_are_believed():
    encode(a_network(), Picture(halves(4)[0], None))
