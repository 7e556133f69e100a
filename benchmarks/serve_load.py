"""Streams against `dmvton serve`: pictures a second, age of frames, and what overload does.

Starts the server as a process of its own and talks to it as clients do, over WebSockets with JPEG
frames of 640x480. The clients share the machine with the server, as in the demo.
"""

import asyncio
import json
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jsonargparse

from benchmarks.serve_clients import Tally, frames_of, load, run_stream, spread
from benchmarks.serve_process import ROOT, Server
from dmvton.sessions import available_cores

_LET_IN_S = 5.0  # from the streams' start to SIGTERM
_WEIGHINGS = 10  # of the server's memory during the overload


@dataclass(frozen=True)
class LoadConfig:
    """What is measured, and for how long."""

    seconds: float = 10.0
    """Length of each measurement."""
    rates: tuple[float, ...] = (15.0,)
    """Frames a second of a stream in the search for the capacity; the first in the overload too."""
    hold: float | None = None
    """Length of the overload; None is that of the other measurements."""
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
        workers = config.workers or available_cores()
        capacity = []
        for rate in config.rates:
            guess = max(1, round(workers / (rate * spent)))
            capacity.append(await _capacity(server, frames, config, rate, guess, report, say))
        report["overload"] = await _overload(
            server, frames, config, config.overload * max(1, capacity[0])
        )
        say(f"overload: {report['overload']}")
    finally:
        server.process.kill()
    return report


async def _capacity(
    server: Server,
    frames: list[bytes],
    config: LoadConfig,
    rate: float,
    streams: int,
    report: dict[str, Any],
    say: Callable[[str], None],
) -> int:
    """How many streams get their frames, all but one in twenty: searched from a guess on."""
    fits: dict[int, bool] = {}
    while True:
        tally, _ = await load(server, frames, streams, config.seconds, rate, stagger=True)
        found = tally.report(config.seconds, streams) | {"rate": rate}
        report.setdefault("paced", []).append(found)
        say(f"{streams} streams at {rate:g} frames/s: {found}")
        fits[streams] = found["fps_each"] >= 0.95 * rate
        if fits[streams] and fits.get(streams + 1) is False:
            return streams
        if not fits[streams] and (streams == 1 or fits.get(streams - 1)):
            return streams - 1
        streams += 1 if fits[streams] else -1


async def _overload(
    server: Server, frames: list[bytes], config: LoadConfig, streams: int
) -> dict[str, Any]:
    """Many times what it can carry, then SIGTERM in the middle of it."""
    seconds = config.hold or config.seconds
    memory = [server.memory_mib()]

    async def weigh() -> None:
        for _ in range(_WEIGHINGS):
            await asyncio.sleep(seconds / _WEIGHINGS)
            memory.append(await asyncio.to_thread(server.memory_mib))

    (tally, health), _ = await asyncio.gather(
        load(server, frames, streams, seconds, config.rates[0], insist=True), weigh()
    )
    admitted = streams - tally.outside
    found = tally.report(seconds, admitted) | {"offered_streams": streams}
    found |= {"health_ms": spread(health), "memory_mib": memory}
    last = Tally()
    until = time.perf_counter() + 60
    runs = [run_stream(server, frames, last, until, config.rates[0]) for _ in range(streams)]
    waiting = asyncio.gather(*runs)
    await asyncio.sleep(_LET_IN_S)
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
