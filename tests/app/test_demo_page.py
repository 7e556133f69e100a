"""The demo's page as it is served: over HTTP, and, where there is one, in a browser."""

import base64
import http.client
import re
import shutil
import subprocess
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from app.gallery import EXAMPLE_PERSON, offered_garments
from app.web.build import RECORD
from dmvton.errors import UsageError
from dmvton.image_io import read_picture
from tests.chromium import camera, chromium, film
from tests.fake_pair import person_picture
from tests.serving import served as serving
from tests.serving import wait_until

gr = pytest.importorskip("gradio")
httpx = pytest.importorskip("httpx")

from app.fields import MAX_UPLOAD  # noqa: E402
from app.page import application  # noqa: E402

PERSON = person_picture(600, 500, (180, 200, 120, 160))
LIVE = "document.querySelector('.live"
READOUT = f"{LIVE} .readout').textContent"
WORN = "document.querySelector('#worn').textContent.trim()"


@pytest.fixture(scope="module")
def served(real_tryon, tmp_path_factory):
    """The page, and the folder of Gradio's files."""
    folder = tmp_path_factory.mktemp("gradio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        site = tmp_path_factory.mktemp("site")
        (site / RECORD).write_text("{}")
        (site / "index.html").write_text("<p>on the device")
        app = application(real_tryon, site=site)
        with serving(app) as address:
            wait_until(lambda: app.state.door.ready, 60)
            yield SimpleNamespace(url=f"http://{address}/", folder=folder, app=app)


@pytest.fixture
def client(served):
    from gradio_client import Client

    return Client(served.url, verbose=False)


def test_photo_is_dressed_over_http(served, client, real_tryon):
    from gradio_client import handle_file

    image, layers, line = client.predict(handle_file(str(EXAMPLE_PERSON)), api_name="/try_on")
    data = base64.b64decode(image["url"].partition(",")[2])
    wanted = real_tryon(EXAMPLE_PERSON, real_tryon.garment(offered_garments()[0].picture)).image
    assert np.abs(read_picture(data).rgb.astype(int) - wanted).mean() < 2
    assert len(layers) == 4 and line.startswith("512 × 512 pixels")
    # The upload is all that is kept.
    kept = [path.name for path in served.folder.rglob("*") if path.is_file()]
    assert kept == [EXAMPLE_PERSON.name]


def test_nothing_but_photo_try_on_can_be_called_from_outside(client):
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/try_on"]


def test_text_sent_as_a_photo_is_answered_in_a_sentence(client, tmp_path, capfd):
    from gradio_client import handle_file

    (tmp_path / "text.jpg").write_text("not a photo")
    image, layers, line = client.predict(
        handle_file(str(tmp_path / "text.jpg")), api_name="/try_on"
    )
    assert image is None and "not a JPEG" in line and str(tmp_path) not in line
    assert "Traceback" not in capfd.readouterr().err


def test_web_addresses_are_not_fetched(client, capfd):
    picture = {"path": "http://127.0.0.1:9/a.jpg", "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(Exception, match="not fetched"):
        client.predict(picture, api_name="/try_on")
    assert "Traceback" not in capfd.readouterr().err


def test_page_loads_nothing_from_elsewhere(served):
    answer = httpx.get(served.url, trust_env=False)
    loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"(https?://[^\"]+)", answer.text)
    assert answer.status_code == 200
    assert not [url for url in loaded if not url.startswith(served.url)]
    theme = httpx.get(served.url + "theme.css", trust_env=False).text
    assert "fonts.googleapis" not in answer.text + theme


def test_engine_and_page_are_one_process(served):
    assert httpx.get(served.url + "readyz", trust_env=False).json()["status"] == "ready"
    assert "LiveView" in httpx.get(served.url + "live/main.js", trust_env=False).text
    assert httpx.get(served.url + "live/../demo.css", trust_env=False).status_code == 404


def test_on_device_page_is_served_beside_it(served):
    page = httpx.get(served.url + "device/", trust_env=False)
    assert page.text == "<p>on the device"
    assert page.headers["cross-origin-embedder-policy"] == "require-corp"
    assert "connect-src 'self'" in page.headers["content-security-policy"]
    assert httpx.get(served.url + "device/no", trust_env=False).status_code == 404
    assert "content-security-policy" not in httpx.get(served.url, trust_env=False).headers


def test_site_that_was_not_built_is_refused(fake_tryon, tmp_path):
    with pytest.raises(UsageError, match="app.web.build"):
        application(fake_tryon, workers=1, site=tmp_path)


def test_huge_requests_are_refused(served):
    connection = http.client.HTTPConnection(served.url.split("/")[2], timeout=20)
    connection.putrequest("POST", "/gradio_api/queue/join")
    connection.putheader("Content-Length", str(4 * MAX_UPLOAD))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


# In a browser


def start(page):
    page.until(f"!!{LIVE} .start') && !!globalThis.dmvton")
    page.run("globalThis.dmvton.then(() => true)")
    page.until(f"{WORN} === 'Wearing: Striped'")
    page.run(f"{LIVE} .start').click()")


def shown(page):
    address = page.run(f"{LIVE} canvas').toDataURL('image/png')")
    return read_picture(base64.b64decode(address.partition(",")[2])).rgb


def parts(picture):
    """Mean colour of the face, of the chest and of the background of the film's person."""
    return [picture[rows, columns].mean((0, 1)) for rows, columns in (
        (slice(80, 150), slice(290, 330)),
        (slice(300, 420), slice(290, 400)),
        (slice(20, 460), slice(4, 50)),
    )]  # fmt: skip


@pytest.fixture(scope="module")
def page(served, tmp_path_factory):
    """The demo in a browser whose camera shows the example person, swaying."""
    folder = tmp_path_factory.mktemp("chromium")
    film(folder / "camera.y4m", read_picture(EXAMPLE_PERSON).rgb)
    with chromium(folder / "profile", *camera(folder / "camera.y4m")) as tab:
        tab.size(1280, 900)
        tab.open(served.url)
        start(tab)
        tab.until(f"/^[0-9]+ fps, [0-9]+ ms$/.test({READOUT})")
        yield tab
        assert tab.console == []


@pytest.mark.slow
def test_camera_is_dressed_live(page):
    tall = cv2.resize(read_picture(EXAMPLE_PERSON).rgb, (480, 480))
    still = cv2.copyMakeBorder(tall, 0, 0, 80, 80, cv2.BORDER_CONSTANT, value=(96, 96, 96))
    before, after = parts(still), parts(shown(page))
    face, chest, ground = (np.abs(a - b).max() for a, b in zip(before, after, strict=True))
    assert ground < 5 and face < 25 < 40 < chest


@pytest.mark.slow
def test_garment_is_switched_while_the_camera_runs(page):
    for index, photo in enumerate(offered_garments()[:3]):
        before = shown(page)
        page.run(f"document.querySelectorAll('#gallery button.thumbnail-item')[{index}].click()")
        page.until(f"{WORN} === 'Wearing: {photo.name}'")
        if index:
            wait_until(lambda old=before: chest_moved(old, shown(page)), 60)


def chest_moved(before, after):
    return np.abs(parts(before)[1] - parts(after)[1]).max() > 15


@pytest.mark.slow
def test_views_and_snapshot(page):
    for view, size in (("flow", [192, 256]), ("mask", [192, 256]), ("both", [640, 480])):
        page.run(f"{LIVE} .views [value={view}]').click()")
        page.until(f"(c => c.width === {size[0]} && c.height === {size[1]})({LIVE} canvas'))")
    assert page.run(f"{LIVE} video').offsetWidth === {LIVE} canvas').offsetWidth")
    page.run(f"{LIVE} .snap').click()")
    page.until(f"{LIVE} .kept img').naturalWidth === 640")
    assert page.run(f"{LIVE} .save').href").startswith("blob:")
    page.run(f"{LIVE} .views [value=dressed]').click()")


@pytest.mark.slow
def test_fits_a_phone_and_a_finger(page):
    page.size(390, 844, phone=True)
    page.until(f"{LIVE}').offsetWidth < 390")
    assert page.run("document.documentElement.scrollWidth") <= 390
    small = f"[...{LIVE}').querySelectorAll('button')].filter(b => b.offsetHeight < 40).length"
    assert page.run(small) == 0
    page.size(1280, 900)


@pytest.mark.slow
def test_photo_is_dressed_in_the_other_tab(page, tmp_path):
    page.run(
        "[...document.querySelectorAll('[role=tab]')].find(t => t.innerText === 'Photo').click()"
    )
    page.until(f"{LIVE}').dataset.on === 'false'")  # the camera is off where nobody looks
    page.until("!!document.querySelector('#example')")
    page.run("document.querySelector('#example').click()")
    page.until("/512 × 512 pixels/.test(document.querySelector('#photo-status').innerText)")
    page.until("document.querySelector('#result img').naturalWidth === 512")
    page.until("document.querySelectorAll('#layers img').length === 4")


@pytest.mark.slow
def test_says_why_there_is_no_camera(served, tmp_path):
    with chromium(tmp_path / "profile") as tab:
        tab.open(served.url)
        start(tab)
        status = f"{LIVE} .status')"
        tab.until(f"{status}.dataset.kind === 'error'")
        said = tab.run(f"{status}.textContent")
        assert "amera" in said and "Photos work without" in said
        assert tab.run(f"{LIVE} .start').disabled") is False


@pytest.mark.slow
def test_camera_is_dressed_over_https(real_tryon, tmp_path, monkeypatch):
    """With a certificate of one's own, at an address that is not this computer's own name."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    pair = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=try-on"]
    subprocess.run([*made, "-out", pair[0], "-keyout", pair[1]], check=True, capture_output=True)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    film(tmp_path / "camera.y4m", read_picture(EXAMPLE_PERSON).rgb)
    switches = (*camera(tmp_path / "camera.y4m"), "--ignore-certificate-errors")
    switches += ("--host-resolver-rules=MAP try.example 127.0.0.1",)
    with serving(application(real_tryon), pair) as address:
        port = address.split(":")[1]
        with chromium(tmp_path / "profile", *switches) as tab:
            tab.open(f"https://try.example:{port}/")
            start(tab)
            tab.until(f"/^[0-9]+ fps, [0-9]+ ms$/.test({READOUT})")
