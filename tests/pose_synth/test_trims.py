from dataclasses import replace

import cv2
import numpy as np
import pytest

from dmvton.parsing import Parsing
from pose_synth import trims
from pose_synth.recipe import Generator, Recipe
from pose_synth.trims import neckwear, neckwear_of, pinned, with_neckwear
from tests.figures import LONGSLEEVE, NECK_Y, TSHIRT, make_garment, make_outfit

SCARF = (15, 15, 230)


def wearing(outfit, drawn):
    """The outfit with an accessory: (N, 2) corners or a (H, W) mask."""
    mask = np.zeros(outfit.region.shape, np.uint8)
    cv2.fillPoly(mask, [np.int32(drawn)], 1)
    image, parsing = outfit.image.copy(), outfit.parsing.copy()
    image[mask > 0], parsing[mask > 0] = SCARF, Parsing.ACCESSORY
    return replace(outfit, image=image, parsing=parsing, region=outfit.region & (mask == 0))


@pytest.fixture(scope="module")
def person():
    return make_outfit("person", hem=1.1, sleeve=0.3, plain=True)


@pytest.fixture(scope="module")
def scarfed():
    around = [(104, 108), (152, 108), (150, 128), (140, 130), (140, 180), (124, 180), (122, 130)]
    return wearing(make_outfit("scarfed", hem=1.1, sleeve=0.9), around)


def test_scarves_and_ties_are_neckwear(person, scarfed):
    found = neckwear(scarfed)
    assert np.array_equal(found, scarfed.parsing == Parsing.ACCESSORY)
    tie = wearing(person, [(124, 118), (132, 118), (136, 178), (120, 178)])
    assert neckwear(tie)[140, 128]


@pytest.mark.parametrize(
    "corners",
    [
        [(112, 118), (114, 118), (128, 160), (142, 118), (144, 118), (128, 163)],  # a chain
        [(94, 222), (162, 222), (162, 234), (94, 234)],  # a belt
        [(52, 226), (74, 226), (74, 240), (52, 240)],  # a bracelet
    ],
)
def test_chains_belts_and_bracelets_are_not(person, corners):
    assert not neckwear(wearing(person, corners)).any()


def test_a_scarf_lies_on_somebody_else_as_on_its_owner(person, scarfed):
    worn, mirrored = neckwear_of([person, scarfed])
    assert worn.key == mirrored.key == "scarfed"
    rng = np.random.default_rng(0)
    top = person.region.astype(np.float32)
    image, mask = with_neckwear(rng, worn, None, person, person.image, top)
    inside = cv2.erode(neckwear(scarfed).astype(np.uint8), np.ones((5, 5))) > 0
    inside &= np.mgrid[:336, :256][0] > NECK_Y  # above, the head is in front
    assert np.abs(image[inside].astype(int) - SCARF).max() < 8
    away = cv2.dilate(neckwear(scarfed).astype(np.uint8), np.ones((9, 9))) == 0
    assert np.array_equal(image[away], person.image[away])
    assert mask[inside].min() > 0.98 and (mask >= top).all()


def test_a_scarf_can_be_of_another_cloth(person, scarfed):
    blue = make_garment(TSHIRT, "t-shirt/blue")
    blue = replace(blue, extended=np.full_like(blue.extended, (200, 40, 10)))
    rng = np.random.default_rng(0)
    top = person.region.astype(np.float32)
    image, _ = with_neckwear(rng, neckwear_of([scarfed])[0], blue, person, person.image, top)
    inside = cv2.erode(neckwear(scarfed).astype(np.uint8), np.ones((5, 5))) > 0
    inside &= np.mgrid[:336, :256][0] > NECK_Y
    blue_side = image[inside][:, 0].astype(int) - image[inside][:, 2]
    assert blue_side.min() > 50


def test_small_things_lie_on_the_top_alone(person):
    top = person.region.astype(np.float32)
    top[150:170, 100:120] = 0  # a hand
    changed = 0
    for seed in range(30):
        image = pinned(np.random.default_rng(seed), person, person.image, top)
        again = pinned(np.random.default_rng(seed), person, person.image, top)
        assert np.array_equal(image, again)
        differs = (image != person.image).any(2)
        assert not differs[top < 0.5].any()
        assert differs.sum() < 0.4 * person.region.sum()
        changed += differs.sum() > 20
    assert changed >= 27  # some lie wholly under the hand or beside the top


def test_bright_things_have_no_dark_rim(person, monkeypatch):
    """Averaged with what is not painted, white on white would show an outline."""
    monkeypatch.setattr(trims, "_THINGS", (trims._badge,))
    monkeypatch.setattr(trims, "random_colour", lambda rng: (255, 255, 255))
    white = np.full_like(person.image, 255)
    top = person.region.astype(np.float32)
    for seed in range(10):
        assert pinned(np.random.default_rng(seed), person, white, top).min() >= 253


def test_targets_have_none_of_it(person, scarfed):
    garments = [make_garment(TSHIRT, "t-shirt/a"), make_garment(LONGSLEEVE, "longsleeve/b")]
    for share in (0.0, 1.0):
        recipe = Recipe(real_target=share, real_input=1.0, pinned=1.0, neckwear=1.0,
                        sleeve_change=0.0, hem_change=0.0, neckline_change=0.0)  # fmt: skip
        generator = Generator([person, scarfed], garments, recipe)
        assert [o.key for o in generator.outfits] == ["person"]
        sample = generator.draw(np.random.default_rng(1))
        if share == 1:
            assert np.array_equal(sample.target, person.image)
        worn = cv2.erode(neckwear(scarfed).astype(np.uint8), np.ones((5, 5))) > 0
        assert sample.person_mask[worn & (np.mgrid[:336, :256][0] > NECK_Y)].min() > 240


def test_nothing_changes_unless_asked(person, scarfed):
    generator = Generator([person, scarfed], [make_garment(TSHIRT, "t-shirt/a")], Recipe())
    assert len(generator.outfits) == 2 and generator.neckwear == []
