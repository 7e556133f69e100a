"""Whether there is room for one more stream: judged by how those who are here fare."""

import threading
import time
from collections.abc import Callable

from app.engine.limits import EngineLimits
from app.engine.pool import BusyError

_SHARE = 0.05  # of the newest frame's age in the running mean: looks back some twenty frames
_FORGOTTEN_S = 3.0  # without frames for so long, there is no load


class Load:
    """The age of frames, and when the last stream came."""

    def __init__(
        self, limits: EngineLimits, workers: int, clock: Callable[[], float] = time.monotonic
    ):
        """Start without load; ``clock`` counts seconds."""
        self._limits, self._workers, self._clock = limits, workers, clock
        self._lock = threading.Lock()
        self._age, self._seen = 0.0, clock()
        self._admitted = float("-inf")

    def add(self, age_s: float) -> None:
        """Count a frame that was so old when it was done."""
        with self._lock:
            now = self._clock()
            fresh = now - self._seen > _FORGOTTEN_S
            self._age = age_s if fresh else self._age + _SHARE * (age_s - self._age)
            self._seen = now

    def admit(self, streams: int) -> None:
        """Let a stream in beside so many others.

        Raises:
            BusyError: it would be at the others' cost.
        """
        with self._lock:
            now = self._clock()
            if streams >= self._workers:
                self._check(now)
            self._admitted = now

    def _check(self, now: float) -> None:
        limit = self._limits
        if now - self._seen <= _FORGOTTEN_S and self._age > limit.age_s:
            raise BusyError(
                f"frames take {self._age * 1e3:.0f} ms already, at most {limit.age_s * 1e3:.0f} "
                "with room for one more; try again later",
                5.0,
            )
        if now - self._admitted < limit.pause_s:
            raise BusyError("many streams are starting; try again in a moment", limit.pause_s)
