"""The harness on contenders that only tell what was done to them."""

import pytest

from benchmarks.harness import CheckFailed, Plan, Timing, Unavailable, measure, ready


class Fake:
    """Takes `cost` seconds of a clock that stands still otherwise, and writes a log."""

    device, resolution, batch = "none", "1x1", 1

    def __init__(self, name, log, *, cost=0.0, now=None, missing=None, wrong=None):
        self.name, self.log, self.cost, self.now = name, log, cost, now
        self.missing, self.wrong = missing, wrong

    def prepare(self, threads):
        if self.missing:
            raise Unavailable(self.missing)
        self.log.append(("prepare", self.name, threads))

    def run(self):
        self.log.append(("run", self.name))
        if self.now is not None:
            self.now[0] += self.cost

    def check(self):
        if self.wrong:
            raise CheckFailed(self.wrong)
        self.log.append(("check", self.name))


def test_contenders_take_turns():
    log = []
    measure([Fake("a", log), Fake("b", log)], 1, Plan(rounds=2, warmup=1))
    assert [name for _, name in log] == ["a", "a", "b", "b"] * 3


def test_only_timed_rounds_are_kept_and_belong_to_their_contender():
    now = [0.0]
    fakes = [Fake("a", [], cost=2.0, now=now), Fake("b", [], cost=0.5, now=now)]
    a, b = measure(fakes, 2, Plan(rounds=4, warmup=3), clock=lambda: now[0])
    assert a.seconds == (2.0,) * 4 and b.seconds == (0.5,) * 4
    assert (a.name, a.threads, b.name) == ("a", 2, "b")


def test_tick_follows_every_turn():
    ticks = []
    measure([Fake("a", []), Fake("b", [])], 1, Plan(3, 2), tick=lambda: ticks.append(1))
    assert len(ticks) == 2 * (3 + 2)


def test_median_and_p95():
    timing = Timing("a", 1, "cpu", "1x1", 1, tuple(float(s) for s in [*range(100, 0, -1), 1000]))
    assert timing.median == 51
    assert timing.p95 == 96
    assert timing.report()["median_ms"] == 51_000


def test_checked_before_any_is_timed():
    log = []
    able = ready([Fake("a", log), Fake("b", log)], 2, log.append)
    assert [c.name for c in able] == ["a", "b"]
    assert log == [("prepare", "a", 2), ("check", "a"), ("prepare", "b", 2), ("check", "b")]


def test_wrong_result_refuses_to_time():
    log = []
    with pytest.raises(CheckFailed, match=r"b: not timed, its result is wrong: off by one"):
        ready([Fake("a", log), Fake("b", log, wrong="off by one")], 1, log.append)
    assert not [entry for entry in log if entry[0] == "run"]


def test_missing_contender_is_left_out_with_a_word():
    said = []
    able = ready([Fake("a", [], missing="install x"), Fake("b", [])], 1, said.append)
    assert [c.name for c in able] == ["b"]
    assert said == ["a: skipped: install x"]
