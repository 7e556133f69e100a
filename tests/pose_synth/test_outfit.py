from dataclasses import replace

import cv2
import numpy as np
import pytest

from dmvton.parsing import Parsing
from pose_synth.outfit import (
    add_sleeves,
    bare_arms,
    change_neckline,
    lower_hem,
    outfit_of,
    raise_hem,
    skin_colour,
)
from pose_synth.persons import Person
from tests.figures import NECK_Y, TORSO, make_outfit


@pytest.fixture(scope="module")
def outfit():
    return make_outfit(hem=1.1, sleeve=0.4)


def test_sleeves_can_be_added_over_bare_arms(outfit):
    long = add_sleeves(outfit, 0.95)
    assert long.sleeve > 0.8 > outfit.sleeve
    added = long.region & ~outfit.region
    assert added.sum() > 500 and not (outfit.region & ~long.region).any()
    on_skin = (outfit.parsing[added] == Parsing.SKIN).mean()
    assert on_skin > 0.7
    changed = (long.image != outfit.image).any(2)
    assert not (changed & ~added).any()


def test_sleeves_end_where_they_are_told_to(outfit):
    reaches = [add_sleeves(outfit, reach).sleeve for reach in (0.55, 0.7, 0.9)]
    assert np.abs(np.subtract(reaches, (0.55, 0.7, 0.9))).max() < 0.12


def test_sleeves_can_be_cut_off():
    long = make_outfit(sleeve=0.95)  # a rest of the cuff stays beyond the wrist
    short = bare_arms(long, 0.3)
    assert short.sleeve < 0.45 and long.sleeve > 0.8
    cut = long.region & ~short.region
    arm = cut & (short.parsing == Parsing.SKIN)
    assert arm.sum() > 300
    tone = np.median(short.image[arm], axis=0)
    assert np.abs(tone - skin_colour(long)).max() < 40
    torso = np.zeros_like(cut)
    torso[130:230, 105:150] = True
    assert not (cut & torso).any()


def test_lifelike_skin_is_that_of_the_face_and_not_of_the_legs():
    outfit = make_outfit(sleeve=0.4)
    legs = np.zeros(outfit.region.shape, bool)
    legs[250:, 60:200] = True
    outfit.parsing[legs], outfit.image[legs] = Parsing.SKIN, (30, 40, 60)
    assert skin_colour(outfit).max() < 70
    assert skin_colour(replace(outfit, lifelike=True)) == pytest.approx([130, 160, 210], abs=25)
    dark = replace(outfit, parsing=np.where(outfit.parsing == Parsing.SKIN, 0, outfit.parsing))
    dark.parsing[legs] = Parsing.SKIN
    assert skin_colour(replace(dark, lifelike=True)) is None, "legs alone say nothing of the face"


def test_lifelike_shoulders_are_as_round_as_the_sleeve_was():
    outfit = make_outfit(sleeve=0.9)
    wide = cv2.dilate(outfit.region.astype(np.uint8), np.ones((7, 7))) > 0
    outfit = replace(outfit, region=wide, parsing=np.where(wide, Parsing.UPPER, outfit.parsing))
    thin, full = (bare_arms(replace(outfit, lifelike=on), 0.03) for on in (False, True))
    skins = [(one.parsing == Parsing.SKIN) & wide for one in (thin, full)]
    assert not (skins[0] & ~skins[1]).any()
    rows = np.nonzero(skins[1] & ~skins[0])[0]
    assert rows.size > 60 and rows.max() < 175, "about the shoulders alone"


def test_lifelike_sleeves_lie_close(outfit):
    wide, close = (add_sleeves(replace(outfit, lifelike=on), 0.9).region for on in (False, True))
    assert (close & ~wide).sum() == 0 and 100 < (wide & ~close).sum()


def test_hem_can_be_lowered_over_trousers(outfit):
    longer = lower_hem(outfit, 0.3)
    assert longer.worn.hem == pytest.approx(outfit.worn.hem + 0.3, abs=0.06)
    added = longer.region & ~outfit.region
    assert (outfit.parsing[added] == Parsing.LOWER).all()
    assert np.array_equal(longer.image, outfit.image)


def test_coat_under_a_short_garment_stays_below_its_hem():
    coat = make_outfit(hem=1.6, sleeve=0.4)
    short = raise_hem(coat, 1.1)
    assert short.worn.hem == pytest.approx(1.1, abs=0.06)
    cut = coat.region & ~short.region
    assert cut.sum() > 500 and not (short.region & ~coat.region).any()
    assert (short.parsing[cut] == Parsing.LOWER).all()
    assert np.array_equal(short.image, coat.image)
    assert short.sleeve == pytest.approx(coat.sleeve, abs=0.05)


def test_long_sleeves_may_hang_below_a_raised_hem():
    coat = make_outfit(hem=1.6, sleeve=1.0)
    short = raise_hem(coat, 0.9)
    assert short.sleeve > 0.85 and short.worn.hem < 1.0


def test_hem_is_not_raised_by_a_hand(outfit):
    assert raise_hem(outfit, outfit.worn.hem - 0.1) is outfit


def test_neckline_can_be_cut_deeper(outfit):
    deeper = change_neckline(outfit, 0.25)
    cut = outfit.region & ~deeper.region
    assert cut.sum() > 50
    y, x = np.nonzero(cut)
    assert abs(x.mean() - 128) < 3 and y.max() <= NECK_Y + 0.26 * TORSO
    assert np.abs(deeper.image[cut].astype(int) - skin_colour(outfit)).mean() < 45


def test_neckline_can_be_raised_over_the_neck(outfit):
    raised = change_neckline(outfit, -1.0)
    added = raised.region & ~outfit.region
    assert added.any()
    assert (outfit.parsing[added] == Parsing.SKIN).all()


def test_nothing_to_change_changes_nothing(outfit):
    covered = make_outfit(sleeve=1.0)
    assert not (add_sleeves(covered, 0.5).region & ~covered.region).any()
    faceless = make_outfit(sleeve=0.95)
    faceless.parsing[faceless.parsing == Parsing.SKIN] = Parsing.BACKGROUND
    assert skin_colour(faceless) is None
    assert bare_arms(faceless, 0.3) is faceless
    assert change_neckline(faceless, 0.2) is faceless


def test_bank_person_is_reduced_about_pixel_centres(outfit):
    k = 2
    double = [np.repeat(np.repeat(x, k, 0), k, 1)
              for x in (outfit.image, outfit.parsing, outfit.region)]  # fmt: skip
    points = outfit.points.copy()
    points[:, :2] = (points[:, :2] + 0.5) * k - 0.5
    matrix = np.array([[k, 0, 0.5], [0, k, 0.5]])
    worn = outfit.worn._replace(mesh=outfit.worn.mesh.transform(matrix))
    person = Person("p", *double, points, worn, "single", 0.1, 2.0)
    found = outfit_of(person)
    assert np.array_equal(found.image, outfit.image)
    assert np.array_equal(found.region, outfit.region)
    assert np.array_equal(found.parsing, outfit.parsing)
    assert np.allclose(found.points, outfit.points, atol=1e-3)
    assert np.allclose(found.mesh.torso, outfit.mesh.torso, atol=1e-3)
