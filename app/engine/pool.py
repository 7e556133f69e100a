"""Workers shared fairly: one network serves many clients, and none of them can crowd out another.

Batches were measured and left out: on one core the frame graph takes 41.7 ms a frame alone, 44.1 in
a batch of two and 45.5 in a batch of four (medians of 25 interleaved runs), so that waiting for
company costs latency and buys nothing. A worker a core does better.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from dmvton.errors import DmvtonError


class BusyError(DmvtonError):
    """There is too much work already; ``retry_s`` says when to try again."""

    def __init__(self, message: str, retry_s: float = 1.0):
        """Say what is full."""
        super().__init__(message)
        self.retry_s = retry_s


class SupersededError(DmvtonError):
    """A newer frame took this one's place before it was looked at."""


class _Job(NamedTuple):
    call: Callable[[], Any]
    future: Future
    since: float  # on the monotonic clock


class Lane:
    """One client's queue; made by ``Pool.lane``."""

    def __init__(self, depth: int, parallel: int, latest_wins: bool, wait_s: float | None):
        """Hold up to ``depth`` waiting jobs, of which ``parallel`` run at a time."""
        self.depth, self.parallel = depth, parallel
        self.latest_wins, self.wait_s = latest_wins, wait_s
        self.waiting: deque[_Job] = deque()
        self.running = 0
        self.listed = False  # whether the pool's round holds it

    @property
    def ready(self) -> bool:
        """Whether a worker may take a job."""
        return bool(self.waiting) and self.running < self.parallel


class PoolState(NamedTuple):
    """What goes on at the moment."""

    workers: int
    busy: int
    waiting: int


class Pool:
    """Threads that take one job of one lane after the other, in turns."""

    def __init__(self, workers: int, on_wait: Callable[[float], None] = lambda seconds: None):
        """Start the threads; ``on_wait`` is told how long each job waited."""
        self._on_wait = on_wait
        self._condition = threading.Condition()
        self._round: deque[Lane] = deque()
        self._busy = self._waiting = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"dmvton-{index}", daemon=True)
            for index in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def lane(
        self,
        depth: int = 1,
        parallel: int = 1,
        latest_wins: bool = False,
        wait_s: float | None = None,
    ) -> Lane:
        """A queue for one client.

        Args:
            depth: most jobs that wait.
            parallel: most jobs that run at a time.
            latest_wins: a full lane drops its oldest waiting job instead of refusing the new one.
            wait_s: jobs that waited longer than this are refused.
        """
        return Lane(depth, parallel, latest_wins, wait_s)

    def submit(self, lane: Lane, call: Callable[[], Any]) -> Future:
        """Have a worker make the call.

        Returns:
            Its result; ``SupersededError`` or ``BusyError`` where it was not made.

        Raises:
            BusyError: the lane is full, or the pool is closed.
        """
        dropped = None
        job = _Job(call, Future(), time.monotonic())
        with self._condition:
            if self._closed:
                raise BusyError("the engine is shutting down; try again elsewhere", 5.0)
            if len(lane.waiting) >= lane.depth:
                if not lane.latest_wins:
                    raise BusyError(f"{lane.depth} jobs are waiting already; try again later")
                dropped = lane.waiting.popleft()
                self._waiting -= 1
            lane.waiting.append(job)
            self._waiting += 1
            self._list(lane)
        if dropped is not None:
            _refuse(dropped, SupersededError("a newer frame took this one's place"))
        return job.future

    def state(self) -> PoolState:
        """For the readout."""
        with self._condition:
            return PoolState(len(self._threads), self._busy, self._waiting)

    def close(self) -> None:
        """Take no more jobs, do those that wait, and end the threads."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        for thread in self._threads:
            thread.join()

    def _list(self, lane: Lane) -> None:
        """Give the lane its turn at the end of the round."""
        if lane.ready and not lane.listed:
            lane.listed = True
            self._round.append(lane)
            self._condition.notify()

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            lane, job = taken
            try:
                self._run(lane, job)
            finally:
                with self._condition:
                    lane.running -= 1
                    self._busy -= 1
                    self._list(lane)

    def _take(self) -> tuple[Lane, _Job] | None:
        """The next job in turn; None once the pool is closed and empty."""
        with self._condition:
            while not self._round:
                if self._closed:
                    return None
                self._condition.wait()
            lane = self._round.popleft()
            lane.listed = False
            job = lane.waiting.popleft()
            lane.running += 1
            self._busy += 1
            self._waiting -= 1
            self._list(lane)
            return lane, job

    def _run(self, lane: Lane, job: _Job) -> None:
        waited = time.monotonic() - job.since
        self._on_wait(waited)
        if lane.wait_s is not None and waited > lane.wait_s:
            _refuse(job, BusyError(f"no worker came free within {lane.wait_s:g} s; try later", 2.0))
            return
        if not job.future.set_running_or_notify_cancel():
            return
        try:
            job.future.set_result(job.call())
        except BaseException as error:  # whoever waits gets it
            job.future.set_exception(error)


def _refuse(job: _Job, error: DmvtonError) -> None:
    if job.future.set_running_or_notify_cancel():
        job.future.set_exception(error)
