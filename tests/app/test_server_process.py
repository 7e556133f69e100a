"""The server as a process: what it leaves behind, how it ends, and clients that hold it up."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from app import cli
from tests.serving import (
    GARMENT,
    PERSON,
    application,
    client,
    encoded,
    served,
    wait_until,
)

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")
connect = pytest.importorskip("websockets.sync.client").connect

from app.server.settings import ServerSettings  # noqa: E402

ROOT = Path(cli.__file__).parents[1]
FILES = {"person": encoded(PERSON), "garment": encoded(GARMENT)}
MARK = b"marker-in-every-photo"


@contextmanager
def process(folder, weights, *options):
    """``dmvton serve`` in a folder of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    command += ["--weights", str(weights), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment |= {name: str(folder) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")}
    log = (folder / "log").open("wb")
    running = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
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
        wait_until(answers, 60)
        yield SimpleNamespace(address=address, process=running, log=folder / "log")
    finally:
        running.kill()
        running.wait(20)
        log.close()


def test_photos_are_never_written_down(tmp_path, fake_weights):
    """A thousand photos and frames, good and bad; then no file but the log, and none in it."""
    with process(tmp_path, fake_weights) as server:
        with client(server.address) as http:
            assert ask_with_photos(http, 500) == {200, 422}
        with connect(f"ws://{server.address}/v1/stream", proxy=None) as stream:
            assert send_frames(stream, http_garment(server.address), 500) == {"frame", "error"}
        opened = [os.readlink(link) for link in links(server.process.pid)]
        assert not [name for name in opened if "deleted" in name]
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["log"]
    log = (tmp_path / "log").read_bytes()
    assert MARK not in log and b"PNG" not in log and b"Traceback" not in log


SMALL = encoded(PERSON[::3, ::3])  # a hundred times ten milliseconds are a second
LARGE = np.random.default_rng(0).integers(0, 255, (800, 800, 3), np.uint8)  # 2 MB
KINDS = [SMALL + MARK, SMALL[:100] + MARK, MARK, encoded(LARGE)[:-500_000] + MARK]


def ask_with_photos(http, count):
    statuses = set()
    for number in range(count):
        photo = KINDS[3 if number % 50 == 0 else number % 3]
        files = {"person": (f"{MARK.decode()}.png", photo), "garment": FILES["garment"] + MARK}
        statuses.add(http.post("/v1/tryon", files=files).status_code)
    return statuses


def http_garment(address):
    with client(address) as http:
        garment = {"garment": FILES["garment"] + MARK}
        return http.post("/v1/garments", files=garment).json()["id"]


def send_frames(stream, garment, count):
    stream.send(json.dumps({"type": "set", "garment": garment}))
    stream.recv(20)
    kinds = set()
    for number in range(count):
        stream.send(KINDS[number % 3])
        kinds.add(json.loads(stream.recv(20))["type"])
        if number % 3 == 0:
            assert stream.recv(20)[:2] == b"\xff\xd8"
    return kinds


def links(pid):
    folder = Path(f"/proc/{pid}/fd")
    return [path for path in folder.iterdir() if path.is_symlink()] if folder.exists() else []


def test_sigterm_under_load_answers_everything_that_was_let_in(tmp_path, fake_weights):
    large = np.repeat(np.repeat(PERSON, 5, axis=0), 5, axis=1)  # takes a while
    files = {"person": encoded(large), "garment": FILES["garment"]}
    answers, lost = [], []

    def ask():
        try:
            with client(server.address) as http:
                answers.append(http.post("/v1/tryon", files=files, data={"format": "png"}))
        except httpx.ConnectError:
            answers.append(None)  # came after the end
        except httpx.TransportError as error:
            lost.append(error)

    with process(tmp_path, fake_weights, "--workers", "1") as server:
        askers = [threading.Thread(target=ask) for _ in range(12)]
        for asker in askers:
            asker.start()
        with client(server.address) as http:
            wait_until(lambda: waiting(http) >= 5)
        server.process.send_signal(signal.SIGTERM)
        for asker in askers:
            asker.join(60)
        assert server.process.wait(60) == 0
        with pytest.raises(httpx.TransportError), client(server.address) as http:
            http.get("/healthz")
    assert not lost and len(answers) == 12
    answers = [answer for answer in answers if answer is not None]
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert sum(answer.status_code == 200 for answer in answers) >= 6
    for answer in answers:
        assert len(answer.content) == int(answer.headers["content-length"])
        if answer.status_code == 503:
            assert answer.json()["type"] == "urn:dmvton:problem:draining"


def waiting(http):
    return float(re.search(r"^dmvton_queue_jobs (\S+)", http.get("/metrics").text, re.M)[1])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--workers", "0"], "--workers 0"),
        (["--streams", "0"], "--streams 0"),
        (["--port", "0"], "--port 0"),
        (["--keys", "absent"], "cannot be read"),
        (["--rate", "-1"], "--rate -1"),
        (["--cors-origin", "shop.example"], "--cors-origin"),
    ],
)
def test_wrong_usage(words, says, capsys):
    assert cli.main(["serve", *words]) == 2
    shown = capsys.readouterr().err
    assert says in shown and shown.count("\n") == 1


# Clients that hold it up


@pytest.fixture(scope="module")
def hasty(fake_tryon):
    """A server without patience."""
    settings = ServerSettings(head_s=0.2, body_s=0.2, send_s=0.2, connections=20)
    app = application(fake_tryon, settings)
    with served(app) as address:
        yield SimpleNamespace(address=address, app=app)


def raw(address):
    host, _, port = address.partition(":")
    return socket.create_connection((host, int(port)), timeout=20)


@pytest.mark.parametrize("sent", [b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nA: b\r\n"])
def test_head_that_does_not_come_is_not_waited_for(hasty, sent):
    with raw(hasty.address) as slow:
        slow.sendall(sent)
        assert slow.recv(100) == b""


def test_second_head_on_a_connection_is_not_waited_for_either(hasty):
    with raw(hasty.address) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /heal")
        received = b""
        while part := slow.recv(1000):
            received += part
    assert received.startswith(b"HTTP/1.1 200") and received.count(b"HTTP/1.1") == 1


def test_body_that_does_not_come_is_answered_408(hasty):
    with raw(hasty.address) as slow:
        slow.sendall(
            b"POST /v1/tryon HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        received = b""
        while part := slow.recv(1000):
            received += part
    assert received.startswith(b"HTTP/1.1 408") and b"problem:too-slow" in received
    assert hasty.app.state.door.budget.used == 0


def test_reader_that_does_not_read_is_cut_off(hasty):
    """Pipelines requests for large answers and reads none."""
    noise = np.random.default_rng(0).integers(0, 255, (700, 700, 3), np.uint8)
    noise[200:500, 200:400] = (230, 20, 20)
    person = encoded(noise, "JPEG", quality=98)
    body = httpx.Request(
        "POST",
        f"http://{hasty.address}/v1/tryon",
        files={**FILES, "person": person},
        data={"format": "png"},
    )
    data = body.read()
    head = "".join(f"{name}: {value}\r\n" for name, value in body.headers.items())
    request = f"POST /v1/tryon HTTP/1.1\r\n{head}\r\n".encode() + data
    with raw(hasty.address) as greedy, pytest.raises(OSError):
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(200):
            greedy.sendall(request)
    wait_until(lambda: hasty.app.state.door.budget.used == 0)


def test_connections_are_bounded(hasty):
    held = [raw(hasty.address) for _ in range(40)]
    try:
        refused = 0
        for one in held:
            one.settimeout(5)
            try:
                one.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                refused += not one.recv(100)
            except OSError:
                refused += 1
        assert refused >= 20
    finally:
        for one in held:
            one.close()
    with client(hasty.address) as http:
        wait_until(lambda: alive(http))


def alive(http):
    try:
        return http.get("/healthz").json() == {"status": "ok"}
    except httpx.TransportError:
        return False


def test_health_is_answered_while_all_workers_are_busy(fake_tryon, monkeypatch):
    gate = threading.Event()
    app = application(fake_tryon)
    with served(app) as address, client(address) as http:
        lanes = [app.state.door.engine.pool.lane() for _ in range(3)]
        jobs = [app.state.door.engine.pool.submit(lane, lambda: gate.wait(20)) for lane in lanes]
        wait_until(lambda: app.state.door.engine.pool.state()[1:] == (2, 1))
        assert http.get("/healthz").status_code == 200
        assert json.loads(http.get("/healthz").text) == {"status": "ok"}
        assert not jobs[2].done()
        gate.set()
