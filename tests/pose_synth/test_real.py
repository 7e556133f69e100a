"""The flow of samples made from real photos; needs the photo collections beside the checkout."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from dmvton.parsing import Parsing
from pose_synth import split
from pose_synth.build import shop_tops
from pose_synth.ccp import ClothingCoParsing
from pose_synth.garments import Garment, garment_paths, load_garments
from pose_synth.landmarks import load_landmarks
from pose_synth.outfit import outfit_of
from pose_synth.outlines import load_rejects
from pose_synth.persons import Person, load_persons
from pose_synth.pose import PoseBank
from pose_synth.recipe import Generator, Recipe
from pose_synth.sizes import is_long

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
if not (DATA / "ccp" / "photos").is_dir():
    DATA = ROOT / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not (DATA / "ccp" / "photos").is_dir(),
    reason="shared/data with ccp/ and clothing/train/ is not there",
)


@pytest.fixture(scope="module")
def source():
    return ClothingCoParsing(DATA / "ccp")


@pytest.fixture(scope="module")
def generator(source):
    keys = [k for k in split.select(source.ids(), "persons", "train") if source.has_parsing(k)][:40]
    people = [p for p in load_persons(source, PoseBank.load(), keys, 1.0) if isinstance(p, Person)]
    paths = garment_paths(DATA / "clothing/train", ("t-shirt",))[:12]
    paths += garment_paths(DATA / "clothing/train", ("longsleeve",))[:25]
    garments = [g for g in load_garments(paths) if isinstance(g, Garment)]
    assert len(people) >= 8 and len(garments) >= 5
    return Generator([outfit_of(p) for p in people], garments, Recipe(real_target=1.0))


def test_flat_garments_give_the_photographed_ones_back(generator):
    """Median PSNR of product D inside the garment, where it is seen: at least 24 dB."""
    found = []
    for i in range(16):
        sample = generator.draw(np.random.default_rng([7, i]))
        flow = cv2.resize(sample.flow.astype(np.float32) / 8, sample.target.shape[1::-1])
        warped = cv2.remap(sample.garment, flow[..., 0], flow[..., 1], cv2.INTER_LINEAR)
        seen = (sample.target_mask > 250) & (sample.parsing == Parsing.UPPER)
        error = (warped.astype(float) - sample.target)[seen]
        found.append(-10 * np.log10((error**2).mean() / 255**2))
    assert np.median(found) >= 24, np.round(found, 1)


def test_every_tag_of_the_collection_is_known(source):
    key = next(k for k in source.ids() if source.has_parsing(k))
    parsing = source.parsing(key, source.photo(key).shape[:2])
    assert {Parsing.BACKGROUND, Parsing.SKIN} <= set(np.unique(parsing))
    assert len(source.tags()) == 59


def test_committed_keypoints_belong_to_these_photos(source):
    poses = PoseBank.load()
    keys = source.ids()
    assert set(keys) >= set(poses.index)
    for key in keys[::150]:
        if key in poses.index:
            height, width = source.photo(key).shape[:2]
            points, score = poses.points(key)
            if score > 0.9:
                assert 0 < points[[11, 12, 23, 24], 0].mean() < width
                assert 0 < points[[11, 12, 23, 24], 1].mean() < height


def test_found_landmarks_add_garments_and_the_reject_list_takes_some():
    plain = {g.key: g for g in shop_tops(DATA, "val")}
    learned = {g.key: g for g in shop_tops(DATA, "val", learned=True)}
    added, gone = set(learned) - set(plain), set(plain) - set(learned)
    assert len(added) >= 3 and gone <= set(load_rejects())
    assert added <= set(load_landmarks())
    assert np.mean([is_long(learned[k]) for k in added]) > 0.3
    assert max(learned[k].misfit for k in added) < 0.15
