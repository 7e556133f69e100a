"""A headless Chromium for end-to-end tests, driven over its DevTools protocol: no other package."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
import urllib.request
from contextlib import contextmanager

import pytest

SECONDS = 240  # of patience with a busy machine
_NAMES = ("chromium", "chromium-browser", "google-chrome")


class Page:
    """One tab."""

    def __init__(self, socket):
        self._socket, self._numbers, self.console = socket, itertools.count(1), []
        self.command("Runtime.enable")
        self.command("Page.enable")

    def command(self, method, **params):
        """Send a command and wait for its answer; what the page logs meanwhile is kept."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=SECONDS))
            if message.get("id") == number:
                assert "error" not in message, message["error"]
                return message["result"]
            self._note(message)

    def _note(self, message):
        params = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.console.append(details.get("exception", {}).get("description", details["text"]))
        elif message.get("method") == "Runtime.consoleAPICalled":
            self.console.append(" ".join(str(arg.get("value")) for arg in params["args"]))

    def run(self, script):
        """The value of a JavaScript expression; promises are awaited."""
        answer = self.command(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script, seconds=SECONDS):
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < end, (script, self.run("document.body.innerText"))
            time.sleep(0.1)
        return value

    def open(self, address):
        self.command("Page.navigate", url=address)
        self.until(f"location.href === {json.dumps(address)} && document.readyState === 'complete'")

    def size(self, width, height, phone=False):
        self.command(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone},
        )

    def screenshot(self):
        """PNG bytes."""
        return base64.b64decode(self.command("Page.captureScreenshot")["data"])

    def canvas(self, name):
        """PNG bytes of a canvas, to the pixel."""
        address = self.run(f"document.getElementById({json.dumps(name)}).toDataURL('image/png')")
        return base64.b64decode(address.partition(",")[2])


@contextmanager
def chromium(folder, *flags):
    """A browser with an empty profile in a folder; gives its page."""
    connect = pytest.importorskip("websockets.sync.client", reason="needs websockets").connect
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("no Chromium; on Debian: apt install chromium")
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


def _page_address(file, process):
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
