"""The application of Ray Serve, on a cluster of this machine with two replicas."""

import asyncio
import socket
import time

import numpy as np
import pytest

from dmvton.errors import UsageError
from tests.fake_pair import person_picture
from tests.serving import GARMENT, NOBODY, PERSON, assert_problem, decoded, encoded, wait_until

ray = pytest.importorskip("ray", reason="ray is not installed")
httpx = pytest.importorskip("httpx")
from ray import serve  # noqa: E402

from app.scale.application import application  # noqa: E402
from app.scale.config import ScaleConfig, config_of  # noqa: E402
from app.scale.replica import GarmentPhotos  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(fake_weights, request):
    """Two replicas, each with room for two requests, and one more that may wait."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = ScaleConfig(
        str(fake_weights), least=2, most=2, cores=0.1, ongoing=2, queued=1, batch=2, garments=8
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=100 * 2**20,
            _system_config={"automatic_object_spilling_enabled": False},  # as docs/SERVING.md says
            runtime_env={"env_vars": {"PYTHONPATH": str(request.config.rootpath)}},
        )
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(application(config))
        yield f"http://127.0.0.1:{port}"
        serve.shutdown()
        ray.shutdown()


@pytest.fixture
def http(address):
    with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
        yield client


def shade(level):
    return np.where(GARMENT == 255, 255, level).astype(np.uint8)


def add(http, garment):
    answer = http.post("/v1/garments", files={"garment": encoded(garment)})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def dress(http, key, person=PERSON):
    files = {"person": encoded(person)}
    return http.post("/v1/tryon", files=files, data={"garment_id": key, "format": "png"})


def test_a_photo_is_dressed_as_without_a_cluster(http, fake_tryon):
    answer = dress(http, add(http, GARMENT))
    wanted = fake_tryon(PERSON, fake_tryon.garment(GARMENT)).image
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(decoded(answer.content), wanted)
    both = {"person": encoded(PERSON), "garment": encoded(GARMENT)}
    alone = http.post("/v1/tryon", files=both, data={"format": "png"})
    np.testing.assert_array_equal(decoded(alone.content), wanted)


def test_both_replicas_work_and_a_garment_stays_with_one(http):
    # An idle replica is picked by chance: of eight garments each has some, but for 1 time in 128.
    # A second eight make that 1 in 32,768; the first may have left the caches by then.
    for levels in (range(20, 180, 20), range(30, 190, 20)):
        keys = [add(http, shade(level)) for level in levels]
        time.sleep(3)  # replicas tell the entrance from time to time what they keep
        replicas = [{dress(http, key).headers["x-replica"] for _ in range(4)} for key in keys]
        assert all(len(served) == 1 for served in replicas), replicas
        if len(set.union(*replicas)) == 2:
            return
    pytest.fail(f"all garments went to one of two replicas: {replicas}")


def test_overload_is_told_to_come_back(address, http, fake_tryon):
    key, person = add(http, GARMENT), person_picture(1500, 1200, (400, 500, 350, 450))
    photo = encoded(person, "JPEG", quality=95)
    wanted = fake_tryon(decoded(photo), fake_tryon.garment(GARMENT)).image
    people = [photo, photo, encoded(NOBODY)] * 8  # what cannot be done does not spoil the others

    async def burst():
        async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=120) as client:
            data = {"garment_id": key, "format": "png"}
            asked = [client.post("/v1/tryon", files={"person": p}, data=data) for p in people]
            return await asyncio.gather(*asked)

    answers = asyncio.run(burst())
    assert {answer.status_code for answer in answers} <= {200, 422, 503}
    assert {200, 503} <= {answer.status_code for answer in answers}
    for answer, sent in zip(answers, people, strict=True):
        if answer.status_code == 503:
            assert_problem(answer, 503, "busy")
            assert answer.headers["retry-after"] == "1"
        elif sent is not photo:
            assert_problem(answer, 422, "no-person")
        else:
            np.testing.assert_array_equal(decoded(answer.content), wanted)
    wait_until(lambda: dress(http, key).status_code == 200, 30)  # and it has recovered


@pytest.mark.parametrize(
    ("files", "data", "status", "name"),
    [
        ({"person": encoded(NOBODY), "garment": encoded(GARMENT)}, {}, 422, "no-person"),
        ({"person": b"text", "garment": encoded(GARMENT)}, {}, 422, "unusable-picture"),
        ({"person": encoded(PERSON), "garment": b"text"}, {}, 422, "unusable-picture"),
        ({"person": encoded(PERSON)}, {"garment_id": "g-none"}, 404, "unknown-garment"),
        ({"person": encoded(PERSON)}, {}, 400, "bad-request"),
        ({"garment": encoded(GARMENT)}, {}, 400, "bad-request"),
        ({"person": encoded(PERSON), "path": b"/etc/passwd"}, {}, 400, "bad-request"),
        ({"person": encoded(PERSON)}, {"quality": "0"}, 422, "unusable-option"),
    ],
)
def test_problems_are_told_as_by_the_server(http, files, data, status, name):
    assert_problem(http.post("/v1/tryon", files=files, data=data), status, name)


def test_garment_photos_are_bounded():
    photos = GarmentPhotos(ScaleConfig(photos=3, photo_bytes=100))
    for number in range(5):
        photos.put(f"g-{number}", bytes(10))
    assert [photos.get(f"g-{n}") is None for n in range(5)] == [True, True, False, False, False]
    photos.get("g-2")
    photos.put("g-5", bytes(85))
    assert photos.get("g-2") and photos.get("g-3") is None and photos.get("g-4") is None
    photos.drop("g-5")
    photos.put("g-6", bytes(90))
    assert photos.get("g-2") and photos.get("g-6")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"moist": "8"}, "unknown option 'moist'"),
        ({"most": "many"}, "most='many'"),
        ({"least": "3", "most": "2"}, "least=3 most=2"),
        ({"queued": "0"}, "queued=0"),
    ],
)
def test_wrong_options(options, says):
    with pytest.raises(UsageError, match=says):
        config_of(options)
