from dataclasses import replace

import cv2
import numpy as np
import pytest

from dmvton.parsing import Parsing
from pose_synth.labels import hidden_by
from pose_synth.products import (
    dress,
    flatten,
    flow_to_grid,
    garment_layers,
    shading,
    soft_mask,
)
from pose_synth.recipe import Generator, Recipe
from pose_synth.sizes import flat_hem, is_long, sleeve_reach
from pose_synth.strips import dense_map
from tests.figures import LONGSLEEVE, TSHIRT, make_garment, make_outfit

ONES = np.ones((336, 256, 1), np.float32)


@pytest.fixture(scope="module")
def garments():
    return [make_garment(TSHIRT, "t-shirt/a"), make_garment(TSHIRT, "t-shirt/b", 50, 1.0),
            make_garment(LONGSLEEVE, "longsleeve/c", 60, 2.0)]  # fmt: skip


@pytest.fixture(scope="module")
def outfits():
    return [make_outfit("short", sleeve=0.4), make_outfit("long", sleeve=0.95, phase=1.0)]


def psnr(a, b, where):
    error = (a.astype(float) - b)[where]
    return -10 * np.log10((error**2).mean() / 255**2 + 1e-9)


def sampled(image, field):
    return cv2.remap(image, field[..., 0], field[..., 1], cv2.INTER_LINEAR)


def stored_flow(sample):
    """Positions (336, 256, 2) from the half-size eighths of a pixel."""
    return cv2.resize(sample.flow.astype(np.float32) / 8, sample.target.shape[1::-1])


def core(mask, rim=5):
    return cv2.erode((mask > 250).astype(np.uint8), np.ones((rim, rim))) > 0


def test_dressed_person_shows_the_garment_where_the_top_was(outfits, garments):
    outfit = outfits[0]
    out = dress(outfit, garments[0], ONES)
    inside = core(soft_mask(outfit.region) * 255)
    assert psnr(out.image, sampled(garments[0].extended, out.flow), inside) > 45
    away = cv2.dilate(outfit.region.astype(np.uint8), np.ones((9, 9))) == 0
    assert np.array_equal(out.image[away], outfit.image[away])


def test_dressing_keeps_left_left_and_up_up(outfits, garments):
    flow = dress(outfits[1], garments[2], ONES).flow
    # (person pixel, garment corner nearby): chest middle, hem corners, cuffs.
    assert np.linalg.norm(flow[170, 128] - (120, 130)) < 40
    assert flow[200, 100, 0] < 100 < 140 < flow[200, 156, 0]
    assert flow[225, 66, 0] < 60 and flow[225, 190, 0] > 180
    assert flow[140, 128, 1] < flow[180, 128, 1] < flow[235, 128, 1]


def test_light_is_put_on_the_garment(outfits, garments):
    dark = dress(outfits[0], garments[0], ONES * 0.5)
    plain = dress(outfits[0], garments[0], ONES)
    inside = core(plain.mask * 255)
    assert dark.image[inside].mean() == pytest.approx(plain.image[inside].mean() / 2, rel=0.02)


def test_shading_sees_folds_and_not_the_colour():
    region = np.zeros((336, 256), bool)
    region[60:280, 60:200] = True
    y, x = np.mgrid[:336, :256]
    fold = 1 - 0.25 * np.exp(-((x - 130) ** 2) / 30)
    for level in (60, 180):
        image = np.repeat((level * fold)[..., None], 3, 2).astype(np.uint8)
        light = shading(image, [region])[..., 0]
        assert light[170, 130] < 0.9 < 0.97 < light[170, 90] < 1.08
    flat = np.full((336, 256, 3), 90, np.uint8)
    flat[:, :120] = 200  # two layers of different brightness: no shadow
    left = region & (x < 120)
    light = shading(flat, [left, region & ~left])[region]
    assert np.abs(light - 1).max() < 0.05
    assert shading(flat, [])[0, 0, 0] == 1


@pytest.mark.parametrize("index", [0, 1])
def test_flat_garment_gives_the_worn_one_back(outfits, garments, index):
    """Product D: the worn top is laid flat, and the flow puts it back on the person."""
    outfit = outfits[index]
    flat = flatten(outfit, garments[2 if index else 0].mesh)
    assert flat.holes < 0.15
    worn = sampled(flat.image, np.nan_to_num(flat.flow, nan=-9).astype(np.float32))
    inside = core(soft_mask(outfit.region) * 255, 9) & np.isfinite(flat.flow[..., 0])
    assert inside.sum() > 0.6 * outfit.region.sum()
    assert psnr(worn, outfit.image, inside) > 25
    assert 0.15 < flat.mask.mean() < 0.6


def test_hidden_part_is_taken_from_the_other_side(outfits, garments):
    outfit = make_outfit(sleeve=0.4)
    outfit.region[150:200, 96:118] = False  # a bag at the left flank
    outfit.parsing[150:200, 96:118] = Parsing.BAG
    bag = outfit.image.copy()
    bag[150:200, 96:118] = (0, 0, 255)
    hidden = flatten(type(outfit)(outfit.key, bag, outfit.parsing, outfit.region, outfit.points,
                                  outfit.worn, "single"), garments[0].mesh)  # fmt: skip
    red = (hidden.image[..., 2] > 240) & (hidden.image[..., 0] < 20)
    assert not (red & (hidden.mask > 0.9)).any()
    assert hidden.holes < 0.1


def scooped():
    """The drawn person with a deep neckline, and a hand before the belly."""
    outfit = make_outfit(sleeve=0.4)
    open_ = np.zeros(outfit.region.shape, np.uint8)
    cv2.ellipse(open_, (128, 112), (20, 40), 0, 0, 360, 1, -1)
    hand = np.zeros_like(open_)
    cv2.circle(hand, (128, 200), 12, 1, -1)
    bare = (open_ | hand) > 0
    outfit.parsing[bare], outfit.region[bare] = Parsing.SKIN, False
    outfit.image[bare] = (130, 160, 210)
    return outfit


def test_a_flat_garment_has_the_worn_neckline_on_request(garments):
    outfit, mesh = scooped(), garments[0].mesh
    closed, opened = flatten(outfit, mesh), flatten(outfit, mesh, open_skin=True)
    gone = (closed.mask > 0.9) & (opened.mask < 0.1)
    assert gone.sum() > 300
    at = dense_map(mesh, outfit.mesh, gone.shape, "left right torso")
    rows = at[gone][:, 1]
    assert rows.max() < 160, "the hand is filled up, not cut out"
    assert (outfit.parsing[np.rint(rows).astype(int), np.rint(at[gone][:, 0]).astype(int)]
            == Parsing.SKIN).mean() > 0.9  # fmt: skip
    assert opened.holes < closed.holes


def test_no_black_from_outside_the_picture_gets_into_filled_holes(garments):
    outfit = make_outfit(sleeve=0.4, plain=True)
    outfit.region[140:220, :106] = outfit.region[140:220, 150:] = False  # hidden flanks
    outfit.parsing[140:220, 88:106] = outfit.parsing[140:220, 150:168] = Parsing.BAG
    flat = flatten(outfit, garments[0].mesh, open_skin=True)
    cloth = outfit.image[outfit.region].mean(0)
    assert np.abs(flat.image[flat.mask > 0.99].astype(int) - cloth).max() < 30


def test_stored_flow_keeps_an_eighth_of_a_pixel():
    y, x = np.mgrid[:336, :256].astype(np.float32)
    field = np.stack([0.7 * x + 0.1 * y - 30, 1.1 * y - 20], 2)
    grid = flow_to_grid(field)
    assert grid.shape == (168, 128, 2) and grid.dtype == np.int16
    centre = field.reshape(168, 2, 128, 2, 2).mean((1, 3))
    assert np.abs(grid / 8 - centre).max() <= 1 / 16 + 1e-4
    field[:50] = np.nan
    assert np.isfinite(flow_to_grid(field)).all()


def test_layers_are_the_region_in_parts(outfits):
    outfit = make_outfit()
    outfit.parsing[outfit.region & (np.arange(256) < 128)] = Parsing.OUTER
    outfit.parsing[150:160, 120:130] = Parsing.BAG
    layers = garment_layers(outfit)
    assert np.array_equal(np.sum(layers, 0), outfit.region)
    assert sum(bool(layer.any()) for layer in layers) == 3
    assert hidden_by(outfit.parsing)[155, 125] and not hidden_by(outfit.parsing)[200, 140]


def draw(outfits, garments, count=12, **recipe):
    generator = Generator(outfits, garments, Recipe(**recipe))
    return [generator.draw(np.random.default_rng([5, i])) for i in range(count)]


def truth(sample):
    """PSNR in dB between the target and the garment picture under the stored flow."""
    inside = core(sample.target_mask, 9) & (sample.parsing == Parsing.UPPER)
    assert inside.sum() > 3000
    return psnr(sampled(sample.garment, stored_flow(sample)), sample.target, inside)


def test_flow_of_product_c_is_the_truth(garments):
    """A plain top has no folds, so that the target is the garment's very colours."""
    plain = [make_outfit("short", plain=True), make_outfit("long", sleeve=0.9, plain=True)]
    found = [truth(sample) for sample in draw(plain, garments, real_target=0.0)]
    assert np.median(found) > 30 and min(found) > 24, np.round(found, 1)


def test_people_whose_labels_or_meshes_are_doubtful_are_real_targets_only(outfits, garments):
    doubtful = [replace(outfit, target_only=True) for outfit in outfits]
    assert {sample.kind for sample in draw(doubtful, garments, real_target=0.0)} == {"D"}


def test_flow_of_product_d_is_the_truth(outfits, garments):
    found = [truth(sample) for sample in draw(outfits, garments, real_target=1.0)]
    assert np.median(found) > 26 and min(found) > 22, np.round(found, 1)


def test_product_d_ends_in_the_untouched_photo(outfits, garments):
    photos = {o.key: o.image for o in outfits}
    for sample in draw(outfits, garments, real_target=1.0):
        assert sample.kind == "D" and sample.garment_key == f"worn/{sample.person_key}"
        assert np.array_equal(sample.target, photos[sample.person_key])
        assert (
            np.abs(sample.person.astype(int) - sample.target)[sample.target_mask > 250].mean() > 5
        )


def test_product_c_starts_from_the_photo_or_another_garment(outfits, garments):
    photos = {o.key: o.image for o in outfits}
    samples = draw(outfits, garments, 16, real_target=0.0)
    assert {s.kind for s in samples} == {"C", "C-real"}
    for sample in samples:
        untouched = np.array_equal(sample.person, photos[sample.person_key])
        assert untouched == (sample.kind == "C-real")
        assert sample.garment_key in {g.key for g in garments}


def test_draws_depend_on_their_generator_only(outfits, garments):
    first, again = draw(outfits, garments, 3), draw(outfits, garments, 3)
    for one, two in zip(first, again, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not np.array_equal(first[0].target, first[1].target)


def test_fields_of_a_sample(outfits, garments):
    for sample in draw(outfits, garments, 6):
        assert sample.person.shape == sample.target.shape == (336, 256, 3)
        assert sample.garment.shape == (320, 240, 3)
        for name in ("person_mask", "target_mask", "parsing", "garment_mask"):
            assert getattr(sample, name).dtype == np.uint8, name
        assert sample.keypoints.shape == (13, 3)
        assert np.allclose(sample.keypoints[1, :2], (164, 125))
        assert sample.parsing.max() <= max(Parsing)


def test_sleeves_and_hems_of_flat_garments(garments):
    assert [is_long(g) for g in garments] == [False, False, True]
    assert 0.9 < flat_hem(garments[0].mesh) < 2.2


SHORT = TSHIRT | {"cuff_out": (34, 82), "cuff_in": (40, 118)}
HALF = TSHIRT | {"cuff_out": (12, 112), "cuff_in": (24, 146)}


def test_longer_sleeves_reach_further_down_the_arm(garments):
    reach = [sleeve_reach(make_garment(c).mesh) for c in (SHORT, HALF, LONGSLEEVE)]
    assert 0.15 < reach[0] < 0.45 and reach[0] + 0.1 < reach[1] < reach[2] - 0.1
    bare = garments[0].mesh._replace(left=None, right=None)
    assert sleeve_reach(bare) == 0


def test_sleeves_are_as_long_as_the_garments_own_on_request(garments, outfits):
    recipe = Recipe(real_target=0, real_input=1, painted_skin=1, own_sleeves=1)
    for garment in (make_garment(SHORT), make_garment(HALF), garments[2]):
        wanted = sleeve_reach(garment.mesh)
        generator = Generator(outfits, [garment], recipe)
        for outfit in (*outfits, make_outfit("bare", sleeve=0.1)):
            worn = generator._fit_sleeves(np.random.default_rng(0), outfit, garment)
            assert worn.sleeve == pytest.approx(wanted, abs=0.15), (garment.key, outfit.key)


def test_flat_garments_of_product_d_have_sleeves_like_the_worn_on_request(garments):
    tops = [make_garment(SHORT), make_garment(HALF), garments[2]]
    generator = Generator([make_outfit()], tops, Recipe(own_sleeves=1))
    for top, cover in zip(tops, (0.25, 0.55, 0.95), strict=True):
        outfit = make_outfit(sleeve=cover)
        picks = [generator._layout(np.random.default_rng(seed), outfit) for seed in range(8)]
        assert sum(p.mesh.left is top.mesh.left for p in picks) >= 6


def test_product_d_shows_the_back_in_an_open_neckline_on_request(garments):
    bare = make_outfit(sleeve=0.4, plain=True)
    neck = np.zeros(bare.region.shape, bool)
    neck[100:145, 118:138] = True
    bare.parsing[neck], bare.region[neck] = Parsing.SKIN, False
    more = {}
    for back in (0.0, 1.0):
        recipe = Recipe(real_target=1, open_skin=1, shown_back=back)
        sample = Generator([bare], garments[:1], recipe).draw(np.random.default_rng(0))
        more[back] = sample.garment_mask
    added = (more[1] > 200) & (more[0] < 50)
    rows, columns = np.nonzero(added)
    assert added.sum() > 150 and (more[1] >= more[0]).all()
    assert abs(columns.mean() - 119.5) < 4 and rows.max() < 130


def test_a_long_single_top_is_worn_at_its_whole_length_on_request(garments):
    outfit = make_outfit(hem=1.7, sleeve=0.4)
    garment = make_garment(TSHIRT | {"hem": (64, 190)})
    rng = np.random.default_rng(0)
    hems = [
        Generator([outfit], garments, Recipe(natural_hem=1, longest_top=top))
        ._natural_hem(rng, outfit, garment)
        .worn.hem
        for top in (0.0, 1.9)
    ]
    assert hems[0] < 1.6 and hems[1] == outfit.worn.hem


def test_banks_without_a_usable_pair_are_refused(outfits, garments):
    """A long-sleeved person and short-sleeved garments, and painting arms is not allowed."""
    generator = Generator(outfits[1:], garments[:2], Recipe(real_target=0.0, painted_skin=0.0))
    with pytest.raises(RuntimeError, match="loosen the gates or enlarge the banks"):
        generator.draw(np.random.default_rng(0))
