"""A server in a thread, and pictures to send to it."""

import io
import threading
import time
from contextlib import contextmanager

import numpy as np
from PIL import Image

from app.engine import EngineLimits
from tests.fake_pair import garment_picture, person_picture

PERSON = person_picture(300, 240, (80, 100, 70, 90))
NOBODY = person_picture(300, 240, None)
GARMENT = garment_picture(200, 150)


def encoded(rgb, kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, kind, **options)
    return file.getvalue()


def decoded(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def application(tryon, settings=None, limits=None, workers=2):
    from app.server.application import create_app

    return create_app(tryon, settings, limits or EngineLimits(), workers)


@contextmanager
def served(app, pair=None):
    """Serve an application; gives host:port."""
    from app.server.protocol import server_of

    server = server_of(app, "127.0.0.1", 0, "error", pair)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server does not end"


def wait_until(condition, seconds=20):
    """Wait for a condition, as long as it takes on a busy machine."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def client(address, **headers):
    import httpx

    return httpx.Client(base_url=f"http://{address}", trust_env=False, timeout=30, headers=headers)


def photo_files(person=PERSON, garment=GARMENT):
    photos = {"person": person, "garment": garment}
    return {name: encoded(photo) for name, photo in photos.items() if photo is not None}


def assert_problem(answer, status, name, says=""):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail"} and problem["status"] == status
    assert problem["type"] == f"urn:dmvton:problem:{name}" and says in problem["detail"]
