import cv2
import numpy as np
import pytest
import torch

from pose_synth.flat import flat_mesh, mesh_iou
from pose_synth.garment_net import HEAT, LandmarkNet, find, heat, loss, read_points, train
from pose_synth.garments import Garment, GarmentGates, garment_key, load_garment, load_garments
from pose_synth.laid import SIZE, draw_laid, lay, source
from pose_synth.landmarks import (
    NAMES,
    from_mesh,
    landmark_mesh,
    load_landmarks,
    mirrored,
    save_landmarks,
)
from pose_synth.learn import LearnedGates, reason_against
from pose_synth.outlines import load_rejects, mask_outline
from tests.figures import LONGSLEEVE, TSHIRT, filled, make_garment, polygon, shop_photo
from tests.figures import mirrored as mirrored_corners

# A long sleeve that lies on the torso's side: no armpit is seen.
HANGING = {"neck": (94, 32), "shoulder": (62, 40), "cuff_out": (34, 236), "cuff_in": (70, 240),
           "armpit": (66, 104), "hem": (72, 290)}  # fmt: skip


def landmarks_of(corners):
    """(12, 2) in the order of NAMES from the corners of a left half."""
    half = [corners[name] for name in NAMES]
    return np.float64(half + mirrored_corners(half))


def union(corners):
    """Mask of a torso and two sleeves that overlap."""
    torso = [corners[n] for n in ("neck", "shoulder", "armpit", "hem")]
    sleeve = [corners[n] for n in ("shoulder", "cuff_out", "cuff_in", "armpit")]
    mask = filled(np.float64(torso + mirrored_corners(torso)[::-1]))
    for part in (sleeve, mirrored_corners(sleeve)):
        mask |= filled(np.float64(part))
    return mask


@pytest.mark.parametrize("corners", [TSHIRT, LONGSLEEVE])
def test_landmarks_of_a_mesh_give_the_mesh_back(corners):
    mask = filled(polygon(corners))
    mesh, _ = flat_mesh(mask)
    again = landmark_mesh(from_mesh(mesh), mask_outline(mask))
    for a, b in zip(mesh, again, strict=True):
        assert np.linalg.norm(a - b, axis=2).mean() < 3


def test_hidden_armpits_need_the_landmarks():
    mask = union(HANGING)
    found = flat_mesh(mask)
    assert found is None or np.linalg.norm(from_mesh(found[0])[4] - HANGING["armpit"]) > 30
    mesh = landmark_mesh(landmarks_of(HANGING), mask_outline(mask))
    assert mesh_iou(mesh, mask) > 0.93
    assert np.linalg.norm(mesh.torso[-1, 0] - HANGING["hem"]) < 4
    assert np.linalg.norm(mesh.left[-1, 0] - HANGING["cuff_out"]) < 4
    assert mesh.sleeve_ratio() > 0.6


def test_seams_follow_the_outline_only_where_it_leads():
    """A landmark far from the outline stays where it was found."""
    mask = filled(polygon(TSHIRT))
    points = landmarks_of(TSHIRT)
    points[4] += (30, 10)  # an armpit inside the torso
    mesh = landmark_mesh(points, mask_outline(mask))
    assert np.linalg.norm(mesh.left[0, -1] - points[4]) < 1e-6


def test_mirror_twice_is_nothing():
    points = landmarks_of(TSHIRT)
    assert np.array_equal(mirrored(mirrored(points, 240), 240), points)
    assert np.allclose(mirrored(points, 240), points)  # the drawn garment is symmetrical


def test_bank_round_trip(tmp_path):
    found = {"b/2": (landmarks_of(TSHIRT), 0.05), "a/1": (landmarks_of(LONGSLEEVE), 0.1)}
    save_landmarks(tmp_path / "bank.npz", found)
    again = load_landmarks(tmp_path / "bank.npz")
    assert list(again) == ["a/1", "b/2"]
    for key, (points, spread) in found.items():
        assert np.abs(again[key][0] - points).max() < 0.3
        assert again[key][1] == pytest.approx(spread, abs=1e-3)
    assert load_landmarks(tmp_path / "none.npz") == {}


def test_found_landmarks_open_the_bank(tmp_path, monkeypatch):
    photo = np.full((320, 240, 3), 250, np.uint8)
    photo[union(HANGING)] = (60, 90, 200)
    path = tmp_path / "outwear" / "a.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), photo)
    outline = mask_outline(union(HANGING))
    monkeypatch.setattr("pose_synth.garments.load_outlines", lambda: {"outwear/a": outline})
    points = {"outwear/a": landmarks_of(HANGING)}
    (without,) = load_garments([path])
    (found,) = load_garments([path], landmarks=points)
    assert without == ("outwear/a", "no landmarks")
    assert isinstance(found, Garment) and found.misfit < 0.07
    rejects = tmp_path / "rejects.txt"
    rejects.write_text("outwear/a sleeve folded\n")
    monkeypatch.setattr("pose_synth.garments.load_rejects", lambda: load_rejects(rejects))
    assert list(load_garments([path], landmarks=points)) == [("outwear/a", "sleeve folded")]


def test_committed_bank_is_in_order():
    bank, rejects = load_landmarks(), load_rejects()
    assert len(bank) > 250 and not set(bank) & set(rejects)
    assert all(points.shape == (12, 2) and 0 <= spread < 0.2 for points, spread in bank.values())


@pytest.mark.parametrize("corners", [TSHIRT, LONGSLEEVE])
def test_laid_garments_know_their_landmarks(corners):
    one = source(make_garment(corners))
    for seed in range(6):
        laid = draw_laid(np.random.default_rng(seed), one, as_is=0.0)
        again = draw_laid(np.random.default_rng(seed), one, as_is=0.0)
        assert all(np.array_equal(a, b) for a, b in zip(laid, again, strict=True))
        assert laid.image.shape == (SIZE[1], SIZE[0], 3) and laid.mask.max() == 1
        near = cv2.dilate(laid.mask, np.ones((5, 5), np.uint8))
        x, y = np.round(laid.points).astype(int).T
        assert (near[y, x] == 1).all()
        shape = lay(np.random.default_rng(seed), one.mesh)
        assert np.allclose(shape.left[0], one.mesh.left[0])
        drop = shape.left[-1].mean(0) - shape.left[0].mean(0)
        assert drop[1] > 0.4 * np.linalg.norm(drop)  # it hangs


def test_heat_is_read_back():
    rng = np.random.default_rng(0)
    points = rng.uniform((6, 6), (SIZE[0] - 7, SIZE[1] - 7), (12, 2))
    chance = heat(points)
    assert chance.shape == (12, HEAT[0] * HEAT[1]) and torch.allclose(chance.sum(1), torch.ones(12))
    logits = torch.log(chance).reshape(1, 12, *HEAT)
    logits = torch.cat([logits, torch.zeros(1, 1, *HEAT)], 1)
    assert np.abs(read_points(logits)[0] - points).max() < 0.7


def test_network_learns_one_garment():
    torch.manual_seed(0)
    one, net = source(make_garment(TSHIRT)), LandmarkNet()
    train(net, [one], 40, as_is=1.0, batch=8)
    laid = draw_laid(np.random.default_rng(9), one, as_is=1.0)
    found = find(net, laid.image, laid.mask * 255)
    torso = np.linalg.norm(laid.points[0] - laid.points[5])
    away = np.linalg.norm(found.points - laid.points, axis=1)
    untrained = find(LandmarkNet().eval(), laid.image, laid.mask * 255)
    assert np.median(away) < 0.2 * torso
    assert found.spread < untrained.spread
    assert set(loss(torch.zeros(1, 13, *HEAT), heat(laid.points)[None], torch.zeros(1, *HEAT))) == {
        "points", "mask"}  # fmt: skip


def test_reasons_against_found_landmarks():
    gates, garment = LearnedGates(), make_garment(TSHIRT)
    guess = cv2.resize(filled(polygon(TSHIRT)).astype(np.uint8), SIZE) > 0
    good = source(garment)
    mask = filled(polygon(TSHIRT))
    found = find(LandmarkNet().eval(), good.image, guess.astype(np.uint8) * 255)
    sure = found._replace(points=good.points, spread=0.01, mask=guess.astype(np.float32))
    whole = lambda: (garment.mesh, mask)  # noqa: E731
    assert reason_against(sure, guess, whole, gates) is None
    assert reason_against(sure._replace(spread=0.5), guess, whole, gates) == "landmarks unsure"
    assert reason_against(sure, guess & False, whole, gates) == "mask size"
    assert reason_against(sure._replace(mask=sure.mask * 0), guess, whole, gates) == (
        "masks disagree"
    )
    short = garment.mesh.left[:1] + (garment.mesh.left - garment.mesh.left[:1]) * 0.2
    uneven = lambda: (garment.mesh._replace(left=short), mask)  # noqa: E731
    assert reason_against(sure, guess, uneven, LearnedGates(min_iou=0.5)) == "sleeves differ"
    assert reason_against(sure, guess, uneven, LearnedGates(min_iou=0.99)) == "mesh misfit"


def test_photo_with_landmarks_needs_an_outline(tmp_path):
    path = tmp_path / "shirt" / "a.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), shop_photo(TSHIRT))
    points = landmarks_of(TSHIRT)
    assert garment_key(path) == "shirt/a"
    empty = np.zeros((0, 2), np.int16)
    assert load_garment(path, 1.0, GarmentGates(), empty, points) == "no outline"
