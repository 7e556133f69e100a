import json
import types
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from benchmarks import evaluate
from benchmarks.evaluation import gate, page, paired, protocol, regions, rows, synthetic, unpaired
from benchmarks.evaluation.checkpoint import Checkpoint
from benchmarks.evaluation.contenders import Cloth, Known, NoOp, Student
from benchmarks.evaluation.overlay import Overlay, parts, spline
from benchmarks.evaluation.video import flicker
from benchmarks.evaluation.wild import SIZE, Case, Crop, Subject
from dmvton.errors import DataError, UsageError
from pose_synth.flat import flat_mesh
from tests.samples import POINTS, make_sample, pattern, write_shards


class Truth(NoOp):
    """Hands back the target, with so much noise and so much of the input."""

    def __init__(self, name, targets, noise, left=0.0):
        self.name, self.targets, self.noise, self.left = name, targets, noise, left

    def crop(self, person, cloth, known):
        target = self.targets[cloth.key].astype(float)
        noise = np.random.default_rng(0).normal(0, 1, target.shape) * self.noise
        target += self.left * (person - target)
        return np.clip(target + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return list(protocol.pairs(write_shards(tmp_path_factory.mktemp("d"), "DDDD"), 4))


@pytest.fixture(scope="module")
def found(pairs):
    targets = {p.id: paired.view(p).target for p in pairs}
    contenders = [NoOp(), Truth("student", targets, 5), Truth("bad", targets, 40, 0.3)]
    return paired.run(contenders, pairs)


def report_of(found):
    parts = {"paired": {name: rows.figures(r) for name, r in found.items()}}
    plain = {p: {n: {m: f._asdict() for m, f in fs.items()} for n, fs in by.items()}
             for p, by in parts.items()}  # fmt: skip
    return {"protocol": "x", "weights": "w<1>", "quick": True, "parts": plain, "notes": ["a & b"]}


def test_a_worse_contender_scores_worse_on_every_paired_figure(found):
    by_name = {name: rows.figures(r) for name, r in found.items()}
    for name, high in rows.BETTER_HIGH.items():
        if name not in by_name["bad"]:
            continue
        good, bad = by_name["student"][name].value, by_name["bad"][name].value
        assert (good > bad) == high, (name, good, bad)
    assert {"ssim_region", "psnr_outside", "perceptual_region"} <= set(by_name["bad"])
    assert by_name["no-op"]["psnr_outside"].value > 40  # the input differs inside alone


def test_sleeve_regions_are_arms_that_change():
    sample = make_sample()
    arm = regions.arms(np.c_[POINTS, np.ones(13)], sample.person_mask.shape)
    raw = sample._asdict()
    raw["person_mask"] = (arm * 255).astype(np.uint8)
    raw["target_mask"] = np.zeros_like(raw["person_mask"])
    raw["parsing"] = arm.astype(np.uint8)  # skin
    raw["keypoints"] = np.c_[POINTS, np.ones(13)].astype(np.float32)
    keep = {k: raw[k] for k in protocol.RawSample._fields}
    bared, covered = paired.sleeves(
        paired.view(protocol.Pair("0", "p", "g", protocol.RawSample(**keep)))
    )
    assert bared.sum() > 1000 and not covered.any()
    keep["person_mask"], keep["target_mask"] = keep["target_mask"], keep["person_mask"]
    bared, covered = paired.sleeves(
        paired.view(protocol.Pair("0", "p", "g", protocol.RawSample(**keep)))
    )
    assert covered.sum() > 1000 and not bared.any()


def test_page_holds_figures_and_pictures_and_nothing_from_elsewhere(found):
    text = page.page(report_of(found), [page.Strip("worst <1>", [("a", pattern((40, 60), 9))])])
    assert text.count("<img src='data:image/jpeg;base64,") == 1
    assert "http" not in text and "w&lt;1&gt;" in text and "a &amp; b" in text
    assert "psnr_region" in text and "4 / 4" in text
    json.dumps(report_of(found))
    assert "paired" in evaluate.table(report_of(found))


def test_gate_names_the_figure_that_is_worse(found, tmp_path):
    path, report = tmp_path / "baseline.json", report_of(found)
    with pytest.raises(DataError, match="--write_baseline"):
        gate.compare(report, path, "student")
    gate.write_baseline(path, report, "student")
    gate.compare(report, path, "student")
    swapped = report_of({"student": found["bad"]})
    with pytest.raises(gate.GateError, match=r"paired/psnr_region is .* baseline"):
        gate.compare(swapped, path, "student")
    with pytest.raises(DataError, match="no baseline of a full run"):
        gate.compare({**report, "quick": False}, path, "student")
    with pytest.raises(DataError, match="protocol"):
        gate.compare({**report, "protocol": "y"}, path, "student")


def test_samples_that_differ_from_the_protocol_are_refused(tmp_path):
    folder = write_shards(tmp_path / "d", "DDD", shard_size=50)
    lines = [protocol.described(pair) for pair in protocol.pairs(folder, 3)]
    assert [line[0] for line in lines] == ["p0", "p1", "p2"] and len(lines[0]) == 7
    cases = [["p", "t-shirt/a", "shirt/b", "00"], ["q", "t-shirt/a", "shirt/b", "01"]]
    drawn = protocol.Recording("tiny", "test", 0, 3, {}, paired=lines, rendered=lines[:1],
                               cases=cases, reference=[["r", "02"]])  # fmt: skip
    protocol.record(drawn, folder, tmp_path)
    again = protocol.load("tiny", tmp_path)
    assert again.paired == lines and again.persons == ["p0", "p1", "p2"]
    protocol.check(again, drawn)
    protocol.check(again, replace(drawn, paired=[], rendered=[], cases=cases[:1], reference=[]))
    rounded = [*lines[0][:4], lines[0][4] + protocol.TOLERANCE / 2, *lines[0][5:]]
    protocol.check(again, replace(drawn, paired=[rounded]))
    brighter = [*lines[0][:4], lines[0][4] + protocol.TOLERANCE * 2, *lines[0][5:]]
    other = {
        "paired": [brighter],
        "rendered": [[*lines[0][:1], "shirt/of-another", *lines[0][2:]]],
        "cases": [cases[0], ["q", "t-shirt/a", "shirt/c", "01"]],
        "reference": [["r", "02"], ["s", "03"]],  # more than there are
    }
    for what, value in other.items():
        with pytest.raises(protocol.ProtocolError, match=f"{what}, .* expected .*--record"):
            protocol.check(again, replace(drawn, **{what: value}))
    with pytest.raises(UsageError, match="expected one of tiny"):
        protocol.load("other", tmp_path)


def test_missing_data_and_wrong_options_are_typed_errors(tmp_path):
    with pytest.raises(DataError, match="no photos"):
        evaluate.main(["--data", str(tmp_path), "--out", str(tmp_path / "r.json")])
    assert not list(tmp_path.glob("r.*"))
    with pytest.raises(UsageError, match="--write_baseline"):
        evaluate.main(["--gate", "true", "--write_baseline", "true"])
    with pytest.raises(UsageError, match="student or teacher"):
        evaluate.main(["--network", "parrot"])


def test_committed_protocol_names_every_sample():
    recording = protocol.load("heldout")
    assert len(recording.paired) == recording.samples
    assert {line[0] for line in recording.paired} == set(recording.persons)
    assert len(recording.persons) >= 80 and len(recording.cases) >= 80
    assert len(recording.rendered) == 100 and len(recording.reference) >= 100
    assert not {case[0] for case in recording.cases} & {name for name, _ in recording.reference}
    assert len({key for case in recording.cases for key in case[1:3]}) >= 80


def shirt():
    """A drawn t-shirt (320, 240), its mask, and landmarks that `flat_mesh` can read."""
    mask = np.zeros((320, 240), np.uint8)
    outline = [(70, 60), (100, 50), (140, 50), (170, 60), (215, 115), (180, 140), (165, 115),
               (165, 270), (75, 270), (75, 115), (60, 140), (25, 115)]  # fmt: skip
    cv2.fillPoly(mask, [np.array(outline, np.int32)], 1)
    rgb = np.full((320, 240, 3), 255, np.uint8)
    rgb[mask > 0] = (200, 30, 30)
    return Cloth(rgb, mask > 0, "shirt")


def test_spline_goes_through_its_points_and_is_affine_where_they_are():
    rng = np.random.default_rng(0)
    at = rng.uniform(0, 200, (12, 2))
    to = at @ np.array([[0.9, 0.2], [-0.1, 1.1]]) + (5, -3)
    elsewhere = rng.uniform(0, 200, (30, 2))
    truth = elsewhere @ np.array([[0.9, 0.2], [-0.1, 1.1]]) + (5, -3)
    np.testing.assert_allclose(spline(at, to)(elsewhere), truth, atol=1e-6)
    bent = to + rng.normal(0, 5, to.shape)
    np.testing.assert_allclose(spline(at, bent, 0)(at), bent, atol=1e-6)


def test_overlay_lays_the_shirt_on_the_torso():
    cloth, person = shirt(), pattern((256, 336), 150)
    points = np.c_[POINTS, np.ones(13)].astype(np.float32)
    found = parts(flat_mesh(cloth.mask)[0], points)
    assert len(found) == 3 and all(p.flat.shape == p.body.shape for p in found)
    known = Known(points, np.zeros(person.shape[:2], bool), np.zeros(person.shape[:2], np.uint8))
    worn = Overlay().crop(person, cloth, known)
    red = np.abs(worn.astype(int) - (200, 30, 30)).sum(2) < 12
    chest = cv2.erode(regions.torso(points, red.shape).astype(np.uint8), np.ones((15, 15))) > 0
    assert red[chest].mean() > 0.95
    assert (worn[:60] == person[:60]).all()  # the head
    blank = Cloth(cloth.rgb, np.zeros_like(cloth.mask), "blank")
    blank.mask[5:60, 5:9] = True
    assert (Overlay().crop(person, blank, known) == person).all()


@pytest.fixture(scope="module")
def case():
    """A drawn person in a photo that is the crop itself, and two garments."""
    points = np.c_[POINTS - (32, 40), np.ones(13)].astype(np.float32)
    worn = regions.torso(points, SIZE)
    crop = Crop(np.array([[1.0, 0, 0], [0, 1, 0]]))
    photo = pattern(SIZE[::-1], 60)
    subject = Subject("p", photo, points, crop, worn, worn, worn.astype(np.uint8) * 3)
    red = shirt()
    blue = Cloth(np.where(red.mask[..., None], np.uint8([30, 30, 200]), red.rgb), red.mask, "blue")
    return Case(subject, (red, blue), float(np.hypot(170, 170)))


class Painter(NoOp):
    """Paints the garment's colour where the old one was; leaves so much of it."""

    def __init__(self, name, worn, left=0.0, spill=0):
        self.name, self.worn, self.left, self.spill = name, worn, left, spill

    def photo(self, photo, cloth, known):
        colour = cloth.rgb[cloth.mask].mean(0)
        out = photo.astype(float)
        out[self.worn] = (1 - self.left) * colour + self.left * out[self.worn]
        out[:20] += self.spill
        return np.clip(out, 0, 255).astype(np.uint8)


def test_unpaired_figures_rank_what_is_known(case, fake_weights):
    judge = Student("judge", fake_weights, 1)
    worn = case.subject.worn
    good, leaky = Painter("good", worn), Painter("leaky", worn, 0.7, 30)
    result = unpaired.run([NoOp(), good, leaky], [case], judge)
    noop, best, bad = (rows.figures(result.rows[n]) for n in ("no-op", "good", "leaky"))
    assert noop["leakage"].value == 1 and noop["ghost"].value == pytest.approx(1)
    assert best["leakage"].value < 0.02 and abs(best["ghost"].value) < 0.02
    assert bad["ghost"].value == pytest.approx(0.7, abs=0.03)
    assert best["kept_share"].value == noop["kept_share"].value == 1
    assert bad["kept_share"].value < 1 and bad["kept_psnr"].value < best["kept_psnr"].value
    for name in ("garment_colour", "garment_match"):
        assert best[name].value < bad[name].value < noop[name].value, name
    assert noop["oks"].value == 1 and noop["found"].value == 1
    assert len(result.views["good"]) == 2 * len(result.persons) == 2


def test_flicker_is_more_where_results_tremble(case):
    class Trembling(NoOp):
        def stream(self, cloth):
            level = iter(range(100))
            return lambda frame, known: cv2.add(frame, (6 * (next(level) % 2),) * 4)

    still, shaky = flicker(NoOp(), case, 4), flicker(Trembling(), case, 4)
    assert still < 5 and shaky - still > 3


def test_flow_and_parsing_measures_by_hand():
    truth = np.zeros((2, 8, 4), np.float32)
    found = truth.copy()
    found[0] += 0.5  # a quarter of 4 pixels
    found[1] += 0.25  # an eighth of 8
    mask = np.ones((8, 4), np.float32)
    assert synthetic.endpoint_error(found, truth, mask) == pytest.approx(np.sqrt(2))
    assert np.isnan(synthetic.endpoint_error(found, truth, 0 * mask))
    labels = np.repeat([0, 0, 1, 1], 4).reshape(4, 4)
    guess = labels.copy()
    guess[1] = 1
    assert synthetic.mean_iou(guess, labels) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_a_network_that_knows_the_truth_has_no_error(tmp_path):
    class Knows(Checkpoint):
        def __init__(self, shift):
            self.shift = torch.tensor([shift * 2 / 192, 0])[:, None, None]  # garment pixels

        def look(self, one):
            logits = torch.nn.functional.one_hot(one.parsing, 11).permute(2, 0, 1)[None].float()
            return types.SimpleNamespace(flow=(one.flow + self.shift)[None], parsing=logits)

    folder = write_shards(tmp_path / "a", "AD")
    for shift in (0.0, 3.0):
        found = synthetic.run(Knows(shift), folder, 2)
        assert [row.values["epe"] for row in found] == pytest.approx([shift] * 2, abs=1e-3)
        assert [row.values["iou"] for row in found] == [1, 1]
        assert [row.person for row in found] == ["0000", "p1"]  # rendered people are all new
