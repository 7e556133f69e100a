import cv2
import numpy as np
import pytest

from pose_synth.flat import flat_mesh
from pose_synth.garments import (
    CANVAS,
    Garment,
    GarmentGates,
    canvas_matrix,
    extend_colours,
    fold_share,
    garment_key,
    garment_paths,
    load_garment,
    load_garments,
    reject_reason,
)
from pose_synth.outlines import load_outlines, mask_outline, save_outlines
from pose_synth.strips import StripMesh
from tests.figures import LONGSLEEVE, TSHIRT, filled, mirrored, polygon, shop_photo

GATES = GarmentGates()


def store(folder, photo, kind="t-shirt", name="a"):
    path = folder / kind / f"{name}.png"  # lossless, so that edges are where they were drawn
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), photo)
    return path


@pytest.mark.parametrize("corners", [TSHIRT, LONGSLEEVE])
@pytest.mark.parametrize("zoom", [1.0, 2.5])
def test_drawn_garment_is_taken_with_its_mesh(tmp_path, corners, zoom):
    photo = cv2.resize(shop_photo(corners), None, fx=zoom, fy=zoom)
    found = load_garment(store(tmp_path, photo), 1.0, GATES)
    assert isinstance(found, Garment), found
    assert found.key == "t-shirt/a" and found.kind == "t-shirt"
    assert found.image.shape == (320, 240, 3) and found.mask.shape == (320, 240)
    mask = filled(polygon(corners))
    assert ((found.mask > 0.5) & mask).sum() / ((found.mask > 0.5) | mask).sum() > 0.93
    assert np.linalg.norm(found.mesh.torso[-1, 0] - corners["hem"]) < 8
    colour = found.image[150:250, 100:140].reshape(-1, 3).mean(0)
    assert np.abs(colour - (60, 90, 200)).max() < 3


@pytest.mark.parametrize("corners", [TSHIRT, LONGSLEEVE])
@pytest.mark.parametrize("rows", [320, 533, 800])
def test_background_does_not_bleed_into_the_garment(tmp_path, corners, rows):
    """What a sample just beyond the edge would see is the garment's colour."""
    zoom = rows / 320
    photo = cv2.resize(shop_photo(corners), None, fx=zoom, fy=zoom)
    found = load_garment(store(tmp_path, photo), 1.0, GATES)
    rim = (found.mask < 0.2) & (cv2.dilate(found.mask, np.ones((9, 9))) > 0.9)
    error = np.abs(found.extended[rim].astype(int) - (60, 90, 200)).max(1)
    assert (error > 30).mean() < 0.1


def test_saved_outline_takes_the_place_of_the_search(tmp_path):
    path = store(tmp_path, np.full((320, 240, 3), 128, np.uint8))
    assert isinstance(load_garment(path, 1.0, GATES), str)
    outline = mask_outline(filled(polygon(TSHIRT)))
    found = load_garment(path, 1.0, GATES, outline)
    assert isinstance(found, Garment)


def test_photos_that_are_no_use_say_why(tmp_path):
    bad = store(tmp_path, shop_photo(TSHIRT), name="bad")
    bad.write_bytes(b"no picture")
    blank = store(tmp_path, np.full((320, 240, 3), 200, np.uint8), name="blank")
    good = store(tmp_path, shop_photo(TSHIRT), name="good")
    found = list(load_garments([bad, blank, good]))
    assert found[0] == ("t-shirt/bad", "unreadable")
    assert found[1][0] == "t-shirt/blank" and isinstance(found[1][1], str)
    assert isinstance(found[2], Garment)


def mesh_of(corners, right=None):
    half = list(corners.values())
    other = mirrored((right or corners).values())
    middle = (119.5, half[0][1] + 10)
    return flat_mesh(filled(np.float64(half + other[::-1] + [middle])))


def test_reasons():
    mask = filled(polygon(TSHIRT))
    found = flat_mesh(mask)
    assert reject_reason(mask, found, GATES) is None
    assert reject_reason(mask, None, GATES) == "no landmarks"
    assert reject_reason(mask, (found[0], 0.2), GATES) == "mesh misfit"
    small = np.zeros((900, 900), bool)
    small[:320, :240] = mask
    assert reject_reason(small, found, GATES) == "mask size"
    folded = found[0]._replace(torso=found[0].torso.copy())
    folded.torso[6:9] = folded.torso[6:9][::-1]
    assert reject_reason(mask, (folded, 0.01), GATES) == "mesh folds"
    short = found[0].left[:1] + (found[0].left - found[0].left[:1]) * 0.3
    assert reject_reason(mask, (found[0]._replace(left=short), 0.01), GATES) == "sleeves differ"
    deep = found[0]._replace(torso=found[0].torso.copy())
    deep.torso[4:] = deep.torso[4:] * 0.3 + deep.torso[4] * 0.7
    assert reject_reason(mask, (deep, 0.01), GATES) == "armpit hidden"


def test_fold_share_of_a_plain_grid_is_nothing():
    y, x = np.mgrid[:14, :9].astype(float)
    torso = np.stack([x, y], 2)
    assert fold_share(StripMesh(torso, None, None)) == 0
    assert fold_share(StripMesh(torso[:, ::-1], None, None)) == 0  # a mirror image is no fold
    torso[5, 4] += 3
    assert fold_share(StripMesh(torso, None, None)) > 0.01


@pytest.mark.parametrize("shape", [(320, 240), (640, 480), (300, 600), (900, 300)])
def test_canvas_holds_the_whole_photo_in_the_middle(shape):
    matrix = canvas_matrix(shape, 1.0)
    corners = np.array([(-0.5, -0.5), (shape[1] - 0.5, shape[0] - 0.5)])
    top, bottom = corners @ matrix[:, :2].T + matrix[:, 2]
    assert np.allclose(top + bottom + 1, CANVAS)  # as much room on either side
    assert np.isclose(min(top), -0.5) and (top > -0.51).all()


def test_colours_go_on_beyond_the_edge():
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, :15] = 200
    mask = np.zeros((20, 30), bool)
    mask[:, :15] = True
    out = extend_colours(image, mask)
    assert (out == 200).all()


def test_outlines_round_trip(tmp_path):
    masks = {"t-shirt/b": filled(polygon(TSHIRT)), "shirt/a": filled(polygon(LONGSLEEVE))}
    outlines = {key: mask_outline(mask) for key, mask in masks.items()}
    outlines["t-shirt/none"] = mask_outline(np.zeros((5, 5), bool))
    save_outlines(tmp_path / "bank.npz", outlines)
    found = load_outlines(tmp_path / "bank.npz")
    assert list(found) == sorted(outlines)
    assert all(np.array_equal(found[key], outlines[key]) for key in outlines)
    for key, mask in masks.items():
        again = filled(found[key])
        assert (again & mask).sum() / (again | mask).sum() > 0.98
    assert load_outlines(tmp_path / "nothing.npz") == {}
    assert not list(tmp_path.glob("*.part*"))


def test_outline_is_that_of_the_largest_part():
    mask = filled(polygon(TSHIRT))
    speck = mask.copy()
    speck[300:310, 220:230] = True
    assert np.array_equal(mask_outline(speck), mask_outline(mask))


def test_paths_and_keys(tmp_path):
    for kind, name in (("t-shirt", "b"), ("t-shirt", "a"), ("shirt", "c"), ("hat", "d")):
        (tmp_path / kind).mkdir(exist_ok=True)
        (tmp_path / kind / f"{name}.jpg").touch()
    keys = [garment_key(p) for p in garment_paths(tmp_path)]
    assert keys == ["t-shirt/a", "t-shirt/b", "shirt/c"]
