"""The HTTP door: what it answers, whom it lets in, and what it refuses."""

import base64
import json

import numpy as np
import pytest

from app.engine import EngineLimits
from dmvton.image_io import Limits
from tests.serving import (
    GARMENT,
    NOBODY,
    PERSON,
    application,
    assert_problem,
    client,
    decoded,
    encoded,
    photo_files,
    served,
    wait_until,
)

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("prometheus_client")

from app.server.settings import ServerSettings  # noqa: E402


@pytest.fixture(scope="module")
def http(fake_tryon):
    with served(application(fake_tryon)) as address, client(address) as made:
        yield made


# Results


def test_photos_in_a_form_give_a_picture(http, fake_tryon):
    answer = http.post("/v1/tryon", files=photo_files(), data={"format": "png"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    wanted = fake_tryon(PERSON, fake_tryon.garment(GARMENT)).image
    np.testing.assert_array_equal(decoded(answer.content), wanted)
    assert answer.headers["cache-control"] == "no-store"
    assert "photo;dur=" in answer.headers["server-timing"]


@pytest.mark.parametrize(("kind", "tolerance"), [("jpeg", 3), ("webp", 6)])
def test_formats(http, fake_tryon, kind, tolerance):
    answer = http.post("/v1/tryon", files=photo_files(), data={"format": kind, "quality": "95"})
    assert answer.headers["content-type"] == f"image/{kind}"
    wanted = fake_tryon(PERSON, fake_tryon.garment(GARMENT)).image.astype(int)
    assert np.abs(decoded(answer.content) - wanted).mean() < tolerance


def test_photos_in_json_give_json(http):
    photos = {name: base64.b64encode(data).decode() for name, data in photo_files().items()}
    answer = http.post("/v1/tryon", json={**photos, "format": "png", "label": False, "quality": 90})
    result = answer.json()
    assert (result["width"], result["height"], result["media_type"]) == (240, 300, "image/png")
    form = http.post("/v1/tryon", files=photo_files(), data={"format": "png"})
    assert base64.b64decode(result["image"]) == form.content
    assert result["garment_id"] == form.headers["x-garment-id"]


def test_garment_is_sent_once_and_worn_by_its_id(http):
    answer = http.post("/v1/garments", files=photo_files(person=None))
    assert answer.status_code == 201 and set(answer.json()) == {"id", "width", "height"}
    key = answer.json()["id"]
    assert http.post("/v1/garments", files=photo_files(person=None)).json()["id"] == key
    by_id = http.post("/v1/tryon", files=photo_files(garment=None), data={"garment_id": key})
    assert by_id.content == http.post("/v1/tryon", files=photo_files()).content


def test_label_is_written_where_asked_for(http):
    plain, marked = (
        http.post("/v1/tryon", files=photo_files(), data={"format": "png", "label": label})
        for label in ("false", "true")
    )
    changed = np.nonzero((decoded(plain.content) != decoded(marked.content)).any(-1))
    assert changed[0].size and changed[0].min() > 250


# Refusals


@pytest.mark.parametrize(
    ("sent", "data", "status", "name", "says"),
    [
        (photo_files(person=NOBODY), {}, 422, "no-person", "no person"),
        (photo_files(garment=np.full((90, 90, 3), 255, np.uint8)), {}, 422, "no-garment", "blank"),
        ({"person": b"x", "garment": b"y"}, {}, 422, "unusable-picture", "not a JPEG"),
        (
            {**photo_files(), "person": encoded(PERSON, "GIF")},
            {},
            422,
            "unusable-picture",
            "not a JPEG",
        ),
        (photo_files(garment=None), {}, 400, "bad-request", "either"),
        (photo_files(), {"garment_id": "g-1"}, 400, "bad-request", "either"),
        (photo_files(garment=None), {"garment_id": "g-1"}, 404, "unknown-garment", "not kept"),
        (photo_files(person=None), {}, 400, "bad-request", "'person' is missing"),
        (photo_files(), {"path": "/etc/passwd"}, 400, "bad-request", "unknown field"),
        (photo_files(), {"format": "gif"}, 422, "unusable-option", "jpeg, png, webp"),
        (photo_files(), {"quality": "101"}, 422, "unusable-option", "1 to 100"),
        (photo_files(), {"quality": "-1"}, 422, "unusable-option", "1 to 100"),
        (photo_files(), {"label": "maybe"}, 422, "unusable-option", "true or false"),
    ],
)
def test_refusals(http, sent, data, status, name, says):
    assert_problem(http.post("/v1/tryon", files=sent, data=data), status, name, says)


@pytest.mark.parametrize(
    ("kind", "body", "status", "says"),
    [
        ("text/plain", b"hello", 415, "multipart/form-data or application/json"),
        ("multipart/form-data", b"hello", 415, "send multipart"),
        ("multipart/form-data; boundary=b", b"hello", 400, "form"),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--\r\n", 400, "no name"),
        ("application/json", b"{", 400, "not valid JSON"),
        ("application/json", b"[" * 100_000, 400, "not valid JSON"),
        ("application/json", b"[]", 400, "JSON list"),
        ("application/json", b'{"person": "***"}', 400, "not base64"),
        ("application/json", b'{"person": 7}', 400, "not base64"),
    ],
)
def test_bodies_that_cannot_be_read(http, kind, body, status, says):
    answer = http.post("/v1/tryon", content=body, headers={"content-type": kind})
    name = "unsupported-media-type" if status == 415 else "bad-request"
    assert_problem(answer, status, name, says)


def form(*parts, end=b"--b--\r\n"):
    head = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    return b"".join(head % part for part in parts) + end


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (form((b"person", b"1"), (b"person", b"2")), "twice"),
        (form(*[(b"a%d" % n, b"") for n in range(9)]), "more than 8 parts"),
        (form((b"person", b"1"), end=b""), "cut short"),
        (form((b"n" * 2000, b"1")), "longer than 1024"),
    ],
)
def test_malformed_forms(http, body, says):
    kind = {"content-type": "multipart/form-data; boundary=b"}
    answer = http.post("/v1/tryon", content=body, headers=kind)
    assert_problem(answer, 400, "bad-request", says)


def test_unknown_paths_and_methods(http):
    assert_problem(http.get("/v1/nothing"), 404, "http")
    assert_problem(http.get("/v1/tryon"), 405, "http")
    assert http.get("/docs").status_code == 404  # would load scripts from elsewhere


def test_bounds_on_requests_and_pixels(fake_tryon):
    limits = EngineLimits(photo=Limits(max_pixels=50_000))
    app = application(fake_tryon, ServerSettings(max_body=20_000, uploads=30_000), limits)
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    with served(app) as address, client(address) as http:
        assert_problem(http.post("/v1/tryon", files=photo_files(noise)), 413, "too-large")

        def chunks():
            for _ in range(100):
                yield bytes(1000)

        assert_problem(http.post("/v1/tryon", content=chunks()), 413, "too-large")
        assert_problem(
            http.post("/v1/tryon", files=photo_files()), 422, "unusable-picture", "pixels"
        )
        app.state.door.budget.used = 29_900
        refused = http.post("/v1/tryon", files=photo_files())
        assert_problem(refused, 503, "busy")
        assert int(refused.headers["retry-after"]) >= 1
        app.state.door.budget.used = 0
    assert app.state.door.budget.used == 0


def test_full_queue_is_told_so(fake_tryon):
    app = application(fake_tryon, limits=EngineLimits(photos_waiting=0))
    with served(app) as address, client(address) as http:
        refused = http.post("/v1/tryon", files=photo_files())
        assert_problem(refused, 503, "busy", "waiting")
        assert refused.headers["retry-after"] == "1"


# Its state


def test_ready_once_the_network_was_checked(http):
    wait_until(lambda: http.get("/readyz").status_code == 200)
    assert http.get("/readyz").json()["network"] == "fake"


def test_not_ready_where_the_network_computes_something_else(fake_tryon, monkeypatch):
    from app.server import warmup
    from dmvton.errors import CheckpointError

    monkeypatch.setattr(warmup, "TOLERANCE", -1.0)
    with pytest.raises(CheckpointError, match="differs"):
        warmup.parity(fake_tryon.network)
    with served(application(fake_tryon)) as address, client(address) as http:
        wait_until(lambda: "differs" in http.get("/readyz").text)
        assert_problem(http.get("/readyz"), 503, "not-ready", "another version of onnxruntime")
        assert http.get("/healthz").status_code == 200


@pytest.mark.trained
def test_packaged_network_passes_the_check(real_tryon):
    from app.server.warmup import TOLERANCE, parity

    assert 0 <= parity(real_tryon.network) < TOLERANCE


def test_metrics(http):
    http.post("/v1/tryon", files=photo_files())
    text = http.get("/metrics").text
    for name in (
        'dmvton_stage_seconds_bucket{le="0.1",stage="photo"}',
        'dmvton_request_seconds_count{route="/v1/tryon",status="200"}',
        "dmvton_queue_jobs 0.0",
        "dmvton_workers 2.0",
        "dmvton_streams 0.0",
    ):
        assert name in text


def test_committed_description_is_the_one_served(http, request):
    path = request.config.rootpath / "docs" / "openapi.json"
    assert http.get("/v1/openapi.json").json() == json.loads(path.read_text()), (
        "write it anew: python -m app.server.openapi docs/openapi.json"
    )


def test_typescript_client_is_generated_from_it(request):
    root = request.config.rootpath
    described = json.loads((root / "docs" / "openapi.json").read_text())
    source = root / "clients" / "typescript" / "src"
    calls, types = (source / name for name in ("sdk.gen.ts", "types.gen.ts"))
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            call = calls.read_text().partition(f"export const {operation['operationId']} =")[2]
            assert f".{method}<" in call[:500] and f"url: '{path}'" in call[:700], path
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            for name in body.get("schema", {}).get("properties", {}):
                assert f"        {name}" in types.read_text(), f"{name}: npm run generate"
