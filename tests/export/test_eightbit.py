"""The quality gate: what is measured, what falls back, and what is refused."""

import json

import numpy as np
import onnx
import pytest

from dmvton.errors import CheckpointError, DataError, UsageError
from dmvton.garment import encode
from dmvton.image_io import Picture
from dmvton.runtime import NetworkPair
from dmvton.shards import ShardReader
from export import commands, eightbit
from export.calibration import framed, read_samples
from export.cli import main
from export.eightbit import Gate, Key, Plan, fewest_dropped, layer_table, make_eight_bit
from export.graph import weighted_layers
from export.pair import Pair
from export.quality import Figures, Judge, Runner
from export.quantise import quantisable
from tests.samples import write_shards
from tests.students import SMALL, save_tiny, tiny_graphs

REFERENCE = Figures(distance=1.0, ssim=0.8, ssim_region=0.4, psnr_region=16.0)


@pytest.mark.parametrize("count, needed", [(1, 0), (7, 0), (7, 1), (7, 3), (7, 6), (90, 41)])
def test_just_enough_layers_fall_back(count, needed):
    asked = []
    assert fewest_dropped(lambda n: asked.append(n) or n >= needed, count) == needed
    assert len(asked) <= 8 and needed in asked


@pytest.mark.parametrize("count", [0, 1, 5])
def test_gate_that_no_layer_passes(count):
    with pytest.raises(CheckpointError, match="nothing was written"):
        fewest_dropped(lambda _: False, count)


@pytest.mark.parametrize(
    "found, holds",
    [
        (REFERENCE, True),
        (REFERENCE._replace(distance=1.019), True),
        (REFERENCE._replace(distance=1.021), False),
        (REFERENCE._replace(ssim=0.783), False),
        (REFERENCE._replace(ssim_region=0.39), False),
        (REFERENCE._replace(ssim=float("nan")), False),
    ],
)
def test_gate_is_relative_to_fp32(found, holds):
    assert Gate(0.02).holds(found, REFERENCE) == holds


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), "KCDNCD")


def test_samples_are_those_with_a_garment(shards):
    samples = read_samples(shards, SMALL, 10)
    assert len(samples) == 4 and len(read_samples(shards, SMALL, 2)) == 2
    for sample in samples:
        assert sample.person.shape == sample.garment.shape == (1, 3, *SMALL)
        assert 0 < sample.region.mean() < 1 and sample.region.shape == SMALL
        assert 0 <= sample.garment.min() and sample.garment.max() <= 1
    assert (samples[0].garment[..., 0, 0] == 1).all() != (samples[1].garment[..., 0, 0] == 1).all()


class Blind:
    """A network that sees nothing: masks are given with the photos."""

    size = SMALL

    def encode_garment(self, garment):
        return {}


@pytest.mark.parametrize("inset", [0, 15, 80])  # at the rim, as in training, small
@pytest.mark.parametrize("white", [False, True])
def test_garment_is_what_the_runtime_hands_to_the_network(shards, inset, white):
    raw = ShardReader(shards)[1]
    mask = np.zeros_like(raw.garment_mask)
    mask[inset : 320 - inset, inset : 240 - inset] = 255
    raw = raw._replace(garment_mask=mask)
    photo = raw.garment.copy()
    if white:
        photo[mask == 0] = 255
    wanted = encode(Blind(), Picture(photo, mask))
    found = framed(raw, SMALL, white)
    np.testing.assert_array_equal(found.garment, wanted.tensor)
    assert (wanted.box.height < 320) == (inset == 80)
    assert (wanted.box.height > 320) == (inset == 0)


def test_empty_calibration_set(tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no shard"):
        read_samples(tmp_path / "none", SMALL, 4)
    with pytest.raises(DataError, match="no try-on sample among 2"):
        read_samples(write_shards(tmp_path / "poses", "KN"), SMALL, 4)


def test_judge_prefers_the_target(shards):
    samples = read_samples(shards, SMALL, 2)
    judge = Judge(samples)

    class Given:
        def __init__(self, change):
            self.change = change

        def picture(self, sample):
            return judge_tensor(np.clip(sample.target + self.change, 0, 1))

    perfect, worse = judge.figures(Given(0)), judge.figures(Given(0.2))
    assert perfect.distance == pytest.approx(0, abs=1e-5) and perfect.ssim == pytest.approx(1)
    assert worse.distance > perfect.distance and worse.ssim < 0.99
    assert worse.psnr_region < 30 < perfect.psnr_region


def judge_tensor(value):
    import torch

    return torch.from_numpy(np.asarray(value, np.float32))


def test_table_gives_every_layer_a_reason():
    models = tiny_graphs()
    chosen = {Key("frame.onnx", quantisable(models["frame.onnx"])[0])}
    rows = layer_table(models, {key: 1.0 for key in chosen}, chosen, "int8")
    assert len(rows) == sum(len(weighted_layers(m)) for m in models.values())
    small = [row for row in rows if row["precision"] == "int8"]
    assert len(small) == 1 and "reason" not in small[0] and small[0]["sensitivity"] == 1
    assert {r["reason"].split(":")[0] for r in rows if r not in small} == {
        "depthwise", "head", "gate",
    }  # fmt: skip


@pytest.fixture
def few_layers(monkeypatch):
    """Every twelfth layer may be quantised, and the graphs are there: the search in seconds."""
    monkeypatch.setattr(
        commands, "build_pair", lambda *given: Pair(dict(tiny_graphs(given[3])), {})
    )
    monkeypatch.setattr(eightbit, "quantisable", lambda model: quantisable(model)[::12])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("checkpoint"))


def command(kind, checkpoint, shards, out, *more):
    words = [kind, "--checkpoint", checkpoint, "--calibration", shards, "--out", out]
    main([*map(str, words), "--size", "64", "48", *more])


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_command_writes_a_pair_and_a_report(few_layers, checkpoint, shards, tmp_path, kind, capsys):
    command(kind, checkpoint, shards, tmp_path / "out", "--tolerance", "0.5")
    assert kind in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "precision.json").read_text())
    assert report["samples"] == {"calibration": 2, "gate": 2}
    small = [row for row in report["layers"] if row["precision"] == kind]
    assert 1 < len(small) < 12 and all(row["sensitivity"] >= 0 for row in small)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["precision"] == kind and set(manifest["quality"]) == {"fp32", kind}
    models = {f: onnx.load(tmp_path / "out" / f) for f in ("garment.onnx", "frame.onnx")}
    sample = read_samples(shards, SMALL, 1)[0]
    runner = Runner(models)
    assert np.isfinite(runner.picture(sample).numpy()).all()
    if kind == "int8":  # ONNX Runtime's own optimiser stumbles over 8-bit floats on the CPU
        network = NetworkPair(tmp_path / "out", threads=1)
        layers = network.run(sample.person, sample.garment, network.encode_garment(sample.garment))
        assert layers.rendered.shape == (*SMALL, 3)


@pytest.mark.parametrize("tolerance, fell", [(0.5, False), (-0.5, True)])
def test_layers_are_ranked_only_where_the_gate_asks_for_it(
    few_layers, shards, monkeypatch, tolerance, fell
):
    asked = []
    monkeypatch.setattr(
        eightbit.Quantiser,
        "sensitivity",
        lambda self, probes: asked.append(1) or {key: 1.0 for key in self.layers},
    )
    plan = Plan("int8", 4, Gate(tolerance), ranked=False)
    if fell:
        with pytest.raises(CheckpointError, match="holds with none"):
            make_eight_bit(tiny_graphs(), shards, SMALL, plan)
    else:
        report = make_eight_bit(tiny_graphs(), shards, SMALL, plan).report
        assert not any("sensitivity" in row for row in report["layers"])
        assert sum(row["precision"] == "int8" for row in report["layers"]) > 1
    assert bool(asked) == fell


def test_nothing_is_written_when_nothing_passes(
    few_layers, checkpoint, shards, tmp_path, monkeypatch
):
    monkeypatch.setattr(Gate, "holds", lambda *_: False)
    with pytest.raises(CheckpointError, match="gate holds with none"):
        command("int8", checkpoint, shards, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_without_samples(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "build_pair", lambda *_: type("P", (), {"models": {}}))
    poses = write_shards(tmp_path / "poses", "KN")
    with pytest.raises(DataError, match="no try-on sample"):
        command("int8", checkpoint, poses, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("more", [("--samples", "1"), ("--tolerance", "-1")])
def test_options_out_of_range(checkpoint, shards, tmp_path, more):
    with pytest.raises(UsageError, match="expected 2 or more"):
        command("int8", checkpoint, shards, tmp_path / "out", *more)


def test_unknown_format():
    with pytest.raises(UsageError, match="unknown format 'tflite2'; expected one of onnx"):
        main(["tflite2"])
