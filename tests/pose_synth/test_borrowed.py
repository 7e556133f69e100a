from dataclasses import replace

import numpy as np
import pytest

from dmvton.parsing import Parsing
from pose_synth.borrowed import nearest_tops, put_over, tops_of
from pose_synth.outfit import arm_band
from pose_synth.recipe import Generator, Recipe
from tests.figures import LONGSLEEVE, TORSO, TSHIRT, make_garment, make_outfit


@pytest.fixture(scope="module")
def lender():
    """In long sleeves, a little to the right of the others."""
    return moved(make_outfit("lender", hem=1.15, sleeve=0.95, phase=1.0), 6)


@pytest.fixture(scope="module")
def person():
    return make_outfit("person", hem=1.1, sleeve=0.3)


def moved(outfit, pixels):
    roll = lambda x: np.roll(x, pixels, 1)  # noqa: E731
    points = outfit.points + np.float32([pixels, 0, 0])
    mesh = outfit.worn.mesh.transform(np.array([[1.0, 0, pixels], [0, 1.0, 0]]))
    return replace(outfit, image=roll(outfit.image), parsing=roll(outfit.parsing), points=points,
                   region=roll(outfit.region), worn=outfit.worn._replace(mesh=mesh))  # fmt: skip


def test_a_borrowed_top_lies_on_the_body_as_on_its_owner(lender, person):
    top = tops_of([lender])[0]
    image, mask = put_over(top, person, person.image)
    inside = mask > 0.98
    back = np.roll(lender.image, -6, 1)
    assert np.abs(image[inside].astype(int) - back[inside]).mean() < 4
    away = mask == 0
    assert np.array_equal(image[away], person.image[away])
    arms = arm_band(person, 0.85, 0.12)
    assert mask[arms].mean() > 0.9 and mask[person.region].mean() > 0.95


def test_head_hands_hair_and_bags_stay_in_front(lender, person):
    parsing = person.parsing.copy()
    parsing[150:180, 110:125], parsing[200:215, 120:150] = Parsing.HAIR, Parsing.BAG
    covered = replace(person, parsing=parsing)
    _, mask = put_over(tops_of([lender])[0], covered, covered.image)
    assert mask[155:175, 114:121].max() < 0.05 and mask[204:211, 125:145].max() < 0.05
    assert mask[60:100].max() < 0.05  # the head


def test_only_long_tops_that_end_at_the_hips_are_lent(lender, person):
    coat = make_outfit("coat", hem=1.7, sleeve=0.95)
    dress = replace(lender, layers="dress")
    assert tops_of([person, coat, dress]) == []
    plain, mirrored = tops_of([lender])
    assert np.array_equal(plain.image, mirrored.image[:, ::-1])
    right, left = plain.anchors[0], mirrored.anchors[0]
    assert right[0] < 128 and left[0] < 128  # the first is the shoulder on the picture's left


def test_lenders_stand_alike_and_are_somebody_else(lender, person):
    tops = tops_of([lender, replace(lender, key="person")])
    assert {top.key for top in nearest_tops(tops, person)} == {"lender"}
    reaching = person.points.copy()
    reaching[[13, 15, 14, 16], 1] -= 0.8 * TORSO
    assert nearest_tops(tops, replace(person, points=reaching)) == []


def test_a_top_that_leaves_the_arms_bare_is_refused(lender, person):
    top = tops_of([lender])[0]
    band = arm_band(person, 1.2, 0.4)
    short = top._replace(alpha=np.where(band, 0, top.alpha).astype(np.float32))
    assert put_over(short, person, person.image) is None


def test_a_top_that_would_fold_is_refused(lender, person):
    top = tops_of([lender])[0]
    anchors = top.anchors.copy()
    anchors[[0, 4]] = anchors[[4, 0]]  # the shoulders change sides, the hips do not
    assert put_over(top._replace(anchors=anchors), person, person.image) is None


def test_product_d_wears_borrowed_tops(lender, person):
    garments = [make_garment(TSHIRT, "t-shirt/a"), make_garment(LONGSLEEVE, "longsleeve/b")]
    recipe = Recipe(real_target=1.0, borrowed=1.0, bare_target=1e6)
    generator = Generator([lender, person], garments, recipe)
    for seed in range(4):
        sample = generator.draw(np.random.default_rng(seed))
        assert sample.person_key == "person"  # the short-sleeved one
        assert np.array_equal(sample.target, person.image)
        arms = arm_band(person, 0.85, 0.12)
        assert (sample.person_mask[arms] > 200).mean() > 0.9
        assert (sample.person_mask[sample.target_mask > 250] > 100).mean() > 0.98
