import json
import re

import cv2
import numpy as np
import pytest
from PIL import Image

from pose_synth.ccp import SourceError
from pose_synth.cli import main
from pose_synth.paired import KIND, PairedGenerator, load_pairs
from pose_synth.recipe import Recipe
from pose_synth.tryonset import TryOnSet, check
from tests.figures import TSHIRT, filled, make_outfit, person_points, polygon
from tests.tryonsets import FOLDERS, write_set


@pytest.fixture(params=FOLDERS)
def made(request, tmp_path):
    return request.param, write_set(tmp_path, request.param)


def place(root, layout, what, stem="000000_0"):
    """Path of a person's labels or keypoints."""
    person, cloth, _, labels, pose, after_labels, after_pose = FOLDERS[layout]
    stem = stem[:-2] if layout == "DressCode" else stem
    return {"labels": root / labels / f"{stem}{after_labels}.png",
            "pose": root / pose / f"{stem}{after_pose}.json",
            "photo": root / person / "000000_0.jpg",
            "cloth": root / cloth / "000000_1.jpg"}[what]  # fmt: skip


def test_reads_what_was_written(made):
    layout, root = made
    data, outfit = TryOnSet(root), make_outfit(phase=0)
    assert data.layout.name == layout
    assert data.ids() == ["000000_0", "000001_0"] and data.cloth("000000_0") == "000000_1"
    photo = data.photo("000000_0")
    assert np.abs(photo.astype(int) - outfit.image).mean() < 3
    assert np.array_equal(data.parsing("000000_0", photo.shape[:2]), outfit.parsing)
    points, score = data.points("000000_0")
    known = person_points()[:, 2] > 0
    wanted = np.flatnonzero(person_points()[:, :2].any(1) & known)
    assert score == 1 and np.abs(points[wanted, :2] - person_points()[wanted, :2]).max() < 0.01
    assert (np.delete(points, wanted, 0) == 0).all()
    garment, mask, path = data.garment("000000_0")
    truth = filled(polygon(TSHIRT))
    assert path.stem == "000000_1" and garment.shape == (320, 240, 3)
    assert (mask & truth).sum() / (mask | truth).sum() > 0.97


def test_pairs_make_samples_with_the_flow_of_the_two_meshes(made):
    _, root = made
    banks = load_pairs(TryOnSet(root))
    assert len(banks.outfits) == 2 and len(banks.garments) == 2 and banks.rejects == {}
    generator = PairedGenerator(banks, [], Recipe(real_target=1.0))
    sample = generator.draw(np.random.default_rng(0))
    own = next(o for o in banks.outfits if o.key == sample.person_key)
    assert sample.kind == KIND and np.array_equal(sample.target, own.image)
    shop = banks.garments[own.key]
    assert np.array_equal(sample.garment, shop.image)
    # Vertices of the worn mesh point at the same vertices of the flat one.
    inner = own.mesh.torso[3:-2, 2:-2].reshape(-1, 2)
    at = np.round(inner / 2 - 0.25).astype(int)
    flow = sample.flow[at[:, 1], at[:, 0]] / 8
    assert np.abs(flow - shop.mesh.torso[3:-2, 2:-2].reshape(-1, 2)).max() < 4


def test_unknown_folder_says_what_was_expected(tmp_path):
    with pytest.raises(SourceError, match="no known layout.*VITON-HD.*DressCode"):
        TryOnSet(tmp_path)


def test_lists_of_pairs_that_are_wrong_name_the_line(made):
    layout, root = made
    path = next(root.rglob("train_pairs.txt"))
    path.write_text("a.jpg b.jpg\n../../x.jpg b.jpg\n")
    with pytest.raises(SourceError, match=r"train_pairs.txt, line 2.*expected two file names"):
        TryOnSet(root)
    path.write_text("\n")
    with pytest.raises(SourceError, match="lists no pairs"):
        TryOnSet(root)
    path.unlink()
    with pytest.raises(SourceError, match="no list of pairs at .*train_pairs.txt"):
        TryOnSet(root)


def spoil_json(path):
    path.write_text('{"people": [{"pose": 1}]}')


def spoil_nobody(path):
    path.write_text('{"people": []}')


def spoil_count(path):
    path.write_text(json.dumps({"people": [{"pose_keypoints_2d": [1.0] * 21}]}))


def spoil_bytes(path):
    path.write_bytes(b"no picture")


def spoil_size(path):
    Image.fromarray(np.zeros((10, 12), np.uint8)).save(path)


def spoil_colours(path):
    Image.fromarray(np.zeros((336, 256, 3), np.uint8)).save(path)


def spoil_values(path):
    Image.fromarray(np.full((336, 256), 99, np.uint8)).save(path)


FAULTS = [("pose", spoil_json, "no keypoints in"), ("pose", spoil_nobody, "no person"),
          ("pose", spoil_count, "holds 7 keypoints, expected"), ("labels", spoil_bytes, "no label"),
          ("labels", spoil_size, r"labels are \(10, 12\), the photo is \(336, 256\)"),
          ("labels", spoil_colours, "expected a channel"),
          ("labels", spoil_values, "holds label 99, expected under"),
          ("photo", spoil_bytes, "no picture"), ("cloth", spoil_bytes, "no picture")]  # fmt: skip


@pytest.mark.parametrize("what, spoil, message", FAULTS, ids=[f[1].__name__ for f in FAULTS])
def test_faulty_file_is_named_and_its_person_left_out(tmp_path, capsys, what, spoil, message):
    root = write_set(tmp_path, "VITON-HD")
    path = place(root, "VITON-HD", what)
    spoil(path)
    check(root)
    out = capsys.readouterr().out
    assert path.name in out and "2 pairs, 1 with a fault" in out
    banks = load_pairs(TryOnSet(root))
    (reason,) = banks.rejects.values()
    assert path.name in reason
    assert reason.startswith("source: ")
    assert re.search(message, out)
    assert len(banks.outfits) == (2 if what == "cloth" else 1)


def test_missing_file_is_named(tmp_path, capsys):
    root = write_set(tmp_path, "DressCode")
    path = place(root, "DressCode", "labels")
    path.unlink()
    check(root)
    assert f"no label map at {path}" in capsys.readouterr().out


def test_mask_of_another_size_is_refused(tmp_path):
    root = write_set(tmp_path, "VITON")
    path = root / "train/cloth-mask/000000_1.jpg"
    cv2.imwrite(str(path), np.zeros((9, 9), np.uint8))
    with pytest.raises(SourceError, match="the mask is"):
        TryOnSet(root).garment("000000_0")


def test_nobody_usable_says_why(tmp_path):
    root = write_set(tmp_path, "VITON", count=1)
    spoil_nobody(place(root, "VITON", "pose"))
    with pytest.raises(SourceError, match="no person of part train can be used.*no person"):
        load_pairs(TryOnSet(root))


def test_build_writes_shards_and_says_what_was_left_out(tmp_path):
    root = write_set(tmp_path / "set", "VITON-HD")
    spoil_values(place(root, "VITON-HD", "labels"))
    main(["build", "--data", str(root), "--layout", "tryon", "--out", str(tmp_path / "out"),
          "--samples", "3"])  # fmt: skip
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["layout"] == "VITON-HD" and manifest["samples"] == 3
    assert manifest["banks"] == {"persons": 1, "garments": 1}
    assert "holds label 99" in manifest["rejects"]["000000_0"]
    assert (tmp_path / "out/shard-00000.tar").stat().st_size > 10_000
