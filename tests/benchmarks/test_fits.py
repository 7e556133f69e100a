import sys
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import fits
from benchmarks.evaluation import paired, protocol
from dmvton.keypoints import Keypoint as K
from pose_synth.recipe import Generator
from tests import fake_pair
from tests.figures import LONGSLEEVE, TSHIRT, make_garment, make_outfit

SHAPE = (256, 192)


def view(new=None):
    """A view of somebody upright, whose torso is 80 pixels long, in front of the camera."""
    points = np.zeros((13, 3), np.float32)
    sides = {"LEFT": 126, "RIGHT": 66}
    for side, x in sides.items():
        away = 20 if side == "LEFT" else -20
        for joint, at in {"SHOULDER": (x, 80), "HIP": (x, 160), "ELBOW": (x + away, 120),
                          "WRIST": (x + away, 160)}.items():  # fmt: skip
            points[K[f"{side}_{joint}"]] = (*at, 1)
    old = np.zeros(SHAPE, bool)
    old[80:170, 66:127] = True
    picture = np.zeros((*SHAPE, 3), np.uint8)
    new = old if new is None else new
    return paired.View(picture, picture, None, points, old, new, np.zeros(SHAPE, np.uint8))


def test_zones_lie_where_the_cut_shows():
    seen = view()
    zones = {name: fits.zone(name, seen) for name in fits.RECIPES}
    assert zones["neckline"][90, 96] and not zones["neckline"][120, 96]
    assert zones["cropped hem"][140, 96] and not zones["cropped hem"][110, 96]
    assert zones["sleeves"][120, 146] and not zones["sleeves"][120, 96]
    assert zones["sleeveless"][90, 96] and zones["sleeveless"][140, 146]


def test_shares_of_cloth_that_is_missing_and_too_much(monkeypatch):
    new = np.zeros(SHAPE, bool)
    new[80:170, 66:127] = True
    seen, where = view(new), np.ones(SHAPE, bool)
    student = SimpleNamespace(garment=lambda cloth: cloth)

    def shows(cloth):
        monkeypatch.setattr(fits, "shown", lambda *_: (cloth, cloth))
        return fits.wrong(student, seen, where)

    assert shows(new) == (0, 0)
    more, less = shows(np.zeros(SHAPE, bool))
    assert more == 0 and 0.9 < less <= 1
    wide = np.zeros(SHAPE, bool)
    wide[80:170, 6:127] = True
    more, less = shows(wide)
    assert more == pytest.approx(59 / 61, abs=0.01) and less == 0
    assert fits.wrong(student, seen, np.zeros(SHAPE, bool)) is None


@pytest.mark.parametrize("name", fits.RECIPES)
def test_every_recipe_draws_people_in_their_own_clothes(name):
    people = [make_outfit(sleeve=0.4), make_outfit(sleeve=0.9)]
    garments = [make_garment(TSHIRT), make_garment(LONGSLEEVE, "longsleeve/a")]
    generator = Generator(people, garments, fits.RECIPES[name])
    assert generator.draw(np.random.default_rng(1)).kind == "C-real"


def test_a_line_for_each_recipe_and_set_of_weights(monkeypatch, tmp_path, capsys):
    (tmp_path / "pair").mkdir()
    weights = fake_pair.write_pair(tmp_path / "pair", SHAPE)
    banks = SimpleNamespace(
        outfits=[make_outfit(sleeve=0.4), make_outfit("long", sleeve=0.9)],
        garments=[make_garment(TSHIRT), make_garment(LONGSLEEVE, "longsleeve/a")],
    )
    monkeypatch.setattr(fits, "Banks", lambda *_: banks)
    monkeypatch.setattr(
        sys, "argv",
        ["fits", str(weights), "--data", str(tmp_path), "--samples", "3", "--cache", str(tmp_path)],
    )  # fmt: skip
    fits.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == list(fits.RECIPES)
    assert len(list(protocol.pairs(tmp_path / "fits-sleeves-60-3", 3))) == 3
