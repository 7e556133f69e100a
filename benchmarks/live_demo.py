"""The demo's live view from capture to display: server and browser on this machine.

Serves ``dmvton demo``, opens it in headless Chromium whose camera shows a swaying photo at 30
frames a second, and reads what the page measured: an age runs from the capture of a frame, as the
browser tells it, to the animation frame after its dressed picture was drawn.

With ``--device URL`` it measures the page that runs on the device, which somebody else serves
(``python -m app.web.serve site``), say http://127.0.0.1:8080/?backend=wasm&threads=2.
"""

import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonargparse
import numpy as np

from benchmarks.chromium import Page, camera, chromium, film
from dmvton.image_io import read_picture

ROOT = Path(__file__).parents[1]
START = "document.querySelector('.live .start')"
READOUT = "document.querySelector('.live .readout').textContent"
_SETTLE_S = 3.0


@dataclass(frozen=True)
class LiveConfig:
    """What is measured, and for how long."""

    seconds: float = 20.0
    """Length of the measurement."""
    width: int = 1280
    """Of the browser's window."""
    height: int = 900
    """Of the browser's window."""
    device: str = ""
    """Address of an on-device page; the demo is measured where it is left out."""
    person: Path = ROOT / "examples" / "person_astronaut.jpg"
    """A square photo of a person."""
    out: Path | None = None
    """JSON to write."""


@contextmanager
def demo() -> Iterator[str]:
    """``dmvton demo`` as a process; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}/"
    command = [sys.executable, "-m", "app.cli", "demo", "--port", address.split(":")[2][:-1]]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                urllib.request.urlopen(address + "readyz", timeout=5).close()
                break
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError("the demo does not start; try: dmvton demo") from None
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def start_live(page: Page, address: str) -> None:
    """Open the demo, start its camera and wait for dressed pictures."""
    page.open(address)
    page.until(f"!!{START} && !!globalThis.dmvton")
    page.run("globalThis.dmvton.then(() => true)")
    page.run(f"{START}.click()")
    page.until(f"/fps/.test({READOUT})")


def start_device(page: Page, address: str) -> None:
    """The same of the on-device page; what it shows is written down as the demo does."""
    page.open(address)
    page.until("document.getElementById('status').textContent === 'Ready.'")
    page.run(
        """globalThis.dmvton = { ages: [] };
        document.getElementById('live').addEventListener('shown', ({ detail: { age } }) =>
          globalThis.dmvton.ages.push({ age, shownAt: performance.now() }));
        document.getElementById('start').click();"""
    )
    page.until("globalThis.dmvton.ages.length > 3")


def measure(page: Page, seconds: float) -> dict[str, Any]:
    """Frames a second and ages in milliseconds, over so many seconds of a running live view."""
    began = page.run("performance.now()")
    time.sleep(seconds)
    ages = page.run("Promise.resolve(globalThis.dmvton).then((view) => JSON.stringify(view.ages))")
    seen = [one for one in json.loads(ages) if one["shownAt"] > began]
    span = (seen[-1]["shownAt"] - seen[0]["shownAt"]) / 1000
    report: dict[str, Any] = {"pictures": len(seen), "fps": round((len(seen) - 1) / span, 1)}
    for name, key in (("capture_to_display_ms", "age"), ("engine_ms", "engine")):
        values = [one[key] for one in seen if key in one]
        points = {"median": 50, "p95": 95, "p99": 99} if values else {}
        report[name] = {p: round(float(np.percentile(values, q)), 1) for p, q in points.items()}
    return report


def main() -> None:
    """Measure and print."""
    config = jsonargparse.auto_cli(LiveConfig, as_positional=False)
    served = nullcontext(config.device) if config.device else demo()
    with tempfile.TemporaryDirectory() as name, served as address:
        folder = Path(name)
        film(folder / "camera.y4m", read_picture(config.person).rgb)
        with chromium(folder / "profile", *camera(folder / "camera.y4m")) as page:
            page.size(config.width, config.height)
            (start_device if config.device else start_live)(page, address)
            time.sleep(_SETTLE_S)
            report = measure(page, config.seconds)
    print(json.dumps(report))
    if config.out is not None:
        config.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
