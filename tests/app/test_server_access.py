"""Who may use the server, and how often."""

import pytest

from tests.serving import application, assert_problem, client, photo_files, served

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("prometheus_client")

from app.server.guard import Rates  # noqa: E402
from app.server.problems import Problem  # noqa: E402
from app.server.settings import ServerSettings, key_digest, read_keys  # noqa: E402
from dmvton.errors import UsageError  # noqa: E402

KEY, OTHER = "k" * 24, "o" * 24


def test_keys(fake_tryon):
    keys = {key_digest(KEY): "anna", key_digest(OTHER): "bert"}
    with served(application(fake_tryon, ServerSettings(keys=keys))) as address:
        with client(address) as http:
            assert_problem(http.post("/v1/tryon", files=photo_files()), 401, "unauthorized")
            assert http.get("/metrics").status_code == 401
            assert http.get("/healthz").status_code == 200
            wrong = {"authorization": "Bearer " + "x" * 24}
            assert http.post("/v1/tryon", files=photo_files(), headers=wrong).status_code == 401
        ids = set()
        for header in ({"authorization": f"Bearer {KEY}"}, {"x-api-key": OTHER}):
            with client(address, **header) as http:
                ids.add(http.post("/v1/garments", files=photo_files(person=None)).json()["id"])
                assert http.post("/v1/tryon", files=photo_files()).status_code == 200
        assert len(ids) == 2  # each owner's garments are their own


def test_rate_of_a_client(fake_tryon):
    with served(application(fake_tryon, ServerSettings(rate=0.001, burst=2))) as address:
        with client(address) as http:
            answers = [http.post("/v1/garments", files=photo_files(person=None)) for _ in range(3)]
            assert [a.status_code for a in answers] == [201, 201, 429]
            assert_problem(answers[2], 429, "too-many-requests", "slow down")
            assert int(answers[2].headers["retry-after"]) > 100
            assert http.get("/healthz").status_code == 200


def test_rates_refill_and_do_not_grow_without_bound(monkeypatch):
    monkeypatch.setattr("app.server.guard._CLIENTS", 3)
    now = [0.0]
    rates = Rates(2.0, 1, clock=lambda: now[0])
    rates.take("a")
    with pytest.raises(Problem) as refused:
        rates.take("a")
    assert refused.value.status == 429 and refused.value.retry_s == pytest.approx(0.5)
    now[0] = 0.5
    rates.take("a")
    for name in "bcdef":
        rates.take(name)
    assert len(rates._buckets) == 3


def test_pages_of_other_sites_are_kept_out_unless_allowed(fake_tryon):
    ask = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    with served(application(fake_tryon)) as address, client(address) as http:
        assert "access-control-allow-origin" not in http.options("/v1/tryon", headers=ask).headers
    settings = ServerSettings(origins=("https://shop.example",))
    with served(application(fake_tryon, settings)) as address, client(address) as other:
        answer = other.options("/v1/tryon", headers=ask)
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        ask["origin"] = "https://evil.example"
        assert "access-control-allow-origin" not in other.options("/v1/tryon", headers=ask).headers


def test_file_of_keys(tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"# ours\nanna {KEY}  # phone\n\nbert {OTHER}\n")
    assert read_keys(path) == {key_digest(KEY): "anna", key_digest(OTHER): "bert"}
    for text, says in (("", "no key"), ("anna short", "line 1"), (f"{KEY} a b", "line 1")):
        path.write_text(text)
        with pytest.raises(UsageError, match=says) as refused:
            read_keys(path)
        assert KEY not in str(refused.value)
    with pytest.raises(UsageError, match="cannot be read"):
        read_keys(tmp_path / "absent")
