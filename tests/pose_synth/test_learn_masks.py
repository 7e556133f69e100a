"""Training of the garment mask on real photos: what it is shown, and that it learns."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dmvton.errors import DataError
from dmvton.student.config import StudentConfig
from dmvton.student.encoders import GarmentEncoder
from pose_synth import learn_masks
from pose_synth.drawn import draw_garments
from pose_synth.learn_masks import (
    Source,
    compose,
    load_sources,
    mask_loss,
    on_sheet,
    report,
    source_of,
    train_masks,
)
from tests.samples import pattern

SIZE = (64, 48)


def a_source(seed=0):
    """A red garment on green, with a strip of something beside it."""
    image = np.full((128, 96, 3), (20, 200, 30), np.uint8)
    mask = np.zeros((128, 96), np.uint8)
    cv2.ellipse(mask, (48, 65), (28, 35), 0, 0, 360, 255, -1)
    image[mask > 0] = (220, 30, 20)
    return Source(image, mask, [pattern((96, 24), 40, seed)])


def test_a_composed_mask_lies_on_the_garment():
    source = a_source()
    plain = source._replace(image=cv2.merge([source.mask] * 3))
    rng = np.random.default_rng(0)
    shown = 0
    for _ in range(40):
        photo, mask = compose(rng, plain, source.strips, SIZE)
        assert photo.shape == (*SIZE, 3) and mask.shape == SIZE
        assert photo.dtype == mask.dtype == np.float32
        assert 0 <= photo.min() and photo.max() <= 1 and 0.05 < mask.mean() < 0.9
        inside, outside = (photo.mean(2)[m] for m in (mask > 0.99, mask < 0.01))
        shown += inside.std() < outside.std() + 0.05
    assert shown > 30, "the garment is of one colour, what it lies on is not"


def smooth_walls(source, draws=40):
    """How many of the composed photos lie before something without texture."""
    rng, count = np.random.default_rng(0), 0
    for _ in range(draws):
        photo, mask = compose(rng, source, source.strips, SIZE)
        away = cv2.dilate((mask > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
        steps = np.abs(np.diff(photo, axis=1)).max(2)[away[:, 1:] & away[:, :-1]]
        count += steps.size > 50 and np.quantile(steps, 0.9) < 0.01
    return count


def test_some_garments_hang_before_a_plain_wall(monkeypatch):
    source = a_source()
    source.image[source.mask == 0] = pattern((96, 128), 8)[source.mask == 0]
    monkeypatch.setattr(learn_masks, "STUDIO", 0.0)
    floors = smooth_walls(source)
    monkeypatch.setattr(learn_masks, "STUDIO", 1.0)
    assert smooth_walls(source) > floors + 8


def test_tops_without_sleeves_are_added(monkeypatch):
    tops = draw_garments(12, 0)
    monkeypatch.setattr(learn_masks, "shop_tops", lambda data, part, **_: tops)
    plain = load_sources(Path(), ("train",))
    more = load_sources(Path(), ("train",), 1.0)
    assert (len(plain), len(more)) == (12, 24)
    for whole, cut in zip(plain, more[12:], strict=True):
        assert 0 < (cut.mask > 127).sum() < (whole.mask > 127).sum()
    some = load_sources(Path(), ("train",), 0.5)
    assert 12 < len(some) < 24


def test_a_sheet_lies_about_the_garment_and_ends_in_the_picture():
    share = np.zeros((128, 96), np.float32)
    share[44:84, 33:63] = 1
    ground = np.zeros((128, 96, 3), np.float32)
    strips = [np.full((40, 40, 3), 255, np.uint8)]
    ended = 0
    for seed in range(20):
        found = on_sheet(np.random.default_rng(seed), ground, strips, share)
        assert found.shape == ground.shape and found.dtype == np.float32
        covered = found.max(2) > 0
        assert covered[64, 48], "the garment's middle"
        ended += not covered[0].any() and not covered[:, 0].any()
    assert ended > 10


def test_what_lies_between_sleeve_and_torso_is_no_garment():
    garment = draw_garments(1, 0)[0]
    image = np.full((512, 384, 3), (60, 60, 200), np.uint8)  # BGR
    mask = np.zeros((512, 384), np.float32)
    mask[100:400, 100:300] = 1
    image[mask > 0] = (90, 90, 90)
    image[150:400, 250:258] = (60, 60, 200)  # a slit, open below
    garment.image, garment.mask = image, mask
    source = source_of(garment)
    assert source.mask[200:390, 252:256].max() == 0
    assert source.mask[200:390, 120:240].min() == 255
    np.testing.assert_array_equal(source.image, image[..., ::-1])


def test_a_strip_shows_texture_and_no_letterbox_bar():
    garment = draw_garments(1, 0)[0]
    garment.mask = np.zeros((512, 384), np.float32)
    garment.mask[200:400, 100:300] = 1
    photo = pattern((384, 412), 40, 1)
    garment.image = np.vstack([np.repeat(photo[:1], 100, 0), photo])  # rows repeated above
    strips = source_of(garment).strips
    assert len(strips) == 4
    for strip in strips:
        assert min(strip.shape[:2]) >= 0.12 * 384
        assert not (strip == photo[0, 0]).all(2).any(0).all(), "nothing of the bar"
        assert (np.abs(np.diff(strip.astype(int), axis=0)).mean((1, 2)) > 0.3).all()
    garment.image = np.full((512, 384, 3), 90, np.uint8)
    assert source_of(garment).strips == []


def test_the_loss_is_least_where_the_mask_is_right():
    mask = torch.zeros(2, 1, 8, 6)
    mask[..., 2:6, 2:4] = 1
    right, wrong = (mask - 0.5) * 20, (0.5 - mask) * 20
    assert mask_loss(right, mask) < 0.15 < mask_loss(torch.zeros_like(mask), mask)
    assert mask_loss(torch.zeros_like(mask), mask) < mask_loss(wrong, mask)


def test_training_changes_the_mask_alone_and_helps(capsys):
    torch.manual_seed(0)
    encoder = GarmentEncoder(StudentConfig(width=16, thin=8)).eval()
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    sources = [a_source(seed) for seed in range(3)]
    report(encoder, sources, SIZE)
    train_masks(encoder, sources, SIZE, 80, 0)
    report(encoder, sources, SIZE)
    changed = {k for k, v in encoder.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and all(k.startswith("mask.") for k in changed)
    told = [line for line in capsys.readouterr().out.splitlines() if "held-out" in line]
    first, last = (float(line.split("mask ")[1].split(";")[0]) for line in told)
    assert last > 0.8 > first


def test_without_background_there_is_nothing_to_lay_others_on():
    encoder = GarmentEncoder(StudentConfig(width=16, thin=8, pretrained=False))
    with pytest.raises(DataError, match="1 garments, none with background"):
        train_masks(encoder, [a_source()._replace(strips=[])], SIZE, 1, 0)
