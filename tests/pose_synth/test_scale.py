"""Samples on canvases of twice the size, for training at 512x384."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from dmvton.dataset import TryOnDataset
from dmvton.errors import UsageError
from dmvton.shards import ShardReader
from pose_synth.build import BuildConfig, build
from pose_synth.persons import odd
from pose_synth.recipe import Generator, Recipe
from pose_synth.shards import ShardPlan, write
from tests.figures import LONGSLEEVE, TSHIRT, make_garment, make_outfit

TWICE = np.array([[2, 0, 0.5], [0, 2, 0.5]])
RECIPE = Recipe(real_target=0.5, real_input=0.3, painted_skin=0.9, sleeveless=0.2, cropped=0.2,
                sheer=0.2, off_shoulder=0.2, borrowed=0.6)  # fmt: skip


def large(picture):
    return cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)


def large_outfit(outfit):
    points = outfit.points.copy()
    points[:, :2] = points[:, :2] * 2 + 0.5
    region = large(outfit.region.astype(np.float32)) > 0.5
    parsing = np.repeat(np.repeat(outfit.parsing, 2, 0), 2, 1)
    worn = outfit.worn._replace(mesh=outfit.mesh.transform(TWICE))
    return replace(outfit, image=large(outfit.image), parsing=parsing, region=region,
                   points=points, worn=worn)  # fmt: skip


def large_garment(garment):
    names = ("image", "mask", "extended")
    pictures = {name: large(getattr(garment, name)) for name in names}
    return replace(garment, mesh=garment.mesh.transform(TWICE), **pictures)


@pytest.fixture(scope="module")
def generators():
    """Of the same people and garments, at scales 1 and 2."""
    outfits = [make_outfit("short", sleeve=0.4), make_outfit("long", sleeve=0.95, phase=1.0),
               make_outfit("other", sleeve=0.95, phase=2.0)]  # fmt: skip
    garments = [make_garment(TSHIRT, "t-shirt/a"), make_garment(LONGSLEEVE, "longsleeve/c", 60, 2)]
    twice = [large_outfit(o) for o in outfits], [large_garment(g) for g in garments]
    return Generator(outfits, garments, RECIPE), Generator(*twice, RECIPE)


def small(picture):
    return cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("seed", range(16))
def test_a_sample_of_twice_the_size_shows_the_same(generators, seed):
    one, two = (g.draw(np.random.default_rng(seed)) for g in generators)
    assert one.kind == two.kind and one.garment_key == two.garment_key
    assert two.person.shape == (672, 512, 3) and two.garment.shape == (640, 480, 3)
    assert two.flow.shape == (336, 256, 2)
    np.testing.assert_allclose(two.keypoints[:, :2], one.keypoints[:, :2] * 2 + 0.5, atol=1e-3)
    shown = one.garment_mask > 250  # around it, its colours go on, over whatever distance
    for name, where in (("person", ...), ("target", ...), ("garment", shown)):
        a, b = getattr(one, name).astype(int), small(getattr(two, name))
        assert np.abs(a - b)[where].mean() < 2.5, name
    for name in ("person_mask", "target_mask", "garment_mask"):
        a, b = getattr(one, name) > 127, small(getattr(two, name)) > 127
        assert (a & b).sum() > 0.95 * (a | b).sum() > 0, name
    inside = cv2.erode((one.target_mask > 250).astype(np.uint8), np.ones((9, 9))) > 0
    flow = [cv2.resize(s.flow.astype(np.float32) / 8, (256, 336)) for s in (one, two)]
    off = np.abs(flow[1] / 2 - 0.25 - flow[0])[inside]
    assert np.median(off) < 0.5  # garment pixels; the edges of a mesh are found on whole ones


def test_shards_of_twice_the_size_train_at_either(generators, tmp_path):
    for number, generator in enumerate(generators):
        write(ShardPlan(tmp_path / str(number), 4), generator.draw, {})
    ordinary, twice = (ShardReader(tmp_path / name)[0] for name in "01")
    assert (ordinary.crop_rows, twice.crop_rows) == (256, 512)
    assert ShardReader(tmp_path / "1", rows=256)[0].person.shape == (336, 256, 3)
    wanted = TryOnDataset([tmp_path / "0"], (256, 192))
    halved = TryOnDataset([tmp_path / "1"], (256, 192))
    whole = TryOnDataset([tmp_path / "1"], (512, 384))
    for index in range(4):
        a, b, c = wanted[index], halved[index], whole[index]
        assert c.person.shape == (3, 512, 384) and c.parsing.shape == (128, 96)
        np.testing.assert_allclose(a.keypoints, b.keypoints, atol=1e-3)
        np.testing.assert_allclose(b.keypoints, c.keypoints, atol=1e-3)
        assert (a.target_mask - b.target_mask).abs().mean() < 0.02


def test_what_has_no_larger_size_is_refused(tmp_path):
    for more in ({}, {"framing": 0.0, "rendered": 0.1}, {"framing": 0.0, "preset": "tiny"}):
        with pytest.raises(UsageError, match="scale is 2"):
            build(BuildConfig(tmp_path / "data", tmp_path / "out", scale=2.0, **more))
    assert not (tmp_path / "out").exists()


def test_kernels_keep_their_size_at_scale_1_and_stay_odd():
    assert [odd(n, 1.0) for n in (3, 5, 9)] == [3, 5, 9]
    assert [odd(n, 2.0) for n in (3, 5, 9)] == [5, 9, 17]
