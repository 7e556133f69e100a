"""What is kept from frame to frame, and what is not."""

import numpy as np
import pytest

from app.engine.follow import Follower
from app.engine.steady import Steadiness, Steady
from dmvton.crop import Box
from dmvton.locate import View
from dmvton.runtime import Layers
from dmvton.tryon import dress
from tests.fake_pair import garment_picture, person_picture

SIZE = (64, 48)
BOX = Box(8, 8, 96, 128)
GARMENT, OTHER = object(), object()


def frame(value=100):
    return np.full((160, 120, 3), value, np.uint8)


def view(value, box=BOX):
    one, two, three = (
        np.full((*SIZE, *channels), value, np.float32) for channels in ((), (2,), (3,))
    )
    points = np.zeros((13, 3), np.float32)
    layers = Layers(
        flow=two, alpha=one, beta=one, rendered=three, gain=three, keypoints=points, presence=1.0
    )
    return View(box, layers, points)


def smoothed(steady, rgb, value, box=BOX, garment=GARMENT):
    layers = steady(rgb, view(value, box), garment).layers
    values = {float(np.unique(getattr(layers, name)).item()) for name in ("alpha", "beta", "gain")}
    assert values == {float(np.unique(layers.flow).item())} and layers.flow.shape == (*SIZE, 2)
    return values.pop()


def test_nothing_moves_keeps_most_of_the_last():
    steady = Steady(Steadiness(keep=0.75))
    assert smoothed(steady, frame(), 1.0) == 1.0
    assert smoothed(steady, frame(), 0.0) == 0.75
    assert smoothed(steady, frame(), 0.0) == pytest.approx(0.5625)


def test_share_falls_with_what_moved():
    for moved, share in ((0, 0.8), (10, 0.8), (15, 0.4), (20, 0.0), (100, 0.0)):
        steady = Steady(Steadiness(keep=0.8, still=10))
        smoothed(steady, frame(100), 1.0)
        assert smoothed(steady, frame(100 + moved), 0.0) == pytest.approx(share)


def test_only_the_place_that_moved_is_renewed():
    steady, moved = Steady(Steadiness(keep=0.5)), frame()
    steady(frame(), view(1.0), GARMENT)
    moved[80:] = 200  # the lower half
    alpha = steady(moved, view(0.0), GARMENT).layers.alpha
    assert (alpha[:28] == 0.5).all() and (alpha[44:] == 0).all()


@pytest.mark.parametrize(
    "change",
    [{"garment": OTHER}, {"box": Box(8, 13, 96, 128)}, {"rgb": frame(200)}],
    ids=["another garment", "another crop", "a cut"],
)
def test_starts_afresh(change):
    steady = Steady()
    smoothed(steady, frame(), 1.0)
    given = {"rgb": frame(), **change}
    assert smoothed(steady, given.pop("rgb"), 0.25, **given) == 0.25


def test_reset():
    steady = Steady()
    smoothed(steady, frame(), 1.0)
    steady.reset()
    assert smoothed(steady, frame(), 0.5) == 0.5


def test_first_frame_and_a_cut_are_as_without_it(fake_tryon):
    garment = fake_tryon.garment(garment_picture())
    follower = Follower(fake_tryon, garment)
    for torso in ((180, 200, 120, 160), (40, 60, 90, 120)):
        picture = person_picture(600, 500, torso)
        found = dress(picture, follower.look(picture), garment).image
        np.testing.assert_array_equal(found, fake_tryon(picture, garment).image)
    assert follower.look(person_picture(600, 500, None)) is None


def test_noise_flickers_less(fake_tryon):
    garment, rng = fake_tryon.garment(garment_picture()), np.random.default_rng(0)
    follower, stream = Follower(fake_tryon, garment), fake_tryon.stream(garment)
    alphas = {"with": [], "without": []}
    for _ in range(8):
        noisy = person_picture(300, 240, (80, 100, 70, 90)).astype(float)
        noisy[100:190, 80:150, 1:] += 70  # where the fake network is in two minds
        picture = np.clip(noisy + rng.normal(0, 10, noisy.shape), 0, 255).astype(np.uint8)
        alphas["with"].append(follower.look(picture).layers.alpha)
        alphas["without"].append(stream(picture).alpha)
    change = {name: np.abs(np.diff(found[2:], axis=0)).mean() for name, found in alphas.items()}
    assert change["with"] < 0.6 * change["without"]
