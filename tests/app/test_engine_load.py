"""When one more stream is let in."""

import pytest

from app.engine.limits import EngineLimits
from app.engine.load import Load
from app.engine.pool import BusyError


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def load(clock):
    limits = EngineLimits(age_s=0.3, pause_s=1.0)
    return Load(limits, workers=2, clock=lambda: clock[0])


def test_one_stream_a_worker_comes_in_at_once_and_more_one_by_one(load, clock):
    load.admit(0)
    load.admit(1)
    with pytest.raises(BusyError, match="starting"):
        load.admit(2)
    clock[0] = 1.0
    load.admit(2)
    with pytest.raises(BusyError):
        load.admit(3)


def test_nobody_comes_in_while_frames_are_late(load, clock):
    clock[0] = 5.0
    for _ in range(50):
        load.add(0.5)
        clock[0] += 0.1
    with pytest.raises(BusyError, match="500 ms already") as refused:
        load.admit(2)
    assert refused.value.retry_s == 5.0
    load.admit(1)  # a worker of their own
    clock[0] += 2.0
    for _ in range(50):
        load.add(0.1)
    load.admit(2)


def test_late_frames_of_streams_that_left_are_forgotten(load, clock):
    clock[0] = 5.0
    load.add(2.0)
    with pytest.raises(BusyError):
        load.admit(2)
    clock[0] += 3.1
    load.admit(2)


def test_one_late_frame_among_many_is_no_load(load, clock):
    clock[0] = 5.0
    for age in [0.1] * 30 + [1.0]:
        load.add(age)
    load.admit(2)
