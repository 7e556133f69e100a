"""The command: options, tables, JSON, and processes of their own."""

import json
import sys

import pytest

from benchmarks import bench
from benchmarks.bench import chosen, compared_with
from benchmarks.harness import CheckFailed, Timing, Unavailable
from benchmarks.options import BenchConfig, configuration
from benchmarks.process import FIRST_FRAME, cold
from benchmarks.report import timing_table
from dmvton.errors import OutputError, UsageError


class Instant:
    device, resolution, batch = "none", "1x1", 1

    def __init__(self, name, missing=None):
        self.name, self.missing = name, missing

    def prepare(self, threads):
        if self.missing:
            raise Unavailable(self.missing)

    def run(self):
        pass

    def check(self):
        pass


@pytest.fixture
def fakes(monkeypatch):
    known = [Instant("dmvton2023-plain"), Instant("student"), Instant("absent", "install x")]
    monkeypatch.setattr(bench, "contenders", lambda sources: known)


def test_main_times_prints_and_writes(fakes, tmp_path, capsys):
    out = tmp_path / "bench.json"
    assert bench.main(["--rounds=3", "--warmup=0", "--processes=0", f"--out={out}"]) == 0
    report = json.loads(out.read_text())
    assert [(t["name"], t["threads"]) for t in report["timings"]] == [
        ("dmvton2023-plain", 1),
        ("student", 1),
        ("dmvton2023-plain", 2),
        ("student", 2),
    ]
    assert all(len(t["runs_ms"]) == 3 for t in report["timings"])
    assert report["baseline"] == "dmvton2023-plain"
    assert report["environment"]["cores"] >= 1
    text = capsys.readouterr().out
    assert "absent: skipped: install x" in text
    assert "1 thread, 3 rounds" in text and "2 threads, 3 rounds" in text


def test_quick_is_one_thread_and_five_rounds():
    config = configuration(["--quick"])
    assert (config.threads, config.rounds, config.processes) == ((1,), 5, 1)
    assert configuration(["--quick", "--rounds=7"]).rounds == 7


def test_only_chooses(fakes):
    assert [c.name for c in chosen(BenchConfig(only=("student",)))] == ["student"]
    with pytest.raises(UsageError, match="no contender other; there are dmvton2023-plain"):
        chosen(BenchConfig(only=("student", "other")))


@pytest.mark.parametrize(
    "option",
    ["--threads=0", "--threads=two", "--rounds=0", "--warmup=-1", "--processes=-1", "--other=1"],
)
def test_bad_options(option):
    with pytest.raises(UsageError):
        configuration([option])


def test_several_threads_and_names():
    config = configuration(["--threads", "1", "4", "--only", "student", "tryon"])
    assert (config.threads, config.only) == ((1, 4), ("student", "tryon"))


def test_baseline_that_was_not_timed(capsys):
    assert compared_with(BenchConfig(), ["student"]) == "student"
    assert "compared with student instead" in capsys.readouterr().out
    with pytest.raises(UsageError, match="not among those timed"):
        compared_with(BenchConfig(baseline="tryon"), ["student"])


def test_nothing_to_time(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "contenders", lambda sources: [Instant("a", "install x")])
    with pytest.raises(Unavailable, match="none of the contenders"):
        bench.main([f"--out={tmp_path / 'bench.json'}"])


def test_unwritable_output_leaves_nothing(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        bench.write(tmp_path / "missing" / "bench.json", {})
    assert not list(tmp_path.iterdir())


def test_table_gives_ratios_to_the_baseline():
    timings = [
        Timing("slow", 1, "cpu", "256x192", 1, (2.0, 2.0)),
        Timing("quick", 1, "cpu", "256x192", 1, (0.05, 0.05)),
    ]
    title, _, slow, quick = timing_table(timings, "slow").splitlines()
    assert title == "1 thread, 2 rounds, faster than slow:"
    assert slow.split() == ["slow", "cpu", "256x192", "1", "2000.0", "2000.0", "1.00x"]
    assert quick.split()[-1] == "40.00x"


def test_peak_memory_is_that_of_the_command_alone():
    ballast = bytearray(300_000_000)  # of this process, which the child must not inherit
    small = cold("small", [sys.executable, "-c", "pass"], runs=1)
    large = cold("large", [sys.executable, "-c", "b = b'x' * 200_000_000"], runs=1)
    assert len(ballast) > 0
    assert small.peak_mb < 100
    assert 200 < large.peak_mb < 300


def test_cold_start_ends_with_the_first_frame():
    script = f"import time; print({FIRST_FRAME!r}, time.time() + 1000)"
    assert cold("child", [sys.executable, "-c", script], runs=1).seconds > 1000


def test_command_that_fails():
    with pytest.raises(CheckFailed, match="child: the process ended with 3: no luck"):
        script = "import sys; print('no luck', file=sys.stderr); sys.exit(3)"
        cold("child", [sys.executable, "-c", script], runs=1)
