"""The harness over backends: what is recorded, checked, compared and told."""

import json
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.backends import __main__ as command
from benchmarks.backends import peaks
from benchmarks.backends.cases import CATEGORIES, student_cases
from benchmarks.backends.contender import BackendContender
from benchmarks.backends.options import BackendsConfig, configuration
from benchmarks.backends.ort_backend import Ort
from benchmarks.backends.page import line, page
from benchmarks.backends.peaks import Peaks, measure_peaks
from benchmarks.backends.recorder import Call, recorded
from benchmarks.backends.registry import BACKENDS, chosen
from benchmarks.backends.tables import category_table, layer_rows, layer_table, verdicts
from benchmarks.backends.torch_backend import Torch
from benchmarks.harness import CheckFailed, Timing, Unavailable
from dmvton.checkpoint import save_model
from dmvton.errors import UsageError
from dmvton.flow import identity, warp
from dmvton.student.config import StudentConfig
from dmvton.student.model import Student
from export.mobile.target import ConversionError
from export.pair import export_pair
from tests.export.mobile_graphs import answers, small_graph

TINY = StudentConfig(width=16, thin=8, decoder=(16, 16, 12, 8, 8), tokens=1, pretrained=False)


class Layers(nn.Module):
    """One of each kind, some twice."""

    def __init__(self):
        super().__init__()
        self.stem, self.point = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 1)
        self.deep, self.linear = nn.Conv2d(8, 8, 5, 1, 2, groups=8), nn.Linear(8, 6)

    def forward(self, person, flow):
        x = self.point(self.deep(self.point(self.stem(person))))  # (1, 8, 4, 3)
        tokens = x.flatten(2).transpose(1, 2)  # (1, 12, 8)
        seen = (tokens @ tokens.transpose(1, 2)).softmax(2) @ self.linear(tokens)
        x = F.interpolate(warp(x, flow), scale_factor=2.0)
        return x, seen


INPUTS = {"person": torch.rand(1, 3, 8, 6), "flow": identity(4, 3, torch.zeros(1))}


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    return small_graph(tmp_path_factory.mktemp("small"))


def contender(graph, cache, backend=None):
    return BackendContender("it", backend or Ort(), graph, answers(graph)[graph.name], cache)


def timing(name, seconds, threads=1):
    return Timing(name, threads, "cpu", "256x192", 1, (seconds,))


def test_recorder_counts_each_layer_by_shape():
    assert recorded(Layers(), tuple(INPUTS.values())) == Counter({
        Call("convolution", ((1, 3, 8, 6), (8, 3, 3, 3)), (2, 2), (1, 1)): 1,
        Call("convolution", ((1, 8, 4, 3), (8, 8, 1, 1))): 2,
        Call("convolution", ((1, 8, 4, 3), (8, 1, 5, 5)), padding=(2, 2), groups=8): 1,
        Call("linear", ((1, 12, 8), (6, 8))): 1,
        Call("attention", ((1, 12, 8), (1, 8, 12), (1, 12, 6))): 1,
        Call("sampling", ((1, 8, 4, 3), (1, 4, 3, 2))): 1,
        Call("resize", ((1, 8, 4, 3),), factor=2.0, mode="nearest"): 1,
    })  # fmt: skip


def test_cases_cost_what_they_should():
    cases = {case.name: case for case in student_cases(Layers(), INPUTS, 0)}
    assert {case.category for case in cases.values()} == set(CATEGORIES)
    point = cases["8>8 1x1 on 4x3"]
    assert (point.category, point.times, point.operations) == ("pointwise", 2, 2 * 64 * 12)
    assert point.moved == 4 * (8 * 12 + 8 * 12 + 64 + 8)
    deep = cases["8>8 5x5 on 4x3"]
    assert (deep.category, deep.operations) == ("depthwise", 2 * 8 * 25 * 12)
    assert cases["3>8 3x3/2 on 8x6"].category == "dense 3x3"
    attention = cases["1 heads, 12x12 tokens, 8 to 6"]
    assert attention.operations == 2 * (12 * 12 * 8 + 12 * 12 * 6)
    assert cases["8 of 4x3 at 4x3"].moved == 4 * (8 * 12 + 2 * 12 + 8 * 12)


def test_cases_are_the_costliest_of_each_category():
    cases = student_cases(Layers(), INPUTS, 1)
    assert [case.category for case in cases] == list(CATEGORIES)
    assert cases[0].name == "8>8 1x1 on 4x3"  # twice, and more than the linear layer


def test_roofline_is_the_slower_of_arithmetic_and_memory():
    machine = Peaks(1, 100.0, {1024: 50.0, 2**20: 10.0})
    assert machine.seconds(1e9, 1000) == pytest.approx(1e-2)
    assert machine.seconds(0, 2048) == pytest.approx(2048 / 50e9)
    assert machine.seconds(0, 2050) == pytest.approx(2050 / 10e9)
    assert machine.seconds(0, 2**30) == pytest.approx(2**30 / 10e9)


def test_peaks_come_from_the_shortest_round(monkeypatch):
    monkeypatch.setattr(peaks, "LADDER", (4096,))
    monkeypatch.setattr(peaks, "SIDE", 64)
    steps = iter(np.cumsum(np.resize([0.0, 2.0, 0.0, 1.0], 1000)))
    found = measure_peaks(1, clock=lambda: float(next(steps)))
    assert found.gflops == pytest.approx(2 * 64**3 / 1 / 1e9)
    assert found.bandwidth == {4096: pytest.approx(2 * 4096 * 256 / 1 / 1e9)}


def test_verdicts_take_the_fastest_runtime_of_each():
    timings = [
        timing("student:a", 0.05), timing("student:b", 0.025), timing("student:c", 0.01, 2),
        timing("dmvton2023-plain:a", 2.0), timing("dmvton2023-matmul:b", 1.0),
        timing("dmvton2023-matmul:a", 1.5), timing("student-int8:b", 0.0125),
    ]  # fmt: skip
    found = {(v["student"], v["rival"]): v["ratio"] for v in verdicts(timings, 1)}
    assert found == {
        ("student:b", "dmvton2023-plain:a"): pytest.approx(80),
        ("student:b", "dmvton2023-matmul:b"): pytest.approx(40),
        ("student-int8:b", "dmvton2023-plain:a"): pytest.approx(160),
        ("student-int8:b", "dmvton2023-matmul:b"): pytest.approx(80),
    }
    assert verdicts(timings, 2) == []


def test_share_of_the_roofline():
    cases = student_cases(Layers(), INPUTS, 0)[:1]
    machine = Peaks(1, 1.0, {2**20: 1e6})
    least = cases[0].operations / 1e9
    rows = layer_rows(cases, {(0, "quick"): timing("", 2 * least)}, machine)
    assert rows[0]["roofline_share"] == pytest.approx(0.5)
    assert "50%" in layer_table(rows).splitlines()[1]
    assert "50%" in category_table(rows).splitlines()[1]


@pytest.mark.parametrize("backend", [Ort(), Torch()])
def test_contender_is_converted_once(graph, tmp_path, backend, monkeypatch):
    first = contender(graph, tmp_path, backend)
    first.prepare(1)
    first.check()
    monkeypatch.setattr(type(backend), "convert", None)  # a second conversion would fail
    again = contender(graph, tmp_path, backend)
    again.prepare(2)
    again.check()
    again.run()


def test_damaged_cache_is_made_again(graph, tmp_path):
    contender(graph, tmp_path).prepare(1)
    (file,) = tmp_path.rglob("frame.onnx")
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    again = contender(graph, tmp_path)
    again.prepare(1)
    again.check()
    assert file.read_bytes() == whole


def test_wrong_result_is_not_timed(graph, tmp_path):
    it = contender(graph, tmp_path)
    it.prepare(1)
    it._known[1].outputs["peak"][0, 0] += 0.01
    with pytest.raises(CheckFailed, match="peak.*1.0e-02"):
        it.check()
    with pytest.raises(CheckFailed, match="differ.*nothing was written"):
        BackendContender("it", Ort(), graph, it._known, tmp_path / "new").prepare(1)


def test_backend_that_cannot_run_is_told(graph, tmp_path, monkeypatch):
    monkeypatch.setattr(Ort, "packages", ("a_package_that_is_not_there",))
    with pytest.raises(Unavailable, match="a_package_that_is_not_there.*pip install"):
        contender(graph, tmp_path).prepare(1)


def test_converter_that_fails_is_told(graph, tmp_path, monkeypatch):
    def fail(*_):
        raise ConversionError("no such operator")

    monkeypatch.setattr(Ort, "convert", fail)
    with pytest.raises(Unavailable, match="no such operator"):
        contender(graph, tmp_path).prepare(1)


def test_options():
    config = configuration(["--threads", "1", "4", "--what", "layers", "--rivals"])
    assert (config.threads, config.what, config.rivals) == ((1, 4), ("layers",), ())
    assert config.shapes == BackendsConfig.shapes
    for wrong in (
        ["--clock", "cpu"],
        ["--threads", "0"],
        ["--rounds", "0"],
        ["--what", "all"],
        ["--nope"],
    ):
        with pytest.raises(UsageError):
            configuration(wrong)
    with pytest.raises(
        UsageError, match="got backend tpu, expected of onnxruntime, torch, tensorrt"
    ):
        chosen(("tpu",))
    assert chosen(()) == list(BACKENDS.values())


def test_command_measures_a_small_student(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(peaks, "LADDER", (2**15, 2**20))
    monkeypatch.setattr(peaks, "SIDE", 128)
    torch.manual_seed(0)
    student = Student(TINY)
    save_model(tmp_path, student, {"student": TINY.__dict__, "step": 1})
    export_pair(student, (256, 192), tmp_path / "pair", "stands for an int8 pair")
    out = tmp_path / "out.json"
    status = command.main([
        "--backends", "onnxruntime", "torch", "--rivals", "--threads", "1", "--rounds", "1",
        "--warmup", "0", "--shapes", "1", "--checkpoint", str(tmp_path), "--out", str(out),
        "--cache", str(tmp_path / "cache"), "--int8", str(tmp_path / "pair"),
    ])  # fmt: skip
    said = capsys.readouterr().out
    assert status == 0
    report = json.loads(out.read_text())
    assert [t["name"] for t in report["models"]][:2] == ["student:onnxruntime", "student:torch"]
    assert report["models"][2]["name"] == "student-int8:onnxruntime"
    assert report["verdicts"] == []
    rows = report["layers"]
    assert {row["category"] for row in rows} == set(CATEGORIES)
    assert {row["backend"] for row in rows} == {"onnxruntime", "torch"}
    assert all(row["roofline_share"] > 0 and row["median_us"] > 0 for row in rows)
    assert "student:torch" in said and "dense 3x3: 3>" in said and "GFLOP/s" in said


def test_command_refuses_in_one_line(capsys):
    assert command.main(["--backends", "tpu"]) == 2
    assert capsys.readouterr().err.startswith("benchmarks.backends: error: got backend tpu")


ROW = {
    "target": "ncnn", "precision": "fp32", "sampling": "native", "versions": {"ncnn": "1.2"},
    "device": "cpu", "not_run": None, "error": 3.3e-5, "bytes": 7_300_000, "ratio": 0.913,
    "placement": {"operators": 90, "fallback": {"GridSample": 4, "MatMul": 7},
                  "grid_sample": "GridSample"},
}  # fmt: skip


def test_page_of_devices():
    report = {
        "environment": {"cpu": "a processor"},
        "pictures": "8 pairs",
        "rows": {"ncnn": ROW, "litert": {"target": "litert", "failed": "no operator x"}},
    }
    text = page(report, ["litert", "ncnn", "web"])
    table = [row for row in text.splitlines() if row.startswith("| ")]
    assert table[1] == "| litert | no: no operator x | | | | | | |"
    assert table[2] == (
        "| ncnn | yes | yes | 3.3e-05 | 7.3 | 0.91 | 11 of 90: 4 GridSample, 7 MatMul "
        "| GridSample |"
    )
    assert len(table) == 3
    assert "ncnn 1.2" in text and "a processor" in text and "8 pairs" in text
    assert "keeps none of them" not in text
    assert "keeps none of them" in page({**report, "rows": {"ncnn": ROW}}, ["ncnn"])


def test_page_of_what_cannot_run_here():
    row = {**ROW, "device": "interpreter"}
    del row["ratio"]
    assert line("coreml", row) == (
        "| coreml | yes | no, interpreted | 3.3e-05 | 7.3 | - | decided on the device "
        "(90 operations) | GridSample |"
    )
    row = {**ROW, "not_run": "there is no node on PATH", "error": None}
    assert line("web", row).startswith("| web | yes | no | - | 7.3 |")
