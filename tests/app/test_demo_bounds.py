"""What visitors of the demo may cost: sessions, pictures, requests."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from app.body_limit import BodyLimit
from app.engine.codec import shrunk
from app.session import SessionLimits, Sessions
from app.uploads import UploadRoom
from dmvton.image_io import read_picture
from tests.fake_pair import person_picture

gr = pytest.importorskip("gradio")

from app.fields import MAX_UPLOAD, image_data, payload_bytes, photo_field  # noqa: E402

PERSON = person_picture(600, 500, (180, 200, 120, 160))


def test_sessions_are_bounded_and_expire():
    now = [0.0]
    sessions = Sessions(None, SessionLimits(visitors=2, idle_s=10), clock=lambda: now[0])
    first = sessions.get("a")
    sessions.get("b")
    assert sessions.get("a") is first
    sessions.get("c")  # "b" was idle for longest
    assert len(sessions) == 2 and sessions.get("a") is first
    now[0] = 11.0
    assert sessions.get("a") is not first and len(sessions) == 1
    now[0] = 22.0
    sessions.expire()
    assert len(sessions) == 0


def test_shrunk_keeps_what_is_small():
    small = np.zeros((20, 30, 3), np.uint8)
    assert shrunk(small, 30) is small
    assert shrunk(np.zeros((1000, 3), np.uint8), 100).shape == (100, 1)


def payload(**fields):
    return SimpleNamespace(**{"path": None, "url": None, **fields})


def test_pictures_travel_in_memory():
    sent = image_data(PERSON, 95)
    assert sent.path is None
    received = read_picture(payload_bytes(sent)).rgb
    assert np.abs(received.astype(int) - PERSON).mean() < 2


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"url": "data:image/png;base64,***"}, "damaged"),
        ({"url": "data:image/png;base64," + "A" * (MAX_UPLOAD * 4 // 3 + 200)}, "larger than"),
        ({"path": "gone.png"}, "no longer kept"),
        ({}, "no longer kept"),
    ],
)
def test_unusable_payloads_are_refused_without_a_traceback(fields, says):
    with pytest.raises(gr.Error, match=says) as caught:
        payload_bytes(payload(**fields))
    assert not caught.value.print_exception


def test_field_returns_plain_values():
    field = photo_field()
    assert field.postprocess(None) is None and field.preprocess(None) is None


def exchange(limit, chunks, headers=()):
    """Send a body in chunks through the limit to an application that reads all of it."""
    sent, waiting = [], [*chunks]

    async def application(scope, receive, send):
        while (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 200})

    async def receive():
        chunk = waiting.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(waiting)}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "headers": list(headers)}
    asyncio.run(BodyLimit(application, limit)(scope, receive, send))
    return sent[0]["status"], len(waiting)


def test_bodies_within_the_limit_pass():
    assert exchange(10, [b"12345", b"67890"]) == (200, 0)
    assert exchange(10, [b"1"], [(b"content-length", b"1")]) == (200, 0)


def test_bodies_over_the_limit_are_not_read_on():
    assert exchange(10, [b"123456"] * 5) == (413, 3)


def test_declared_lengths_are_checked_first():
    assert exchange(10, [b"1"], [(b"content-length", b"11")]) == (413, 1)
    assert exchange(10, [b"1"], [(b"content-length", b"many")]) == (413, 1)


def test_uploads_are_refused_while_the_folder_is_full(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))

    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})

    def status(path):
        sent = []

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "path": path, "headers": []}
        asyncio.run(UploadRoom(application, room=100)(scope, None, send))
        return sent[0]["status"]

    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "photo.jpg").write_bytes(bytes(100))
    assert status("/gradio_api/upload") == 200
    (tmp_path / "another.jpg").write_bytes(bytes(1))
    assert status("/gradio_api/upload") == 503
    assert status("/gradio_api/queue/join") == 200
