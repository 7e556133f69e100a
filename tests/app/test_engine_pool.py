"""Turns, bounds and ends of the pool of workers."""

import threading

import pytest

from app.engine.pool import BusyError, Pool, SupersededError


@pytest.fixture
def pool():
    made = Pool(1)
    yield made
    made.close()


@pytest.fixture
def held(pool):
    """Keeps the only worker busy until called."""
    gate, started = threading.Event(), threading.Event()

    def hold():
        started.set()
        gate.wait(20)

    pool.submit(pool.lane(), hold)
    assert started.wait(20)
    yield gate.set
    gate.set()


def test_result_and_error_reach_the_caller(pool):
    lane = pool.lane(depth=2)
    assert pool.submit(lane, lambda: 42).result(20) == 42
    with pytest.raises(ZeroDivisionError):
        pool.submit(lane, lambda: 1 / 0).result(20)
    assert pool.submit(lane, lambda: "still alive").result(20) == "still alive"


def test_latest_wins(pool, held):
    lane = pool.lane(depth=1, latest_wins=True)
    old, new = (pool.submit(lane, lambda n=n: n) for n in (1, 2))
    with pytest.raises(SupersededError):
        old.result(20)
    held()
    assert new.result(20) == 2


def test_full_lane_refuses_and_others_do_not(pool, held):
    lane = pool.lane(depth=2)
    waiting = [pool.submit(lane, lambda n=n: n) for n in range(2)]
    with pytest.raises(BusyError, match="2 jobs"):
        pool.submit(lane, lambda: 3)
    other = pool.submit(pool.lane(), lambda: "other")
    assert pool.state() == (1, 1, 3)
    held()
    assert [job.result(20) for job in waiting] == [0, 1] and other.result(20) == "other"


def test_lanes_take_turns_however_much_one_asks(pool, held):
    done = []
    greedy, modest = pool.lane(depth=10), pool.lane(depth=10)
    jobs = [pool.submit(greedy, lambda: done.append("greedy")) for _ in range(6)]
    jobs += [pool.submit(modest, lambda: done.append("modest")) for _ in range(2)]
    held()
    for job in jobs:
        job.result(20)
    assert done[:4] == ["greedy", "modest", "greedy", "modest"]


def test_a_lane_runs_one_job_at_a_time():
    pool, lane_of = Pool(4), {}
    running, worst, lock = {}, {}, threading.Lock()

    def work(name):
        with lock:
            running[name] = running.get(name, 0) + 1
            worst[name] = max(worst.get(name, 0), running[name])
        threading.Event().wait(0.002)
        with lock:
            running[name] -= 1

    lane_of = {"serial": pool.lane(depth=20), "wide": pool.lane(depth=20, parallel=3)}
    jobs = [pool.submit(lane, lambda n=name: work(n)) for name, lane in lane_of.items() for _ in range(20)]  # fmt: skip # noqa: E501
    for job in jobs:
        job.result(20)
    pool.close()
    assert worst["serial"] == 1 and worst["wide"] in (2, 3)


def test_job_that_waited_too_long_is_refused(pool, held):
    late = pool.submit(pool.lane(wait_s=0.0), lambda: "late")
    held()
    with pytest.raises(BusyError, match="no worker came free") as refused:
        late.result(20)
    assert refused.value.retry_s > 0


def test_cancelled_job_is_not_done(pool, held):
    done = []
    job = pool.submit(pool.lane(), lambda: done.append(1))
    assert job.cancel()
    held()
    pool.submit(pool.lane(), lambda: None).result(20)
    assert not done


def test_closing_finishes_what_waits_and_refuses_the_rest():
    pool, gate = Pool(2), threading.Event()
    lanes = [pool.lane(depth=3) for _ in range(3)]
    jobs = [pool.submit(lane, lambda: gate.wait(20)) for lane in lanes for _ in range(3)]
    closing = threading.Thread(target=pool.close)
    closing.start()
    while True:
        try:
            jobs.append(pool.submit(pool.lane(), lambda: gate.wait(20)))
        except BusyError as refused:
            assert "shutting down" in str(refused)
            break
    gate.set()
    closing.join(20)
    assert all(job.result(0) for job in jobs)
