"""`dmvton export lowbit` end to end on small graphs: what it writes loads, or it writes nothing."""

import json
import shutil

import numpy as np
import onnx
import pytest

from dmvton.errors import CheckpointError, DataError, OutputError, UsageError
from dmvton.runtime import NetworkPair, to_tensor
from tests.samples import write_shards

pytest.importorskip("onnxslim", reason="the export extra is not installed")

from export.folder import read_pair, write_pair  # noqa: E402
from export.lowbit import curve, plan, work  # noqa: E402
from export.lowbit.command import lowbit  # noqa: E402
from tests import small_pair  # noqa: E402
from tests.small_pair import SIZE  # noqa: E402

BUDGET = 11_000  # about what three bits a weight take


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A small fp32 pair, as `dmvton export onnx` writes it."""
    return small_pair.write(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), "CDCD")


@pytest.fixture(scope="module")
def mixed(pair, shards, tmp_path_factory):
    """The folder of a budgeted export, measured, and its report."""
    out = tmp_path_factory.mktemp("mixed")
    data = {"calibration": shards, "evaluation": shards}
    lowbit(pair, out, budget=f"{BUDGET}", samples=2, held_out=2, **data)
    return out, json.loads((out / "report.json").read_text())


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def total(folder):
    files = ("garment.lowbit", "frame.lowbit", "manifest.json")
    return sum((folder / name).stat().st_size for name in files)


def answer(folder):
    """The two graphs' answer on fixed pictures."""
    rng = np.random.default_rng(0)
    person, garment = (to_tensor(rng.integers(0, 256, (*SIZE, 3), np.uint8)) for _ in "pg")
    network = NetworkPair(folder, threads=1)
    return network.run(person, garment, network.encode_garment(garment))


def difference(a, b):
    return max(float(np.abs(x - y).max()) for x, y in zip(a, b, strict=True))


def test_more_bits_are_nearer_to_fp32_and_larger(pair, tmp_path):
    exact, sizes, errors = answer(pair), [], []
    for bits in (8, 3):
        out = tmp_path / str(bits)
        lowbit(pair, out, bits=bits)
        assert names(out) == ["frame.lowbit", "garment.lowbit", "manifest.json", "report.json"]
        report = json.loads((out / "report.json").read_text())
        assert report["bytes"] == total(out) and bits < report["mean_bits"] < bits + 1.2
        assert {layer["bits"] for layer in report["layers"]} == {bits}
        sizes.append(total(out))
        errors.append(difference(answer(out), exact))
    assert sizes[1] < 0.65 * sizes[0]
    assert 0 < errors[0] < 0.1 and errors[0] < 0.3 * errors[1]


def test_budget_is_kept_and_used(mixed):
    out, report = mixed
    assert BUDGET - 1500 < total(out) <= BUDGET and report["bytes"] == total(out)
    assert report["budget"] == BUDGET
    assert len({layer["bits"] for layer in report["layers"]}) > 1
    assert np.isfinite(answer(out).flow).all()


def test_report_tells_size_error_and_quality(mixed):
    quality = mixed[1]["quality"]
    assert quality["samples"] == 2
    assert 0 < quality["rms_error"] < 0.2
    for name, value in quality["packed"].items():
        assert quality["change"][name] == pytest.approx(value / quality["fp32"][name] - 1)


def test_mixed_widths_are_expected_to_do_less_damage_than_uniform_ones(pair, mixed, shards):
    table = json.loads((mixed[0] / plan.CACHE).read_text())["layers"]
    graphs = work._materials(read_pair(pair), [])
    known = {f: {n: plan.Measured(e, s, [plan.Probe(*p) for p in ps])
                 for n, (e, s, ps) in layers.items()} for f, layers in table.items()}  # fmt: skip
    keys = [(file, layer) for file, g in graphs.items() for layer in g.layers]

    def cost(widths):
        return sum(
            known[f][x.name].choices(x)[plan.schemes(x).index(widths[f][x.name])].cost
            for f, x in keys
        )

    uniform = plan.uniform_plan(graphs, 3)
    size = work.weight_bytes(graphs, uniform)
    fixed = plan.fixed_bytes(graphs)
    best = plan.budget_plan(graphs, known, size + fixed + 4096)
    assert cost(best) < 0.9 * cost(uniform)


def test_another_budget_does_not_measure_again(pair, mixed, shards, monkeypatch, tmp_path):
    (tmp_path / plan.CACHE).write_bytes((mixed[0] / plan.CACHE).read_bytes())
    monkeypatch.setattr(plan, "_measure_layer", lambda *_: pytest.fail("measured again"))
    lowbit(pair, tmp_path, budget="13kB", calibration=shards, samples=2)
    assert total(mixed[0]) < total(tmp_path) <= 13_000


def test_curve_measures_and_draws_every_point(pair, mixed, shards, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(curve, "WIDTHS", (8, 2))
    monkeypatch.setattr(curve, "MIXED", (2,))
    (tmp_path / plan.CACHE).write_bytes((mixed[0] / plan.CACHE).read_bytes())
    data = {"calibration": shards, "evaluation": shards}
    lowbit(pair, tmp_path, bits=4, samples=2, held_out=1, curve=True, **data)
    points = json.loads((tmp_path / "report.json").read_text())["curve"]
    assert [(p["kind"], round(p["bits"])) for p in points][:2] == [("uniform", 9), ("uniform", 3)]
    assert points[2]["kind"] == "mixed" and points[2]["size"] <= points[1]["size"]
    assert points[0]["error"] < points[1]["error"]
    assert (tmp_path / "curve.svg").read_text().count("<circle") == 3 * 3
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("fp32", "uniform 8", "uniform 2", "mixed"))


def test_a_stale_or_damaged_cache_is_not_used(pair, mixed, shards, tmp_path):
    saved = json.loads((mixed[0] / plan.CACHE).read_text())
    for text in (json.dumps(saved | {"key": "of other weights"}), "{", "[]", '{"key": 1}'):
        (tmp_path / plan.CACHE).write_text(text)
        assert plan._read_cache(tmp_path / plan.CACHE, saved["key"]) == {}
    (tmp_path / plan.CACHE).write_text(json.dumps(saved))
    assert set(plan._read_cache(tmp_path / plan.CACHE, saved["key"])) == {
        "garment.onnx",
        "frame.onnx",
    }


def test_tampered_packed_file_is_not_loaded(mixed, tmp_path):
    folder = shutil.copytree(mixed[0], tmp_path / "copy")
    data = bytearray((folder / "frame.lowbit").read_bytes())
    data[-100] ^= 4
    (folder / "frame.lowbit").write_bytes(data)
    with pytest.raises(CheckpointError, match="SHA-256"):
        NetworkPair(folder)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bits": 0}, "0 bits, expected 1 to 8"),
        ({"bits": 9}, "9 bits, expected 1 to 8"),
        ({}, "either --bits 1 to 8 or --budget"),
        ({"bits": 4, "budget": "1MB"}, "either --bits 1 to 8 or --budget"),
        ({"budget": "much"}, "expected a size such as 2MB"),
        ({"budget": "5kB"}, "allow more"),
        ({"bits": 4, "curve": True}, "--evaluation"),
    ],
)
def test_wrong_options_write_nothing(pair, tmp_path, options, words):
    out = tmp_path / "out"
    with pytest.raises(UsageError, match=words):
        lowbit(pair, out, **options)
    assert not out.exists()


def test_empty_calibration_writes_nothing(pair, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no shard"):
        lowbit(pair, tmp_path / "out", bits=4, calibration=tmp_path / "empty")
    nobody = write_shards(tmp_path / "nobody", "NN")
    with pytest.raises(DataError, match="no try-on sample"):
        lowbit(pair, tmp_path / "out", bits=4, calibration=nobody)
    assert not (tmp_path / "out").exists()


def test_folder_that_cannot_be_written(pair, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="cannot write"):
        lowbit(pair, tmp_path / "file" / "out", bits=4)
    assert (tmp_path / "file").read_text() == "not a folder"


def test_checkpoint_must_be_an_fp32_pair_and_is_left_alone(pair, tmp_path):
    with pytest.raises(UsageError, match="name another folder"):
        lowbit(pair, pair, bits=4)
    with pytest.raises(CheckpointError, match="no weights"):
        lowbit(tmp_path / "absent", tmp_path / "out", bits=4)
    half = shutil.copytree(pair, tmp_path / "half")
    models = {file: onnx.load(half / file) for file in ("garment.onnx", "frame.onnx")}
    write_pair(models, half, "small", SIZE, {"batch": "static", "precision": "fp16"}, {})
    with pytest.raises(UsageError, match="fp16, expected fp32"):
        lowbit(half, tmp_path / "out", bits=4)
    lowbit(pair, tmp_path / "packed", bits=4)
    with pytest.raises(CheckpointError, match="no garment.onnx in its manifest"):
        lowbit(tmp_path / "packed", tmp_path / "out", bits=4)
    assert not (tmp_path / "out").exists()


def test_failure_leaves_what_was_there(pair, tmp_path, monkeypatch):
    (tmp_path / "manifest.json").write_text("the old one")
    monkeypatch.setattr(work, "write_packed", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        lowbit(pair, tmp_path, bits=4)
    assert names(tmp_path) == ["manifest.json"]
    assert (tmp_path / "manifest.json").read_text() == "the old one"
