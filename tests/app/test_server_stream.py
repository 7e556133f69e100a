"""The WebSocket door: frames in, dressed frames out, and what goes wrong in between."""

import json
import threading

import numpy as np
import pytest

from app.engine import EngineLimits
from app.engine.live import Live
from app.layers import LAYERS, layer_pictures
from dmvton.image_io import Limits
from tests.fake_pair import person_picture
from tests.serving import (
    GARMENT,
    NOBODY,
    PERSON,
    application,
    client,
    decoded,
    encoded,
    served,
    wait_until,
)

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
connect = pytest.importorskip("websockets.sync.client").connect

from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402

from app.server.settings import ServerSettings, key_digest  # noqa: E402

KEY = "k" * 24


@pytest.fixture(scope="module")
def app(fake_tryon):
    return application(fake_tryon)


@pytest.fixture(scope="module")
def address(app):
    with served(app) as made:
        yield made


def opened(address, **options):
    return connect(f"ws://{address}/v1/stream", proxy=None, open_timeout=20, **options)


def garment_id(address, picture=GARMENT, **headers):
    with client(address, **headers) as http:
        return http.post("/v1/garments", files={"garment": encoded(picture)}).json()["id"]


def hear(socket):
    return json.loads(socket.recv(20))


def set_up(socket, address, picture=GARMENT, **options):
    settings = {"garment": garment_id(address, picture), "format": "png", **options}
    socket.send(json.dumps({"type": "set", **settings}))
    return hear(socket)


def exchange(socket, picture):
    socket.send(encoded(picture))
    message = hear(socket)
    assert message["type"] == "frame", message
    return message, decoded(socket.recv(20))


@pytest.fixture
def socket(address):
    with opened(address) as made:
        set_up(made, address)
        yield made


def test_frames_are_dressed_one_after_the_other(socket, fake_tryon):
    alone = Live(fake_tryon)
    alone.garment = fake_tryon.garment(GARMENT)
    for number in range(3):
        frame = person_picture(300, 240, (80 + 4 * number, 100, 70, 90))
        message, picture = exchange(socket, frame)
        np.testing.assert_array_equal(picture, alone.step(frame).image)
        assert message["number"] == number and message["person"] and message["dropped"] == 0
        assert (message["width"], message["height"]) == (240, 300)
        assert set(message["stages_ms"]) == {"wait", "decode", "network", "draw", "encode"}
        assert message["age_ms"] >= message["stages_ms"]["network"]


def test_frames_as_jpeg_and_webp(socket):
    for kind in ("JPEG", "WEBP"):
        socket.send(encoded(PERSON, kind, quality=95))
        assert hear(socket)["person"]
        assert decoded(socket.recv(20)).shape == PERSON.shape


def test_nobody_in_view_gives_the_frame_back(socket):
    message, picture = exchange(socket, NOBODY)
    assert message["person"] is False
    np.testing.assert_array_equal(picture, NOBODY)


def test_settings_change_in_the_middle(socket, address):
    other = np.where(GARMENT == 255, 255, 90).astype(np.uint8)
    before = exchange(socket, PERSON)[1]
    answer = set_up(socket, address, other, format="webp", quality=50, label=True)
    assert answer == {
        "type": "set",
        "garment": garment_id(address, other),
        "view": "dressed",
        "format": "webp",
        "quality": 50,
        "label": True,
    }
    socket.send(encoded(PERSON))
    assert hear(socket)["garment"] == answer["garment"]
    data = socket.recv(20)
    assert data[8:12] == b"WEBP" and np.abs(decoded(data).astype(int) - before).max() > 50


def test_layers_are_shown_in_place_of_the_result(socket, fake_tryon):
    alone = Live(fake_tryon)
    alone.garment = fake_tryon.garment(GARMENT)
    for view in LAYERS:
        socket.send(json.dumps({"type": "set", "view": view}))
        assert hear(socket)["view"] == view
        message, picture = exchange(socket, PERSON)
        wanted = layer_pictures(alone.step(PERSON).result)[view]
        np.testing.assert_array_equal(picture, wanted)
        assert (message["width"], message["height"]) == (192, 256)
        np.testing.assert_array_equal(exchange(socket, NOBODY)[1], NOBODY)
        alone.step(NOBODY)


def test_newest_frame_wins(address, monkeypatch):
    gate, begun, look = threading.Event(), threading.Event(), Live.look

    def held(live, frame):
        begun.set()
        assert gate.wait(20)
        return look(live, frame)

    with opened(address) as socket:
        set_up(socket, address)
        monkeypatch.setattr(Live, "look", held)
        socket.send(encoded(NOBODY))
        assert begun.wait(20)
        for number in range(1, 6):
            frame = person_picture(300, 240, (80 + number, 100, 70, 90))
            socket.send(encoded(frame))
        socket.ping().wait(20)  # all of them have arrived
        gate.set()
        first, last = hear(socket), (socket.recv(20), hear(socket))[1]
    assert (first["number"], first["person"]) == (0, False)
    assert (last["number"], last["person"], last["dropped"]) == (5, True, 4)


def test_frame_before_any_garment_is_told_what_to_do(address):
    with opened(address) as socket:
        socket.send(encoded(PERSON))
        message = hear(socket)
    assert message["type"] == "error" and message["number"] == 0
    assert message["problem"]["type"] == "urn:dmvton:problem:no-garment-set"


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("", "bad-message"),
        ("hello", "bad-message"),
        ("[" * 5000, "bad-message"),
        ("[" * 4000, "bad-message"),
        ("[]", "bad-message"),
        ('{"type": "start"}', "bad-message"),
        ('{"type": "set", "path": "/etc/passwd"}', "bad-message"),
        ('{"type": "set", "garment": {"a": 1}}', "unknown-garment"),
        ('{"type": "set", "garment": "g-0"}', "unknown-garment"),
        ('{"type": "set", "format": "gif"}', "unusable-option"),
        ('{"type": "set", "view": "all"}', "unusable-option"),
        ('{"type": "set", "quality": 1e99}', "unusable-option"),
        (b"", "unusable-picture"),
        (b"\xff\xd8\xff\xe0", "unusable-picture"),
        (encoded(PERSON)[:500], "unusable-picture"),
        (encoded(PERSON, "GIF"), "unusable-picture"),
    ],
)
def test_malformed_messages_are_answered_and_the_stream_goes_on(socket, sent, name):
    socket.send(sent)
    message = hear(socket)
    assert message["type"] == "error"
    assert message["problem"]["type"] == f"urn:dmvton:problem:{name}"
    assert message["number"] == (0 if isinstance(sent, bytes) else None)
    assert exchange(socket, PERSON)[0]["person"]


def test_who_sends_nothing_but_rubbish_is_sent_away(socket):
    with pytest.raises(ConnectionClosed) as closed:
        for _ in range(30):
            socket.send("rubbish")
            hear(socket)
    assert closed.value.rcvd.code == 1008


def test_message_over_the_limit_ends_the_stream(fake_tryon):
    limits = EngineLimits(frame=Limits(max_bytes=10_000))
    with served(application(fake_tryon, limits=limits)) as address, opened(address) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            socket.send(bytes(10_001))
            socket.recv(20)
        assert closed.value.rcvd.code == 1009


def test_silent_stream_is_closed(fake_tryon):
    settings = ServerSettings(socket_idle_s=0.1)
    with served(application(fake_tryon, settings)) as address, opened(address) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(20)
    assert closed.value.rcvd.code == 1008 and "nothing came" in closed.value.rcvd.reason


def test_dropped_sockets_give_their_places_back(app, address):
    for _ in range(20):
        with opened(address) as socket:
            set_up(socket, address)
            socket.send(encoded(PERSON))
            socket.socket.close()  # without a word
    wait_until(lambda: len(app.state.door.engine.streams) == 0)
    assert app.state.door.sockets == 0
    wait_until(lambda: app.state.door.engine.pool.state()[1:] == (0, 0))


def test_places_are_bounded(fake_tryon):
    app = application(fake_tryon, limits=EngineLimits(streams=1))
    with served(app) as address, opened(address):
        with pytest.raises(InvalidStatus) as refused, opened(address):
            pass
    answer = refused.value.response
    assert answer.status_code == 503 and answer.headers["retry-after"] == "5"
    assert json.loads(answer.body)["type"] == "urn:dmvton:problem:busy"


def test_pages_of_other_sites_are_kept_out(address):
    with pytest.raises(InvalidStatus) as refused, opened(address, origin="https://evil.example"):
        pass
    assert refused.value.response.status_code == 403
    with opened(address, origin=f"http://{address}"):
        pass


def test_keys_in_a_header_or_as_a_subprotocol(fake_tryon):
    app = application(fake_tryon, ServerSettings(keys={key_digest(KEY): "anna"}))
    with served(app) as address:
        with pytest.raises(InvalidStatus) as refused, opened(address):
            pass
        assert refused.value.response.status_code == 401
        with opened(address, additional_headers={"authorization": f"Bearer {KEY}"}):
            pass
        with opened(address, subprotocols=["dmvton", f"key.{KEY}"]) as socket:
            assert socket.subprotocol == "dmvton"


def test_stream_is_closed_politely_when_the_server_ends(fake_tryon, monkeypatch):
    """A frame that is being worked on is answered first."""
    gate, look, begun = threading.Event(), Live.look, threading.Event()

    def held(live, frame):
        begun.set()
        assert gate.wait(20)
        return look(live, frame)

    app = application(fake_tryon)
    with served(app) as address, opened(address) as socket:
        set_up(socket, address)
        monkeypatch.setattr(Live, "look", held)
        socket.send(encoded(PERSON))
        assert begun.wait(20)
        app.state.door.loop.call_soon_threadsafe(app.state.door.drain)
        wait_until(lambda: app.state.door.guard.draining)
        gate.set()
        assert hear(socket)["person"] and decoded(socket.recv(20)).shape == PERSON.shape
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(20)
    assert closed.value.rcvd.code == 1012
