"""Pictures and requests made to break things: every one is answered, in the way that is described.

``DMVTON_FUZZ=2000`` sends as many mutated pictures; some hundreds without it.
"""

import os
import struct
import zlib

import numpy as np
import pytest

from tests.serving import GARMENT, PERSON, application, client, encoded, served

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

MUTATIONS = int(os.environ.get("DMVTON_FUZZ", "300"))


@pytest.fixture(scope="module")
def app(fake_tryon):
    return application(fake_tryon)


@pytest.fixture(scope="module")
def address(app):
    with served(app) as made:
        yield made


@pytest.fixture(scope="module")
def http(address):
    with client(address) as made:
        yield made


def mutated(data, rng):
    """A picture file with some of it changed, cut out, doubled or cut off."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        if not out:
            break
        at, length = int(rng.integers(0, len(out))), int(rng.integers(1, 40))
        kind = rng.integers(0, 5)
        if kind == 0:
            out[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            out[at : at + length] = rng.integers(0, 256, length, np.uint8).tobytes()
        elif kind == 2:
            del out[at : at + length]
        elif kind == 3:
            out[at:at] = out[at : at + length]
        elif rng.random() < 0.2:
            del out[at:]
    return bytes(out)


def test_mutated_pictures(http):
    """Half as the person, half as the garment; heads are hit as often as bodies."""
    rng = np.random.default_rng(7)
    small = PERSON[::3, ::3]
    originals = [encoded(small, kind) for kind in ("JPEG", "PNG", "WEBP")]
    good, garment = encoded(small), encoded(GARMENT[::2, ::2])
    statuses = {}
    for number in range(MUTATIONS):
        original = originals[number % 3]
        bad = mutated(original[:200], rng) + original[200:]
        bad = mutated(bad, rng) if number % 2 else bad
        files = {"person": bad, "garment": garment}
        if number % 4 == 3:
            files = {"person": good, "garment": bad}
        answer = http.post("/v1/tryon", files=files)
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        if answer.status_code != 200:
            assert answer.json()["type"].startswith("urn:dmvton:problem:"), answer.text
    assert {200, 422} <= set(statuses) <= {200, 400, 422}, statuses  # 400: nothing is left of it
    assert http.get("/healthz").status_code == 200


def png(width, height, depth, colour, rows):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + name + body
        data += struct.pack(">I", zlib.crc32(name + body))
    return data


def frames(kind, count):
    """An animation: only its first frame is ever decoded."""
    import io

    from PIL import Image

    file, images = io.BytesIO(), [Image.fromarray(PERSON)] * count
    for number, image in enumerate(images):
        images[number] = image.copy()
        images[number].putpixel((0, 0), (number, 0, 0))
    images[0].save(file, kind, save_all=True, append_images=images[1:])
    return file.getvalue()


@pytest.mark.parametrize(
    ("bomb", "status"),
    [
        (png(20_000, 20_000, 1, 0, bytes(2501 * 20_000)), 422),
        (png(2**31 - 1, 2**31 - 1, 8, 2, b""), 422),
        (png(0, 0, 8, 2, b""), 422),
        (png(4000, 4000, 8, 2, b"\0" * 100), 422),
        (png(300, 300, 16, 6, bytes(300 * 2401)) + bytes(2**20), 422),
        (frames("PNG", 30), 200),
        (frames("WEBP", 30), 200),
        (b"GIF89a" + bytes(100), 422),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", 422),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='http://127.0.0.1/'/></svg>", 422),
        (b"II*\0" + bytes(100), 422),
        (b"http://127.0.0.1:9/photo.jpg", 422),
        (b"/etc/passwd", 422),
    ],
)
def test_bombs_and_other_kinds(http, bomb, status):
    answer = http.post("/v1/tryon", files={"person": bomb, "garment": encoded(GARMENT)})
    assert answer.status_code == status, answer.text[:300]


def test_whatever_the_description_allows_is_answered_as_described(app):
    """Requests made up from the description, and some that break it."""
    schemathesis = pytest.importorskip("schemathesis")
    hypothesis = pytest.importorskip("hypothesis")
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", app)
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    calm = hypothesis.settings(
        max_examples=25,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    seen = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in schemathesis.GenerationMode:
            if mode == schemathesis.GenerationMode.NEGATIVE and operation.method == "get":
                continue  # nothing of it can be wrong

            @calm
            @hypothesis.given(operation.as_strategy(generation_mode=mode))
            def answered(case):
                # A description cannot say which bytes are a photo of a person.
                answer = case.call_and_validate(excluded_checks=[positive_data_acceptance])
                seen.add((case.path, answer.status_code // 100))

            answered()
    assert {("/v1/tryon", 4), ("/v1/garments", 4), ("/healthz", 2)} <= seen
