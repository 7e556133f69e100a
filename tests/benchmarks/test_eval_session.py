import json
import types

import cv2
import numpy as np
import pytest

from app import cli
from benchmarks import evaluate
from benchmarks.evaluation import protocol, session, wild
from benchmarks.evaluation.contenders import Cloth, Student2023
from benchmarks.evaluation.options import Size
from benchmarks.evaluation.wild import SIZE, Case, Crop, Subject
from dmvton.parsing import Parsing
from pose_synth.persons import CANVAS, canvas_matrix
from tests.samples import POINTS, pattern, write_shards


def person(number):
    """A drawn person that the fake network finds: a red torso on grey."""
    points = np.c_[POINTS - (32, 40), np.ones(13)].astype(np.float32)
    photo = np.full((*SIZE, 3), 110 + 5 * number, np.uint8)
    photo[72:180, 66:126] = (230, 10, 10)
    worn = np.zeros(SIZE, bool)
    worn[72:180, 66:126] = True
    crop = Crop(np.array([[1.0, 0, 0], [0, 1, 0]]))
    return Subject(f"p{number}", photo, points, crop, worn, worn, worn.astype(np.uint8) * 3)


def cloth(colour):
    mask = np.zeros((320, 240), np.uint8)
    outline = [(70, 60), (100, 50), (140, 50), (170, 60), (215, 115), (180, 140), (165, 115),
               (165, 270), (75, 270), (75, 115), (60, 140), (25, 115)]  # fmt: skip
    cv2.fillPoly(mask, [np.array(outline, np.int32)], 1)
    rgb = np.where(mask[..., None] > 0, np.uint8(colour), np.uint8(255))
    return Cloth(rgb, mask > 0, str(colour))


@pytest.fixture
def drawn(tmp_path, monkeypatch, fake_weights):
    """Drawn data in place of photos; returns the options of a quick run."""
    shards = write_shards(tmp_path / "d", "DD", shard_size=protocol.SHARD)
    lines = [protocol.described(pair) for pair in protocol.pairs(shards, 2)]
    banks = types.SimpleNamespace(outfits=[], garments=[], summary=lambda: {"persons": 2})
    pair = (cloth((20, 120, 40)), cloth((60, 30, 200)))
    cases = [Case(person(k), pair, 180.0) for k in range(2)]
    real = [wild.Real([f"r{k}", "00"], pattern(SIZE[::-1], 30 + k)) for k in range(4)]
    names = [wild.listed(case) for case in cases]
    recording = protocol.Recording("drawn", "test", 0, 2, {}, paired=lines, cases=names,
                                   reference=[one.name for one in real])  # fmt: skip
    monkeypatch.setattr(session, "Banks", lambda *_: banks)
    monkeypatch.setattr(protocol, "load", lambda name: recording)
    monkeypatch.setattr(protocol, "prepare", lambda *_: lines)
    monkeypatch.setattr(session.Session, "_folder", lambda *_: shards)
    monkeypatch.setattr(wild, "cases", lambda *_: cases)
    monkeypatch.setattr(wild, "reference", lambda *_: real)
    monkeypatch.setattr(evaluate, "QUICK", Size(2, 2, 4, 1, 1, 1))
    monkeypatch.setattr("dmvton.runtime.DEFAULT_WEIGHTS", fake_weights)
    return ["eval", "--quick", "true", "--out", str(tmp_path / "out" / "r.json"),
            "--baseline", str(tmp_path / "baseline.json"), "--protocol", "drawn"]  # fmt: skip


def test_a_run_writes_json_and_html_and_holds_the_gate(drawn, tmp_path, capsys):
    assert cli.main([*drawn, "--write_baseline", "true"]) == 0
    report = json.loads((tmp_path / "out" / "r.json").read_text())
    assert set(report["parts"]) == {"paired", "unpaired", "video", "synthetic D"}
    assert list(report["parts"].pop("synthetic D")) == ["student"]  # the others have no flow
    for part, contenders in report["parts"].items():
        assert list(contenders) == ["no-op", "overlay", "student"], part
        for figure in contenders["student"].values():
            assert figure["low"] <= figure["value"] <= figure["high"] and figure["n"] >= 1
    assert report["parts"]["unpaired"]["student"]["found"]["value"] == 1
    page = (tmp_path / "out" / "r.html").read_text()
    assert page.count("<img src='data:") >= 8 and "do not publish" in page
    assert not list(tmp_path.rglob("*.part*"))

    baseline = json.loads((tmp_path / "baseline.json").read_text())
    baseline["quick"]["figures"]["paired/ssim"]["value"] += 0.5
    (tmp_path / "baseline.json").write_text(json.dumps(baseline))
    capsys.readouterr()
    assert cli.main([*drawn, "--gate", "true"]) == 2
    assert "paired/ssim is" in capsys.readouterr().err


def test_other_samples_than_the_protocols_end_the_run(drawn, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(protocol, "prepare", lambda *_: [["p0", "another", 0.0]])
    assert cli.main(drawn) == 2
    assert "paired, line 0 is ['p0', 'another', 0.0], expected" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_subjects_old_garment_lies_where_it_is_in_the_photo():
    photo = np.full((800, 550, 3), 90, np.uint8)
    points = np.zeros((33, 3), np.float32)
    points[:, 2] = 1
    points[[11, 12, 23, 24], :2] = (330, 250), (230, 250), (310, 400), (250, 400)
    photo[250:400, 230:330] = (10, 10, 200)  # BGR
    canvas = cv2.warpAffine(photo, canvas_matrix(points, 1.0), CANVAS)
    banks = types.SimpleNamespace(
        source=types.SimpleNamespace(photo=lambda key: photo),
        poses=types.SimpleNamespace(points=lambda key: (points, 1.0)),
    )
    region = canvas[..., 2] > 150
    parsing = np.full(region.shape, Parsing.LOWER, np.uint8)
    parsing[:, :128] = Parsing.OUTER  # counts as top inside the region only
    outfit = types.SimpleNamespace(key="p", region=region, parsing=parsing)
    found = wild.subject(banks, outfit)
    red = found.photo[..., 0] > 150
    assert (found.worn & red).sum() / (found.worn | red).sum() > 0.96
    assert (found.parsing[found.worn] == Parsing.UPPER).all()
    assert set(found.parsing[~found.worn]) == {Parsing.BACKGROUND, Parsing.SKIN, Parsing.LOWER}
    cut = found.crop.cut(found.photo)[..., 0] > 150
    assert (found.worn_crop & cut).sum() / (found.worn_crop | cut).sum() > 0.95


def test_the_2023_student_dresses_a_crop_and_a_photo(tmp_path):
    import torch

    from benchmarks.dmvton2023 import Student2023 as Network
    from benchmarks.dmvton2023 import Student2023Config
    from dmvton.checkpoint import save_model

    torch.manual_seed(0)
    save_model(tmp_path, Network(Student2023Config()), Student2023Config())
    contender, subject = Student2023(tmp_path), person(0)
    dressed = contender.crop(subject.photo, cloth((20, 120, 40)), subject.known)
    assert dressed.shape == subject.photo.shape and (dressed != subject.photo).any()
    wide = cv2.copyMakeBorder(subject.photo, 200, 0, 300, 300, cv2.BORDER_CONSTANT)
    known = subject.known._replace(points=subject.points + np.float32([300, 200, 0]))
    out = contender.photo(wide, cloth((20, 120, 40)), known)
    assert (out[:150] == wide[:150]).all() and (out[:, :150] == wide[:, :150]).all()
    assert (out[300:350, 370:420] != wide[300:350, 370:420]).any()
