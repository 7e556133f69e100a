import json
from pathlib import Path

import numpy as np
import pytest

from dmvton.errors import DataError
from pose_synth import mine as module
from pose_synth.drawn import draw_garments
from pose_synth.mine import MineConfig, chances, difficulty, mine
from pose_synth.oks import SPREADS, oks
from pose_synth.rendered import RenderedGenerator
from tests.pose_synth.test_rendered import ASSETS, needs_meshes

DATA = ASSETS.parents[1]


def figure():
    """Keypoints (13, 2) of a person 400 pixels tall."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (13, 2)) * (150, 400)
    points[0], points[1] = (0, 0), (150, 400)
    return points


def test_oks_is_one_for_equal_points_and_follows_its_formula():
    points, seen = figure(), np.ones(13, bool)
    assert oks(points, points, seen) == 1
    moved = points.copy()
    moved[4] += (12, -5)  # 13 pixels
    single = np.exp(-(13**2) / (2 * 150 * 400 * SPREADS[4] ** 2))
    assert oks(points, moved, seen) == pytest.approx((12 + single) / 13)
    assert oks(points, moved, np.arange(13) != 4) == 1
    assert oks(points, points, np.zeros(13, bool)) == 0


def test_difficulty_ranks_each_measure_its_own_way():
    easy, hard = (0.99, 0.01, 0.02), (0.60, 0.20, 0.30)
    middle = (0.90, 0.05, 0.10)
    assert difficulty(np.array([middle, easy, hard])).tolist() == [0.5, 0.0, 1.0]


def test_hard_clusters_are_drawn_more_often_and_every_pose_sometimes():
    labels = np.array([0, 0, 1, 1])
    hard = np.array([0.1, 0.3, 0.7, 0.9])
    drawn = chances(hard, labels, 3.0)
    assert drawn.sum() == pytest.approx(1) and drawn.min() > 0
    assert drawn[0] == drawn[1] and drawn[2] == drawn[3] > 10 * drawn[0]
    np.testing.assert_allclose(chances(hard, labels, 0.0), 0.25)


@pytest.fixture(scope="module")
def people():
    """Made once: fitting the wardrobe takes seconds."""
    return RenderedGenerator(draw_garments(3, 0), ASSETS)


@pytest.fixture
def config(monkeypatch, tmp_path, fake_weights, people):
    monkeypatch.setattr(module, "shop_tops", lambda data, part: people.garments)
    monkeypatch.setattr(module, "RenderedGenerator", lambda *_: people)
    return lambda **k: MineConfig(**{
        "data": DATA, "out": tmp_path / "round", "weights": fake_weights, "poses": 5, "views": 1,
        "clusters": 2, "samples": 3, **k,
    })  # fmt: skip


@needs_meshes
def test_a_round_writes_report_picture_and_shards(config, tmp_path):
    path = mine(config())
    report = json.loads(path.read_text())
    assert len(report["poses"]) == len(report["labels"]) == len(report["difficulty"]) == 5
    assert sum(row["poses"] for row in report["clusters"]) == 5
    assert (path.parent / "hardest.jpg").stat().st_size > 10_000
    manifest = json.loads((path.parent / "shards" / "manifest.json").read_text())
    assert manifest["samples"] == 3

    again = json.loads(mine(config(out=tmp_path / "next", before=path, samples=0)).read_text())
    assert again["labels"] == report["labels"]
    for row in again["clusters"]:  # the same student on the same views
        assert row["before"] == {k: row[k] for k in row["before"]}
    assert not (tmp_path / "next" / "shards").exists()

    with pytest.raises(DataError, match="pass the same --poses and --views"):
        mine(config(before=path, poses=4, samples=0))


@needs_meshes
def test_the_next_round_draws_from_the_hard_clusters(config, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "write", lambda plan, draw, note: seen.append(draw.__self__))
    report = json.loads(mine(config(sharpness=9.0)).read_text())
    drawn, chosen = seen[0].poses.chance, report["poses"]
    wanted = chances(np.array(report["difficulty"]), np.array(report["labels"]), 9.0)
    np.testing.assert_allclose(drawn[chosen], wanted)
    assert np.delete(drawn, chosen).max() == 0
    assert seen[0].recipe.close > 0, "the shards hold all framings"


def test_no_garments_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "shop_tops", lambda data, part: [])
    with pytest.raises(DataError, match="no usable garment of part 'train'"):
        mine(MineConfig(data=tmp_path, out=Path(tmp_path / "out")))
    assert not (tmp_path / "out").exists()
