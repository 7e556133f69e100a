"""A headless Chromium, driven over its DevTools protocol; its camera shows a file that we made."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SECONDS = 240  # of patience with a busy machine
_NAMES = ("chromium", "chromium-browser", "google-chrome")


class NoChromiumError(RuntimeError):
    """There is no Chromium on this machine."""


class Page:
    """One tab."""

    def __init__(self, socket: Any):
        """Talk over an open socket to DevTools."""
        self._socket, self._numbers = socket, itertools.count(1)
        self.console: list[str] = []  # what the page logged, and its uncaught errors
        self.command("Runtime.enable")
        self.command("Page.enable")

    def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; what the page logs meanwhile is kept."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=SECONDS))
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.console.append(details.get("exception", {}).get("description", details["text"]))
        elif message.get("method") == "Runtime.consoleAPICalled":
            self.console.append(" ".join(str(arg.get("value")) for arg in params["args"]))

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression; promises are awaited."""
        answer = self.command(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str, seconds: float = SECONDS) -> Any:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < end, (script, self.run("document.body.innerText"))
            time.sleep(0.1)
        return value

    def open(self, address: str) -> None:
        """Load a page."""
        self.command("Page.navigate", url=address)
        self.until(f"location.href === {json.dumps(address)} && document.readyState === 'complete'")

    def size(self, width: int, height: int, phone: bool = False) -> None:
        """Set the size of the window, in pixels."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone},
        )

    def screenshot(self) -> bytes:
        """PNG bytes."""
        return base64.b64decode(self.command("Page.captureScreenshot")["data"])

    def canvas(self, name: str) -> bytes:
        """PNG bytes of a canvas, to the pixel."""
        address = self.run(f"document.getElementById({json.dumps(name)}).toDataURL('image/png')")
        return base64.b64decode(address.partition(",")[2])


@contextmanager
def chromium(folder: Path, *flags: str) -> Iterator[Page]:
    """A browser with an empty profile in a folder; gives its page.

    Raises:
        NoChromiumError: there is none.
    """
    from websockets.sync.client import connect

    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        raise NoChromiumError("no Chromium; on Debian: apt install chromium")
    command = [program, "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={folder}"]
    command += ["--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", *flags]
    if os.geteuid() == 0:
        command.append("--no-sandbox")
    process = subprocess.Popen(
        [*command, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with connect(_page_address(folder / "DevToolsActivePort", process), max_size=None) as link:
            yield Page(link)
    finally:
        process.terminate()
        process.wait(30)


def _page_address(file: Path, process: subprocess.Popen) -> str:
    end = time.monotonic() + SECONDS
    while not (file.exists() and file.read_text().count("\n")):
        assert process.poll() is None, "Chromium ended"
        assert time.monotonic() < end, "Chromium does not start"
        time.sleep(0.1)
    port = file.read_text().split()[0]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        with opener.open(f"http://127.0.0.1:{port}/json/list", timeout=SECONDS) as answer:
            pages = [tab for tab in json.load(answer) if tab["type"] == "page"]
        if pages:
            return pages[0]["webSocketDebuggerUrl"]
        time.sleep(0.1)


def camera(video: Path) -> tuple[str, ...]:
    """Switches that make a Y4M file the browser's camera."""
    return (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={video}",
    )


def film(path: Path, rgb: np.ndarray, frames: int = 60, rate: int = 30) -> None:
    """Write a Y4M file of 640 x 480 in which a square picture sways by 20 pixels.

    Args:
        path: the file.
        rgb: (H, H, 3) uint8.
        frames: one sway has so many; the browser plays them over and over.
        rate: frames a second.
    """
    picture = cv2.resize(rgb, (480, 480), interpolation=cv2.INTER_AREA)
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W640 H480 F{rate}:1 Ip A1:1 C420jpeg\n".encode())
        for number in range(frames):
            frame = np.full((480, 640, 3), 96, np.uint8)
            left = 80 + round(20 * np.sin(2 * np.pi * number / frames))
            frame[:, left : left + 480] = picture
            file.write(b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).tobytes())
