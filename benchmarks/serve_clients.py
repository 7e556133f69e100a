"""Clients of `dmvton serve` that stream a camera's frames, and what they see."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.protocol import State

from benchmarks.serve_process import Server
from dmvton.image_io import read_picture

_FRAMES = 24  # different ones, sent over and over
_PAUSE_S = 1.2  # between two streams that come one after the other
_RETRY_S = 3.0  # between two tries of a stream that was refused


@dataclass
class Tally:
    """What one or more streams saw."""

    ages_ms: list[float] = field(default_factory=list)
    """From a frame's arrival at the server to its picture."""
    trips_ms: list[float] = field(default_factory=list)
    """From sending a frame to having its picture."""
    stages_ms: list[dict[str, float]] = field(default_factory=list)
    sent: int = 0
    answered: int = 0
    dropped: int = 0
    refused: int = 0
    """Times that a stream was told 503 or 429."""
    outside: int = 0
    """Streams that were never let in."""
    farewells: list[int] = field(default_factory=list)
    """Codes with which the server closed streams."""

    def clear(self) -> None:
        """Begin anew."""
        for one, value in vars(Tally()).items():
            setattr(self, one, value)

    def report(self, seconds: float, streams: int) -> dict[str, Any]:
        """For JSON."""
        stages = self.stages_ms[-200:]
        return {
            "streams": streams,
            "fps_each": round(self.answered / seconds / max(1, streams), 1),
            "age_ms": spread(self.ages_ms),
            "round_trip_ms": spread(self.trips_ms),
            "stages_ms": {
                name: round(float(np.median([s[name] for s in stages])), 1)
                for name in (stages[0] if stages else {})
            },
            "sent": self.sent,
            "answered": self.answered,
            "dropped": self.dropped,
            "refusals": self.refused,
        }


def spread(values: list[float]) -> dict[str, float]:
    """Median and percentiles."""
    if not values:
        return {}
    points = {"median": 50, "p95": 95, "p99": 99}
    return {name: round(float(np.percentile(values, q)), 1) for name, q in points.items()}


def frames_of(photo: Path) -> list[bytes]:
    """JPEG frames of 640x480 in which the person moves a little."""
    rgb = read_picture(photo).rgb
    scale = 560 / rgb.shape[0]
    wide = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    side = max(0, 700 - wide.shape[1])
    wide = cv2.copyMakeBorder(wide, 0, 0, side // 2, side - side // 2, cv2.BORDER_REFLECT_101)
    frames = []
    for number in range(_FRAMES):
        turn = 2 * np.pi * number / _FRAMES
        x, y = round(30 + 25 * np.sin(turn)), round(30 + 12 * np.cos(turn))
        cut = cv2.cvtColor(wide[y : y + 480, x : x + 640], cv2.COLOR_RGB2BGR)
        frames.append(cv2.imencode(".jpg", cut, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
    return frames


@contextlib.asynccontextmanager
async def _stream(server: Server, tally: Tally) -> AsyncIterator[ClientConnection | None]:
    """An open stream that wears the garment; None where the server is full."""
    try:
        async with connect(f"ws://127.0.0.1:{server.port}/v1/stream", proxy=None) as made:
            await made.send(json.dumps({"type": "set", "garment": server.garment}))
            await made.recv()
            yield made
    except InvalidStatus as full:
        if full.response.status_code not in (429, 503):
            raise
        tally.refused += 1
        yield None


async def run_stream(
    server: Server, frames: list[bytes], tally: Tally, until: float, rate: float | None
) -> bool:
    """Send frames until a time: ``rate`` a second, or (None) two in flight at most.

    Returns:
        False where there was no room.
    """
    async with _stream(server, tally) as made:
        if made is None:
            return False
        sent: dict[int, float] = {}
        room = asyncio.Semaphore(2)
        hearing = asyncio.create_task(_hear(made, sent, tally, room))
        number, started = 0, time.perf_counter()
        with contextlib.suppress(ConnectionClosed):
            while time.perf_counter() < until:
                if rate is None:
                    await room.acquire()
                else:
                    await asyncio.sleep(max(0, started + number / rate - time.perf_counter()))
                sent[number] = time.perf_counter()
                await made.send(frames[number % len(frames)])
                tally.sent += 1
                number += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    while number - 1 in sent:  # the last frame is never dropped
                        await asyncio.sleep(0.01)
        if made.state is State.CLOSED:
            await hearing  # it hears why
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        return True


async def _hear(
    made: ClientConnection, sent: dict[int, float], tally: Tally, room: asyncio.Semaphore
) -> None:
    dropped = 0
    try:
        while True:
            message = json.loads(await made.recv())
            if message["type"] != "frame":
                raise RuntimeError(f"a frame was refused: {message}")
            await made.recv()
            tally.answered += 1
            tally.ages_ms.append(message["age_ms"])
            tally.stages_ms.append(message["stages_ms"])
            tally.trips_ms.append((time.perf_counter() - sent.pop(message["number"])) * 1e3)
            tally.dropped += message["dropped"] - dropped
            for _ in range(1 + message["dropped"] - dropped):
                room.release()
            dropped = message["dropped"]
    except ConnectionClosed as closed:
        tally.farewells.append(closed.rcvd.code if closed.rcvd else 1006)


async def load(
    server: Server,
    frames: list[bytes],
    streams: int,
    seconds: float,
    rate: float | None,
    insist: bool = False,
    stagger: bool = False,
) -> tuple[Tally, list[float]]:
    """Run streams side by side; returns what they saw and the times of health checks.

    With ``insist``, those that are refused try again every few seconds. With ``stagger``, they come
    one after the other, as the server lets them in, and are counted once all are there.
    """
    tally, health = Tally(), []
    pause = _PAUSE_S if stagger else 0.0
    until = time.perf_counter() + streams * pause + seconds

    async def check() -> None:
        while time.perf_counter() < until:
            health.append(await asyncio.to_thread(server.health_ms))
            await asyncio.sleep(0.05)

    async def come(number: int) -> None:
        await asyncio.sleep(number * pause)
        while not await run_stream(server, frames, tally, until, rate):
            if not insist or time.perf_counter() + _RETRY_S > until:
                tally.outside += 1
                return
            await asyncio.sleep(_RETRY_S)

    async def begin() -> None:
        await asyncio.sleep(streams * pause)
        tally.clear()

    await asyncio.gather(check(), begin(), *(come(number) for number in range(streams)))
    return tally, health
