"""The page of precisions: made of a small student, and told right."""

import json

import numpy as np
import pytest

from benchmarks.backends.ort_backend import Ort
from benchmarks.backends.registry import BACKENDS
from benchmarks.harness import CheckFailed
from benchmarks.precision import __main__ as command
from benchmarks.precision.page import page, quality_line
from benchmarks.precision.quality import Truth
from benchmarks.precision.speed import FrameGraph, operator_times
from benchmarks.precision.variants import Variant
from export import eightbit
from export.calibration import Sample
from export.quality import Runner
from export.quantise import quantisable
from tests.samples import write_shards
from tests.students import SMALL, save_tiny, tiny_graphs, tiny_student


@pytest.fixture(scope="module")
def fp32():
    return Variant("fp32", tiny_graphs(), 1_000_000, "everything")


@pytest.fixture(scope="module")
def sample():
    pictures = np.random.default_rng(0).random((3, 1, 3, *SMALL), dtype=np.float32)
    return Sample(*pictures, np.ones(SMALL, bool))


def test_truth_is_torch(fp32, sample):
    truth = Truth(tiny_student(), [sample])
    error = truth.compare(Runner(fp32.models))
    assert 0 < error["largest"] < 1e-3 and error["picture"] < 1e-2
    truth.outputs[0]["rendered"] = truth.outputs[0]["rendered"] + 1
    worse = truth.compare(Runner(fp32.models))
    assert worse["largest"] == pytest.approx(1, abs=1e-3) and worse["picture"] > 1


@pytest.fixture
def example(fp32, sample):
    runner = Runner(fp32.models)
    known = runner.features(sample)
    return known, runner.outputs(known)


def test_frame_graph_is_checked_and_converted_once(fp32, example, tmp_path):
    graph = FrameGraph("onnxruntime, fp32", fp32.models["frame.onnx"], Ort(), *example, tmp_path)
    graph.prepare(1)
    graph.check()
    made = (tmp_path / "onnxruntime-fp32" / "frame.onnx").stat().st_mtime_ns
    graph.prepare(2)
    assert (tmp_path / "onnxruntime-fp32" / "frame.onnx").stat().st_mtime_ns == made
    feed, answers = example
    wrong = FrameGraph("wrong", fp32.models["frame.onnx"], Ort(), feed,
                       answers | {"gain": answers["gain"] + 1}, tmp_path)  # fmt: skip
    wrong.prepare(1)
    with pytest.raises(CheckFailed, match="gain"):
        wrong.check()


def test_operator_times_name_the_convolutions(fp32, example):
    spent = operator_times(fp32.models["frame.onnx"], example[0], runs=2)
    assert spent["Conv"] > 0 and list(spent.values()) == sorted(spent.values(), reverse=True)


QUALITY = {"distance": 1.0, "ssim": 0.8, "ssim_region": 0.4, "psnr_region": 16.0}
EXACT = {"bytes": 7_400_000, "note": "everything", "error": {"largest": 3e-5, "picture": 0.0012},
         "quality": QUALITY}  # fmt: skip
SMALLER = EXACT | {"bytes": 2_000_000, "quality": QUALITY | {"ssim": 0.796, "distance": 1.02}}


def report(**changes):
    facts = {"checkpoint": "it", "size": "256x192", "compared": 8, "judged": 64, "samples": 128,
             "gate": 0.02, "rounds": 30}  # fmt: skip
    times = {"onnxruntime, fp32": (40, 20), "onnxruntime, int8": (50, 30), "ncnn, fp32": (30, 25)}
    timings = [
        {"name": name, "threads": threads, "median_ms": float(ms)}
        for name, both in times.items()
        for threads, ms in zip((1, 2), both, strict=True)
    ]
    profile = {"fp32": {"Conv": 30.0}, "int8": {"Conv": 30.0, "DequantizeLinear": 9.0}}
    rows = {"fp32": EXACT, "4 bits": SMALLER, "fp8": {"refused": "no layer passes"}}
    return {"environment": {"cpu": "a processor", "load": 3.14}, "facts": facts, "rows": rows,
            "timings": timings, "wrong": {}, "profile": profile} | changes  # fmt: skip


def test_page_gives_quality_and_time_relative_to_fp32():
    text = page(report())
    lines = text.splitlines()
    assert (
        "| 4 bits | 2.00 | everything | 3.0e-05 | 0.0012 | 1.0200 (+2.0%) | 0.7960 (-0.5%) " in text
    )
    assert any(line.startswith("| fp8 | refused: no layer passes |") for line in lines)
    assert "| runtime | precision | 1 thread, ms | ratio | 2 threads, ms | ratio |" in lines
    assert "| onnxruntime | int8 | 50.0 | 1.25 | 30.0 | 1.50 |" in lines
    assert "| ncnn | fp32 | 30.0 | 0.75 | 25.0 | 1.25 |" in lines
    assert "| int8 | 39.0 | Conv 30.0, DequantizeLinear 9.0 |" in lines
    assert "int8 takes 1.25 times" in text and "9.0 ms of 39.0. There is no integer" in text
    assert text.endswith("format to take.\n"), "OpenVINO was not measured"
    both = [{"name": f"openvino, {p}", "threads": 1, "median_ms": ms, "p95_ms": ms}
            for p, ms in (("fp32", 20.0), ("int8", 12.0))]  # fmt: skip
    assert "OpenVINO takes 0.60 times as long in int8" in page(
        report(timings=report()["timings"] + both)
    )
    tables = [line for line in lines if line.startswith("| fp32 |") or line.startswith("|---")]
    assert (
        tables[0].count("|") == tables[1].count("|") == quality_line("x", EXACT, EXACT).count("|")
    )


def test_page_tells_of_wrong_results():
    text = page(report(wrong={"openvino, int8": "openvino, int8: not timed, it is wrong"}))
    assert "\nLeft out: openvino, int8: not timed, it is wrong.\n" in text


def test_page_gives_no_reason_where_there_is_nothing_to_explain():
    quick = [t for t in report()["timings"] if "int8" not in t["name"]]
    assert "int8 takes" not in page(report(timings=quick))
    profile = {"fp32": {"Conv": 1.0}, "int8": {"QLinearConv": 1.0}}
    assert "no integer convolution" not in page(report(profile=profile))


def test_command_measures_a_small_student(tmp_path, monkeypatch, capsys):
    for shards in ("a", "b"):
        write_shards(tmp_path / shards, "CDCD")
    save_tiny(tmp_path)
    monkeypatch.setattr(command, "SIZE", SMALL)
    monkeypatch.setattr(command, "chosen", lambda *_: [BACKENDS["onnxruntime"]])
    monkeypatch.setattr(command, "OpenVino", Ort)
    monkeypatch.setattr(eightbit, "quantisable", lambda model: quantisable(model)[::24])
    monkeypatch.setenv("DMVTON_CACHE", str(tmp_path / "cache"))
    words = ["--checkpoint", tmp_path, "--calibration", tmp_path / "a", "--evaluation",
             tmp_path / "b", "--samples", 4, "--held-out", 2, "--widths", 4, "--threads", 1,
             "--rounds", 1, "--json", tmp_path / "p.json", "--out", tmp_path / "P.md"]  # fmt: skip
    assert command.main(list(map(str, words))) == 0, capsys.readouterr().err
    found = json.loads((tmp_path / "p.json").read_text())
    assert list(found["rows"]) == ["fp32", "fp16", "int8", "fp8", "4 bits"]
    assert found["rows"]["4 bits"]["bytes"] < found["rows"]["fp32"]["bytes"] / 2
    assert found["rows"]["fp32"]["error"]["picture"] < found["rows"]["4 bits"]["error"]["picture"]
    names = [
        f"onnxruntime, {n}" for n in ("fp32", "fp16", "fp16", "int8", "int8", "4 bits", "4 bits")
    ]
    assert [t["name"] for t in found["timings"]] == names
    assert (tmp_path / "P.md").read_text() == page(found)


def test_same_shards_twice_are_refused(tmp_path, capsys):
    words = ["--calibration", str(tmp_path), "--evaluation", str(tmp_path / "x" / "..")]
    assert command.main(words) == 2
    assert "name other shards" in capsys.readouterr().err
