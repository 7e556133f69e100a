"""Who is being served, by key: bounded in number and in time."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from app.engine.pool import BusyError

T = TypeVar("T")


class Registry(Generic[T]):
    """Things by key, which are forgotten when they were not used for long."""

    def __init__(
        self,
        limit: int,
        idle_s: float,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Start empty; ``clock`` counts seconds."""
        self._limit, self._idle, self._clock = limit, idle_s, clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, T]] = OrderedDict()  # oldest use first

    def get(self, key: str, make: Callable[[], T]) -> T:
        """What is kept under the key, made where there is none or it has expired.

        Where there are too many, the one that was not used for longest goes.
        """
        now = self._clock()
        with self._lock:
            self._expire(now)
            thing = self._kept.pop(key)[1] if key in self._kept else make()
            self._kept[key] = now, thing
            while len(self._kept) > self._limit:
                self._kept.popitem(last=False)
        return thing

    def add(self, key: str, thing: T) -> None:
        """Keep something new; those who are here stay.

        Raises:
            BusyError: all places are taken.
        """
        with self._lock:
            self._expire(self._clock())
            if len(self._kept) >= self._limit:
                raise BusyError(f"all {self._limit} streams are taken; try again later", 5.0)
            self._kept[key] = self._clock(), thing

    def touch(self, key: str) -> bool:
        """Note that something is used; False where it is no longer kept."""
        with self._lock:
            self._expire(self._clock())
            if key not in self._kept:
                return False
            self._kept[key] = self._clock(), self._kept.pop(key)[1]
            return True

    def drop(self, key: str) -> None:
        """Forget one who left."""
        with self._lock:
            self._kept.pop(key, None)

    def expire(self) -> None:
        """Forget those who did nothing for long."""
        with self._lock:
            self._expire(self._clock())

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return key in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def _expire(self, now: float) -> None:
        while self._kept and now - next(iter(self._kept.values()))[0] > self._idle:
            self._kept.popitem(last=False)
