"""Streams against `dmvton serve`: pictures a second, age of frames, and what overload does.

Starts the server as a process of its own and talks to it as clients do, over WebSockets with JPEG
frames of 640x480. The clients share the machine with the server, as in the demo.
"""

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import jsonargparse
import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from benchmarks.serve_process import ROOT, Server
from dmvton.image_io import read_picture

_FRAMES = 24  # different ones, sent over and over


@dataclass(frozen=True)
class LoadConfig:
    """What is measured, and for how long."""

    seconds: float = 10.0
    """Length of each measurement."""
    rate: float = 15.0
    """Frames a second of a stream in the search for the capacity."""
    most: int = 4
    """Most streams in that search."""
    overload: int = 10
    """Overload is so many times the capacity found, and at least so many streams."""
    workers: int | None = None
    """Of the server; None lets it choose."""
    threads: int = 1
    """Of the network in each worker."""
    person: Path = ROOT / "examples" / "person_astronaut.jpg"
    """A photo of a person; the frames are cut out of it, moving."""
    garment: Path = ROOT / "examples" / "garment_striped.jpg"
    """A photo of a garment."""
    out: Path | None = None
    """JSON to write."""


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
    """Streams told 503 or 429."""
    farewells: list[int] = field(default_factory=list)
    """Codes with which the server closed streams."""

    def report(self, seconds: float, streams: int) -> dict[str, Any]:
        """For JSON."""
        stages = self.stages_ms[-200:]
        return {
            "streams": streams,
            "fps_each": round(self.answered / seconds / max(1, streams), 1),
            "age_ms": _spread(self.ages_ms),
            "round_trip_ms": _spread(self.trips_ms),
            "stages_ms": {
                name: round(float(np.median([s[name] for s in stages])), 1)
                for name in (stages[0] if stages else {})
            },
            "sent": self.sent,
            "answered": self.answered,
            "dropped": self.dropped,
            "refused_streams": self.refused,
        }


def _spread(values: list[float]) -> dict[str, float]:
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
) -> None:
    """Send frames until a time: ``rate`` a second, or (None) two in flight at most."""
    async with _stream(server, tally) as made:
        if made is None:
            return
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
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)


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
    server: Server, frames: list[bytes], streams: int, seconds: float, rate: float | None
) -> tuple[Tally, list[float]]:
    """Run streams side by side; returns what they saw and the times of health checks."""
    tally, health = Tally(), []
    until = time.perf_counter() + seconds

    async def check() -> None:
        while time.perf_counter() < until:
            health.append(await asyncio.to_thread(server.health_ms))
            await asyncio.sleep(0.05)

    runs = [run_stream(server, frames, tally, until, rate) for _ in range(streams)]
    await asyncio.gather(check(), *runs)
    return tally, health


async def measure(config: LoadConfig, say: Callable[[str], None] = print) -> dict[str, Any]:
    """All measurements in turn, against one server."""
    server, frames = (
        Server(config.garment, config.threads, config.workers),
        frames_of(config.person),
    )
    report: dict[str, Any] = {"config": {k: str(v) for k, v in asdict(config).items()}}
    try:
        await load(server, frames, 1, 2, None)  # warm-up
        before = server.cpu_s()
        tally, _ = await load(server, frames, 1, config.seconds, None)
        report["one_stream"] = tally.report(config.seconds, 1)
        spent = (server.cpu_s() - before) / max(1, tally.answered)
        report["one_stream"]["processor_ms_a_frame"] = round(spent * 1e3, 1)
        say(f"one stream, as fast as it goes: {report['one_stream']}")
        capacity = 1
        for streams in range(1, config.most + 1):
            tally, _ = await load(server, frames, streams, config.seconds, config.rate)
            found = tally.report(config.seconds, streams)
            report.setdefault("paced", []).append(found)
            say(f"{streams} streams at {config.rate:g} frames/s: {found}")
            if found["fps_each"] < 0.95 * config.rate:
                break
            capacity = streams
        report["overload"] = await _overload(server, frames, config, config.overload * capacity)
        say(f"overload: {report['overload']}")
    finally:
        server.process.kill()
    return report


async def _overload(
    server: Server, frames: list[bytes], config: LoadConfig, streams: int
) -> dict[str, Any]:
    """Many times what it can carry, then SIGTERM in the middle of it."""
    before = server.memory_mib()
    tally, health = await load(server, frames, streams, config.seconds, config.rate)
    found = tally.report(config.seconds, streams - tally.refused)
    found |= {"health_ms": _spread(health), "memory_mib": [before, server.memory_mib()]}
    last = Tally()
    until = time.perf_counter() + 60
    runs = [run_stream(server, frames, last, until, config.rate) for _ in range(streams)]
    waiting = asyncio.gather(*runs)
    await asyncio.sleep(2)
    server.process.send_signal(signal.SIGTERM)
    await waiting
    found["sigterm"] = {
        "exit": await asyncio.to_thread(server.process.wait, 60),
        "streams": streams - last.refused,
        "told_1012": last.farewells.count(1012),
        "answered": last.answered,
    }
    return found


def main() -> None:
    """Measure and print."""
    config = jsonargparse.auto_cli(LoadConfig, as_positional=False)
    report = asyncio.run(measure(config))
    if config.out is not None:
        config.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
