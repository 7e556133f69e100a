import sys

import cv2
import numpy as np
import pytest

from benchmarks import hands
from benchmarks.evaluation import paired, protocol
from benchmarks.evaluation.contenders import Student
from dmvton.keypoints import Keypoint as K
from dmvton.parsing import Parsing
from tests import fake_pair
from tests.samples import write_shards


@pytest.fixture
def pairs(tmp_path):
    return list(protocol.pairs(write_shards(tmp_path / "d", "DD", shard_size=protocol.SHARD), 2))


@pytest.fixture
def fake(tmp_path):
    (tmp_path / "pair").mkdir()
    return fake_pair.write_pair(tmp_path / "pair", (256, 192))


def view():
    """A view of one seen wrist, skin everywhere, and a garment to its right."""
    shape, points = (256, 192), np.zeros((13, 3), np.float32)
    points[K.LEFT_WRIST] = (96, 100, 1)
    points[K.RIGHT_WRIST] = (40, 200, 0.1)
    right = np.zeros(shape, bool)
    right[:, 100:] = True
    none, picture = np.zeros(shape, bool), np.zeros((*shape, 3), np.uint8)
    return paired.View(picture, picture, None, points, none, right, np.full(shape, Parsing.SKIN))


def test_a_hand_is_skin_near_a_seen_wrist_that_no_garment_covers():
    found = hands.hands(view())
    rows, columns = np.nonzero(found)
    assert columns.max() == 99 and columns.min() == 96 - hands.REACH
    assert rows.min() == 100 - hands.REACH and rows.max() == 100 + hands.REACH
    hair = view()._replace(parsing=np.full((256, 192), Parsing.HAIR))
    assert not hands.hands(hair).any()
    covered = view()._replace(old=np.ones((256, 192), bool))
    assert not hands.hands(covered).any()


@pytest.mark.parametrize(("changed", "photos"), [(0, 0.0), (1, 1.0)])
def test_shares_of_what_changes(fake, pairs, monkeypatch, changed, photos):
    student = Student("fake", fake, 1)
    network = student.engine.network

    def run(person, garment, features):
        full = np.full((256, 192), changed, np.float32)
        layers = answer(person, garment, features)
        return layers._replace(alpha=full, beta=np.zeros_like(full))

    answer = network.run
    monkeypatch.setattr(network, "run", run)
    monkeypatch.setattr("dmvton.compose.with_hem", lambda alpha, beta, flow, *_: (alpha, flow))
    monkeypatch.setattr(hands, "hands", lambda seen: ~seen.old & ~seen.new)
    found = hands.measure(student, pairs)
    assert (found.pixels, found.photos, found.count) == (changed, photos, 2)
    assert found.missing == 1 - changed


def test_a_line_for_each_set_of_weights(fake, pairs, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(protocol, "draw", lambda *_: None)
    monkeypatch.setattr(protocol, "pairs", lambda folder, count: pairs[:count])
    monkeypatch.setattr(hands, "SLEEVES", ("shirt/a",))
    monkeypatch.setattr(hands, "vests", lambda *_: [pairs[0].raw.garment])
    folder = tmp_path / "clothing/train/shirt"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "a.jpg"), pairs[0].raw.garment)
    monkeypatch.setattr(
        sys, "argv", ["hands", str(fake), "--data", str(tmp_path), "--samples", "1"]
    )
    hands.main()
    out = capsys.readouterr().out
    assert out.startswith(f"{fake}: of hands, ") and out.count("\n") == 1


def test_of_an_arm_counts_what_a_long_sleeve_reaches():
    seen = view()
    points = seen.points
    points[[K.LEFT_SHOULDER, K.LEFT_ELBOW, K.LEFT_WRIST], :2] = (60, 50), (60, 100), (60, 200)
    points[[K.RIGHT_SHOULDER, K.RIGHT_ELBOW, K.RIGHT_WRIST], :2] = (140, 50), (140, 100), (140, 200)
    points[[K.LEFT_HIP, K.RIGHT_HIP], :2] = (80, 150), (120, 150)
    found = hands.stretch(seen)
    assert found[55:165, 60].all() and found[55:165, 140].all()
    assert not found[190:].any() and not found[:, 100].any()
    assert points[K.LEFT_WRIST, 1] == 200, "the view stays as it is"


def test_of_an_upper_arm_counts_what_no_sleeveless_top_reaches():
    seen = view()
    seen.points[[K.LEFT_SHOULDER, K.LEFT_ELBOW, K.LEFT_WRIST], :2] = (60, 50), (60, 150), (60, 220)
    seen.points[[K.RIGHT_SHOULDER, K.RIGHT_ELBOW], :2] = (140, 50), (140, 150)
    seen.points[[K.LEFT_HIP, K.RIGHT_HIP], :2] = (80, 150), (120, 150)
    found = hands.upper_arms(seen)
    assert found[95:145, 60].all() and found[95:145, 140].all()
    assert not found[:75].any() and not found[165:].any() and not found[:, 75:125].any()
    assert seen.points[K.LEFT_SHOULDER, 1] == 50, "the view stays as it is"


@pytest.mark.parametrize("covered", [False, True])
def test_shares_of_bare_arms(monkeypatch, covered):
    bare = view()._replace(new=np.zeros((256, 192), bool))
    sleeved = view()._replace(new=np.ones((256, 192), bool))
    whole = np.ones((256, 192), bool)
    monkeypatch.setattr(paired, "view", lambda pair: pair)
    monkeypatch.setattr(hands, "stretch", lambda _: whole)
    monkeypatch.setattr(hands, "upper_arms", lambda _: whole)
    monkeypatch.setattr(hands, "shown", lambda *_: (None, np.full((256, 192), covered)))
    people = hands.people([sleeved, bare, bare])
    left, more = (hands.arms_in(None, people, ["garment"], long) for long in (True, False))
    assert left == (1 - covered, 1 - covered, 1)
    assert more == (covered, covered, 1)
    assert hands.arms_in(None, hands.people([sleeved]), ["garment"], True).count == 0
