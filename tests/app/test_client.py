"""The Python client against a server."""

import numpy as np
import pytest

from app.client import Client, ServerError
from app.engine import EngineLimits
from tests.serving import GARMENT, NOBODY, PERSON, application, decoded, encoded, served

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")

from app.server.settings import ServerSettings, key_digest  # noqa: E402

KEY = "k" * 24


@pytest.fixture(scope="module")
def client(fake_tryon):
    settings = ServerSettings(keys={key_digest(KEY): "anna"})
    limits = EngineLimits(streams=1)
    with served(application(fake_tryon, settings, limits)) as address:
        yield Client(f"http://{address}/", KEY)


def test_photo_from_path_bytes_and_array(client, fake_tryon, tmp_path):
    garment = client.garment(encoded(GARMENT))
    (tmp_path / "person.png").write_bytes(encoded(PERSON))
    wanted = fake_tryon(PERSON, fake_tryon.garment(GARMENT)).image
    for person in (tmp_path / "person.png", str(tmp_path / "person.png"), encoded(PERSON)):
        np.testing.assert_array_equal(decoded(client.try_on(person, garment, "png")), wanted)
    found = decoded(client.try_on(PERSON, garment)).astype(int)  # by way of JPEG, twice
    assert np.abs(found - wanted).mean() < 4


def test_stream(client):
    pytest.importorskip("websockets")
    garment = client.garment(encoded(GARMENT))
    with client.stream(garment, format="png") as stream:
        first, second = stream.dress(encoded(PERSON)), stream.dress(encoded(NOBODY))
        assert (first.number, second.number) == (0, 1) and first.person and not second.person
        np.testing.assert_array_equal(second.image, NOBODY)
        assert first.age_ms > 0 and "network" in first.stages_ms
        with pytest.raises(ServerError, match="not a JPEG"):
            stream.dress(b"text")
        with pytest.raises(ServerError) as full, client.stream(garment):
            pass
        assert (full.value.status, full.value.kind, full.value.retry_s) == (503, "busy", 5.0)


def test_refusals(client):
    with pytest.raises(ServerError) as refused:
        client.try_on(encoded(NOBODY), client.garment(encoded(GARMENT)))
    assert (refused.value.status, refused.value.kind) == (422, "no-person")
    with pytest.raises(ServerError) as unknown:
        client.try_on(encoded(PERSON), "g-0")
    assert unknown.value.kind == "unknown-garment"
    with pytest.raises(ServerError) as locked:
        Client(client._url).garment(encoded(GARMENT))
    assert locked.value.status == 401


def test_no_server():
    nowhere = Client("http://127.0.0.1:9")
    assert not nowhere.ready()
    with pytest.raises(ServerError, match="is the server running"):
        nowhere.garment(encoded(GARMENT))


def test_ready(client):
    from tests.serving import wait_until

    wait_until(client.ready)
