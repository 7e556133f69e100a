"""The demo as a process: what it leaves behind, and requests made to break its page."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from app import cli
from tests.serving import GARMENT, PERSON, client, encoded, wait_until

httpx = pytest.importorskip("httpx")
pytest.importorskip("gradio")
connect = pytest.importorskip("websockets.sync.client").connect

ROOT = Path(cli.__file__).parents[1]
MARK = b"marker-in-every-photo"
PHOTO = encoded(PERSON[::2, ::2]) + MARK
TRY_ON = "/gradio_api/call/try_on"
PHOTOS = int(os.environ.get("DMVTON_FUZZ", "100"))

pytestmark = pytest.mark.slow


@contextmanager
def process(folder, weights):
    """``dmvton demo`` in a folder of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "app.cli", "demo", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment |= {name: str(folder) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    log = (folder / "log").open("wb")
    running = subprocess.Popen(
        [*command, "--weights", str(weights)],
        cwd=folder,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    address = f"127.0.0.1:{port}"

    def answers():
        assert running.poll() is None, (folder / "log").read_text()
        try:
            with client(address) as http:
                return http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(answers, 120)
        yield SimpleNamespace(address=address, process=running, log=folder / "log")
    finally:
        running.kill()
        running.wait(20)
        log.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory, fake_weights):
    with process(tmp_path_factory.mktemp("demo"), fake_weights) as made:
        yield made


@pytest.fixture
def http(server):
    with client(server.address) as made:
        yield made


def kept_files(picture):
    """All files of the folder in which an upload lies; no other place may hold any."""
    (folder,) = (p for p in Path(picture["path"]).parents if p.name.startswith("dmvton-demo-"))
    return [file for file in folder.rglob("*") if file.is_file()]


def upload(http, data, name="photo.png"):
    answer = http.post("/gradio_api/upload", files={"files": (name, data)})
    assert answer.status_code == 200, answer.text
    return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}


def try_on(http, picture):
    """The event's last line: its kind, and what it holds."""
    asked = http.post(TRY_ON, json={"data": [picture]})
    if asked.status_code != 200:
        return str(asked.status_code), None
    said = http.get(f"{TRY_ON}/{asked.json()['event_id']}").text
    kind, data = re.findall(r"event: (\w+)\ndata: (.*)", said)[-1]
    return kind, json.loads(data)


def frames(address, count):
    """Send camera frames, good and bad, as the page does."""
    with client(address) as http:
        sent = http.post("/v1/garments", files={"garment": encoded(GARMENT) + MARK})
    kinds = set()
    with connect(f"ws://{address}/v1/stream", proxy=None) as stream:
        stream.send(json.dumps({"type": "set", "garment": sent.json()["id"], "view": "flow"}))
        stream.recv(20)
        for number in range(count):
            stream.send(PHOTO if number % 2 else PHOTO[:200] + MARK)
            kinds.add(json.loads(stream.recv(20))["type"])
            if number % 2:
                stream.recv(20)
    return kinds


def test_mutated_payloads_are_answered(http):
    """What a page would never send: wrong kinds, paths, addresses, broken pictures."""
    rng = np.random.default_rng(3)
    payloads = [
        None, 1, "x", [], {}, {"path": "/etc/passwd"}, {"path": "../../etc/passwd"},
        {"path": "http://127.0.0.1:9/a.jpg", "meta": {"_type": "gradio.FileData"}},
        {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
        {"url": "data:image/png;base64,***", "meta": {"_type": "gradio.FileData"}},
        {"url": "file:///etc/passwd", "meta": {"_type": "gradio.FileData"}},
        {"url": "http://127.0.0.1:9/", "path": None, "meta": {"_type": "gradio.FileData"}},
    ]  # fmt: skip
    for payload in payloads:
        kind, data = try_on(http, payload)
        assert kind in ("complete", "error", "422", "500"), (payload, kind)
        assert "root:" not in json.dumps(data)
        if kind == "complete":
            assert data[0] is None
    for _ in range(20):
        bad = bytearray(PHOTO)
        for at in rng.integers(0, len(bad), 8):
            bad[at] = rng.integers(0, 256)
        assert try_on(http, upload(http, bytes(bad)))[0] == "complete"
    for body in (b"", b"{", b"[" * 5000, b'{"data": 5}', b'{"data": []}'):
        headers = {"Content-Type": "application/json"}
        answer = http.post(TRY_ON, content=body, headers=headers)
        assert answer.status_code < 600 and b"Traceback" not in answer.content
    assert http.get("/healthz").status_code == 200
    assert try_on(http, upload(http, PHOTO))[1][0]["url"].startswith("data:image/jpeg")


def test_photos_lie_nowhere_but_in_the_folder_that_goes(server, http):
    """Photos and frames, good and bad; then the upload folder, everything else, and the end."""
    for number in range(PHOTOS):
        photo = PHOTO if number % 2 else PHOTO[: 200 + number] + MARK
        kind, _ = try_on(http, upload(http, photo, f"{number}.png"))
        assert kind == "complete"
    assert frames(server.address, PHOTOS) == {"frame", "error"}
    files = kept_files(upload(http, PHOTO))
    home = [path for path in server.log.parent.rglob("*") if path.is_file()]
    assert not [p for p in home if p not in files and MARK in p.read_bytes()]
    assert sum(MARK in file.read_bytes() for file in files) >= PHOTOS // 2
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0
    assert not [path for path in files if path.exists()]
    log = server.log.read_bytes()
    assert MARK not in log and b"PNG" not in log
