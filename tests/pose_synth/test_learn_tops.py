"""The head that tells tops from trousers, skirts and people."""

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dmvton import TryOn
from dmvton.errors import DataError, GarmentError
from dmvton.networks import load_network
from dmvton.runtime import DEFAULT_WEIGHTS
from pose_synth import split
from pose_synth.garments import garment_key, garment_paths
from pose_synth.learn_heads import train_heads
from pose_synth.learn_tops import fit, fit_tops
from tests.pose_synth.test_real import DATA

SIZE = (256, 192)
SHIRT = [(60, 40), (90, 30), (110, 30), (140, 40), (185, 110), (165, 125), (140, 95), (142, 220),
         (58, 220), (60, 95), (35, 125), (15, 110)]  # fmt: skip
TROUSERS = [(65, 20), (135, 20), (150, 235), (112, 235), (100, 80), (88, 235), (50, 235)]


def test_fit_finds_what_divides():
    generator = torch.Generator().manual_seed(0)
    features = 5 + 0.1 * torch.randn(200, 6, generator=generator)
    is_top = (features[:, 2] > 5).float()
    weight, bias = fit(features, is_top)
    assert weight.shape == (1, 6) and bias.shape == (1,)
    found = (features @ weight.T + bias)[:, 0] > 0
    assert (found == (is_top > 0)).float().mean() > 0.97
    assert weight[0].argmax() == 2 and weight[0, 2] > 4 * weight[0, [0, 1, 3, 4, 5]].abs().max()


def draw(folder, kind, corners, count):
    """Photos of one shape in several colours, a little moved, with room beside it."""
    (folder / kind).mkdir(parents=True)
    rng = np.random.default_rng(len(corners))
    for number in range(count):
        photo = rng.integers(200, 250, (256, 200, 3), np.uint8)  # a wall with some grain
        moved = np.array(corners) * 3 // 4 + (45, 30) + rng.integers(-6, 7, 2)
        cv2.fillPoly(photo, [moved], rng.integers(20, 190, 3).tolist(), cv2.LINE_AA)
        cv2.imwrite(str(folder / kind / f"{number}.png"), photo)
        (folder / kind / f"{number}.png").rename(folder / kind / f"{number}.jpg")


@pytest.mark.parametrize("steps", [2, 0])
def test_heads_are_trained_and_nothing_else_changes(tmp_path, steps):
    train = tmp_path / "clothing" / "train"
    draw(train, "t-shirt", SHIRT, 8)
    draw(train, "pants", TROUSERS, 8)
    out = tmp_path / "out"
    train_heads(DEFAULT_WEIGHTS, tmp_path, out, SIZE, steps, 0)
    before, after = (load_file(d / "model.safetensors") for d in (DEFAULT_WEIGHTS, out))
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert before.keys() == after.keys()
    assert all(k.startswith(("garment.top.", "garment.mask.")) for k in changed)
    assert "garment.top.weight" in changed
    assert (
        ("garment.mask.out.weight" in changed) == any("mask" in k for k in changed) == (steps > 0)
    )
    assert load_network("student", out)


def test_tops_alone_teach_nothing(tmp_path):
    draw(tmp_path / "clothing" / "train", "t-shirt", SHIRT, 3)
    encoder = load_network("student", DEFAULT_WEIGHTS).garment
    with pytest.raises(DataError, match="3 photos for training, 3 of them of tops"):
        fit_tops(encoder, tmp_path, SIZE)


def refused(engine, kind, count=30):
    """How many of the first held-out photos of a class the released weights do not wear."""
    paths = garment_paths(DATA / "clothing" / "train", (kind,))
    held = split.select([garment_key(p) for p in paths], "garments", "test")
    found = 0
    for path in [p for p in paths if garment_key(p) in set(held)][:count]:
        try:
            engine.garment(str(path))
        except GarmentError as error:
            assert "no top" in str(error)
            found += 1
    return found


@pytest.mark.skipif(not (DATA / "clothing/train").is_dir(), reason=f"no {DATA}/clothing/train")
def test_released_weights_refuse_held_out_trousers_and_no_shirts():
    engine = TryOn.load(threads=1)
    assert refused(engine, "pants") >= 27
    assert refused(engine, "t-shirt") == refused(engine, "longsleeve") == 0
