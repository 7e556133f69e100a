from pathlib import Path

import cv2
import numpy as np
import pytest

from dmvton.parsing import Parsing
from pose_synth.drawn import draw_garments
from pose_synth.persons import CANVAS
from pose_synth.rendered import RenderedGenerator, RenderedRecipe

ASSETS = Path(__file__).parents[3] / "shared" / "data" / "makehuman" / "base"
needs_meshes = pytest.mark.skipif(
    not (ASSETS / "clothes").is_dir(),
    reason="no ../shared/data/makehuman; clone makehumancommunity/makehuman-assets there",
)


@pytest.fixture(scope="module")
def generator():
    return RenderedGenerator(draw_garments(4), ASSETS)


@pytest.fixture(scope="module")
def samples(generator):
    return [generator.draw(np.random.default_rng([0, i])) for i in range(6)]


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2))


def unshaded(garments):
    """Draws in flat light and hips-up framing, which keep the garment's own colours."""
    recipe = RenderedRecipe(flat_light=True, close=0, full=0)
    generator = RenderedGenerator(garments, ASSETS, recipe)
    for i in range(8):
        sample = generator.draw(np.random.default_rng([1, i]))
        inside = cv2.erode((sample.target_mask > 250).astype(np.uint8), np.ones((7, 7))) > 0
        yield sample, cv2.resize(sample.flow.astype(np.float32) / 8, CANVAS), inside


@needs_meshes
def test_flow_reproduces_the_unshaded_garment():
    garments = draw_garments(4)
    by_key, values = {g.key: g for g in garments}, []
    for sample, flow, inside in unshaded(garments):
        cloth = by_key[sample.garment_key].extended
        warped = cv2.remap(cloth, flow[..., 0], flow[..., 1], cv2.INTER_LINEAR)
        values.append(psnr(warped[inside], sample.target[inside]))
    assert np.median(values) > 28, values


@needs_meshes
def test_flow_is_where_the_colour_came_from():
    """Garments whose colour is their position: the target then shows the true flow."""
    garments = draw_garments(4)
    height, width = garments[0].extended.shape[:2]
    y, x = np.mgrid[:height, :width]
    ramp = np.dstack([x / width * 255, y / height * 255, 0 * x]).astype(np.uint8)
    for garment in garments:
        garment.extended = ramp
    for sample, flow, inside in unshaded(garments):
        seen = sample.target[inside][:, :2] * (width / 255, height / 255)
        away = np.abs(seen - flow[inside]).max(1)
        assert np.median(away) < 1.5  # the colours are rounded to 1.3 pixels
        assert (away > 5).mean() < 0.06  # edges between sleeve and torso


@needs_meshes
def test_same_seed_same_sample(generator, samples):
    again = generator.draw(np.random.default_rng([0, 2]))
    for a, b in zip(again, samples[2], strict=True):
        np.testing.assert_array_equal(a, b)


@needs_meshes
def test_different_seeds_differ(samples):
    assert (samples[0].target != samples[1].target).mean() > 0.3


@needs_meshes
def test_shapes_and_types(samples):
    for s in samples:
        assert s.kind == "A"
        assert s.person.shape == s.target.shape == (CANVAS[1], CANVAS[0], 3)
        assert s.flow.shape == (CANVAS[1] // 2, CANVAS[0] // 2, 2) and s.flow.dtype == np.int16
        assert {a.dtype for a in s[:7]} == {np.dtype(np.uint8)}
        assert s.keypoints.shape == (13, 3)


@needs_meshes
def test_mask_and_parsing_agree(samples):
    for s in samples:
        upper = s.parsing == Parsing.UPPER
        sure = (s.target_mask > 250) | (s.target_mask < 5)
        assert (upper == (s.target_mask > 127))[sure].mean() > 0.995
        assert upper.mean() > 0.01


@needs_meshes
def test_only_the_clothes_change(samples):
    """Where neither picture shows a top or skin that a top might bare, both are the same."""
    for s in samples:
        dress = cv2.dilate(s.target_mask | s.person_mask, np.ones((25, 25), np.uint8)) > 0
        same = ~dress & np.isin(s.parsing, (Parsing.BACKGROUND, Parsing.HAIR, Parsing.SHOES))
        assert same.any()
        away = np.abs(s.person.astype(int) - s.target.astype(int)).max(2)[same]
        assert (away > 3).mean() < 0.06


@needs_meshes
def test_visible_keypoints_lie_on_the_person(samples):
    for s in samples:
        person = cv2.dilate((s.parsing != Parsing.BACKGROUND).astype(np.uint8), np.ones((5, 5)))
        seen = s.keypoints[s.keypoints[:, 2] > 0]
        assert len(seen) >= 5
        x, y = np.round(seen[:, :2]).astype(int).T
        assert person[y, x].mean() > 0.95


@needs_meshes
def test_flow_points_into_the_garment(samples):
    for s in samples:
        half = cv2.resize(s.target_mask, (s.flow.shape[1], s.flow.shape[0])) > 250
        x, y = (s.flow[half].astype(float) / 8).T
        i = np.clip(np.round(y), 0, s.garment_mask.shape[0] - 1).astype(int)
        j = np.clip(np.round(x), 0, s.garment_mask.shape[1] - 1).astype(int)
        assert (cv2.dilate(s.garment_mask, np.ones((9, 9)))[i, j] > 127).mean() > 0.97
