from pathlib import Path

import numpy as np
import pytest

from dmvton.parsing import Parsing
from pose_synth.body import Body, PoseSampler, skin, transforms
from pose_synth.coverage import hands_in_front, tucked, waist_row
from pose_synth.drawn import draw_garments
from pose_synth.outfit import bare_shoulders, crop_hem, see_through, skin_colour
from pose_synth.recipe import Generator, Recipe
from pose_synth.rendered import RenderedGenerator, RenderedRecipe
from tests.figures import LONGSLEEVE, NECK_Y, TORSO, TSHIRT, make_garment, make_outfit

ASSETS = Path(__file__).parents[3] / "shared" / "data" / "makehuman" / "base"
needs_meshes = pytest.mark.skipif(
    not (ASSETS / "clothes").is_dir(),
    reason="no ../shared/data/makehuman; clone makehumancommunity/makehuman-assets there",
)


def test_raised_hem_bares_the_belly():
    outfit = make_outfit(hem=1.0)
    cropped = crop_hem(outfit, 0.3)
    assert cropped.worn.hem == pytest.approx(outfit.worn.hem - 0.3, abs=0.06)
    gone = outfit.region & ~cropped.region
    assert gone.sum() > 0.2 * TORSO * 40
    belly = gone & (cropped.parsing == Parsing.SKIN)
    assert belly.sum() > 0.8 * gone.sum()
    colour = cropped.image[belly].mean(0)
    assert np.abs(colour - skin_colour(outfit)).max() < 40
    kept = cropped.region
    assert np.abs(cropped.image[kept].astype(int) - outfit.image[kept]).mean() < 3


def test_off_shoulder_tops_end_below_the_shoulders():
    outfit = make_outfit()
    low = bare_shoulders(outfit, 0.2)
    gone = outfit.region & ~low.region
    assert gone.any() and not (low.region & ~outfit.region).any()
    line = NECK_Y + 0.2 * TORSO
    assert np.flatnonzero(gone.any(1)).max() == pytest.approx(line, abs=2)
    assert not low.region[: int(line) - 2].any()
    bare = gone & (low.parsing == Parsing.SKIN)
    assert bare.sum() > 0.8 * gone.sum()
    assert np.abs(low.image[bare].mean(0) - skin_colour(outfit)).max() < 40
    kept = low.region
    assert np.abs(low.image[kept].astype(int) - outfit.image[kept]).mean() < 3


def test_thin_cloth_lets_skin_through():
    outfit = make_outfit()
    black = outfit.image.copy()
    black[outfit.region] = 0
    thin = see_through(outfit, black, 0.6)
    inner = outfit.region.copy()
    inner[: np.flatnonzero(inner.any(1))[0] + 8] = False
    expected = 0.4 * skin_colour(outfit)
    assert np.abs(thin[160:180, 120:136].mean((0, 1)) - expected).max() < 25
    assert np.array_equal(thin[:40], black[:40])


@pytest.fixture(scope="module")
def banks():
    garments = [make_garment(TSHIRT, "t-shirt/a"), make_garment(LONGSLEEVE, "longsleeve/b")]
    return [make_outfit("one", sleeve=0.9), make_outfit("two", sleeve=0.4)], garments


def test_sleeveless_inputs_show_the_arms(banks):
    plain = Recipe(real_target=1.0, sleeve_change=0, hem_change=0, neckline_change=0)
    bare = Recipe(real_target=1.0, sleeveless=1.0, hem_change=0, neckline_change=0)
    worn, cut = (
        [Generator(*banks, recipe).draw(np.random.default_rng([1, i])) for i in range(8)]
        for recipe in (plain, bare)
    )
    area = [np.mean([(s.person_mask > 127).sum() for s in samples]) for samples in (worn, cut)]
    assert area[1] < 0.9 * area[0]


def test_options_that_are_off_change_no_draw(banks):
    for i in range(4):
        a = Generator(*banks, Recipe()).draw(np.random.default_rng([4, i]))
        b = Generator(
            *banks, Recipe(sleeveless=0.0, off_shoulder=0.0, cropped=0.0, sheer=0.0)
        ).draw(np.random.default_rng([4, i]))
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_hands_that_are_found_in_front_are():
    body, sampler = Body(), PoseSampler()
    sampler.poses = sampler.poses[:150]
    found = hands_in_front(sampler, body)
    assert 0 < len(found) < 150
    figure = body.figure(np.zeros(len(body.basis)))
    for number in found[:3]:
        matrices = transforms(sampler.poses[number], figure.heads)
        posed = skin(figure.vertices, body.skin_index, body.skin_weight, matrices)
        joint = body.keypoints(posed)
        nearest = joint[[9, 10], 1].min()
        assert nearest < joint[[5, 6, 11, 12], 1].mean()


@needs_meshes
def test_each_option_draws_something_else():
    """Same seed, one option on: what it is for changes, and the sample stays whole."""
    garments, rng = draw_garments(3), np.random.default_rng
    plain = RenderedGenerator(garments, ASSETS, RenderedRecipe(close=0, full=0))
    lower = plain.wardrobe.lowers[0]
    row = waist_row(lower.proxy, lower.faces, plain.wardrobe.mean)
    pattern = plain.sleeved[0]
    cut = tucked(pattern, row)
    assert cut.keep[:, int(row) :].sum() == 0 and cut.mesh is pattern.mesh
    assert np.array_equal(cut.keep[:, : int(row)], pattern.keep[:, : int(row)])
    for option in ("sheer", "tucked", "arms_front", "selfie"):
        plain.recipe = RenderedRecipe(close=0, full=0, **{option: 1.0})
        plain.front = hands_in_front(plain.poses, plain.wardrobe.body)[:20]
        sample = plain.draw(rng(3))
        assert (sample.target_mask > 127).sum() > 500, option
        assert np.isfinite(sample.keypoints).all()
