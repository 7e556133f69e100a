"""The demo's page as it is served: over HTTP, and, where there is one, in a browser."""

import base64
import http.client
import re
import shutil
import socket
from types import SimpleNamespace

import numpy as np
import pytest

from app.gallery import offered_garments
from app.session import Sessions
from dmvton.image_io import read_picture, save_image
from tests.fake_pair import person_picture

gr = pytest.importorskip("gradio")

from app.events import Events  # noqa: E402
from app.fields import MAX_UPLOAD  # noqa: E402
from app.page import build, launch_options  # noqa: E402

PERSON = person_picture(600, 500, (180, 200, 120, 160))


@pytest.fixture(scope="module")
def served(fake_tryon, tmp_path_factory):
    """The page on a free port, and the folder of Gradio's files."""
    folder = tmp_path_factory.mktemp("gradio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        page = build(fake_tryon)
        page.launch(
            server_name="127.0.0.1",
            server_port=free_port(),
            prevent_thread_lock=True,
            **launch_options(),
        )
        yield SimpleNamespace(url=page.local_url, folder=folder, page=page)
        page.close(verbose=False)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def client(served):
    from gradio_client import Client

    return Client(served.url, verbose=False)


def test_photo_is_dressed_over_http(served, client, tmp_path, fake_tryon):
    from gradio_client import handle_file

    save_image(tmp_path / "person.png", PERSON)
    image, layers, line = client.predict(
        handle_file(str(tmp_path / "person.png")), api_name="/try_on"
    )
    data = base64.b64decode(image["url"].partition(",")[2])
    events = Events(Sessions(fake_tryon), offered_garments())
    wanted = events.dress_photo(PERSON, SimpleNamespace(session_hash="one"))[0]
    assert np.abs(read_picture(data).rgb.astype(int) - wanted).mean() < 2
    assert len(layers) == 4 and line.startswith("500 × 600 pixels")
    # The upload is all that is on disk.
    assert [path.name for path in served.folder.rglob("*") if path.is_file()] == ["person.png"]


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
    httpx = pytest.importorskip("httpx")
    answer = httpx.get(served.url)
    loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"(https?://[^\"]+)", answer.text)
    assert answer.status_code == 200
    assert not [url for url in loaded if not url.startswith(served.url)]
    theme = httpx.get(served.url + "theme.css").text
    assert "fonts.googleapis" not in answer.text + theme
    config = served.page.config
    assert not config["analytics_enabled"] and not config["run_history"]
    assert config["footer_links"] == []


def test_huge_requests_are_refused(served):
    address = served.url.removeprefix("http://").rstrip("/")
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.putrequest("POST", "/gradio_api/queue/join")
    connection.putheader("Content-Length", str(4 * MAX_UPLOAD))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


# In a browser


@pytest.fixture
def browser_page(tmp_path):
    """A page of headless Chromium whose camera shows a person that the fake network understands."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    video = tmp_path / "camera.y4m"
    write_y4m(video, person_picture(480, 640, (250, 160, 140, 180)))
    switches = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic"]
    switches += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    switches += ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    switches += [f"--use-file-for-fake-video-capture={video}"]
    with sync_api.sync_playwright() as play:
        context = play.chromium.launch_persistent_context(
            str(tmp_path / "profile"), executable_path=chromium, headless=True, args=switches
        )
        yield context.pages[0]
        context.close()


def write_y4m(path, rgb, frames=10):
    """Write a still video: (H, W, 3) uint8, even sides, as 4:2:0."""
    import cv2

    height, width = rgb.shape[:2]
    planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420).tobytes()
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F15:1 Ip A1:1 C420jpeg\n".encode())
        for _ in range(frames):
            file.write(b"FRAME\n" + planes)


@pytest.mark.slow
def test_camera_is_dressed_live_in_a_browser(served, browser_page):
    foreign = []
    browser_page.on(
        "request",
        lambda r: None if r.url.startswith((served.url, "data:", "blob:")) else foreign.append(r),
    )
    browser_page.goto(served.url)
    browser_page.locator("#camera [title='grant webcam access'] button").click()
    browser_page.locator("#camera button").filter(has_text="Record").click()
    shown = browser_page.locator("#shown img")
    status = browser_page.locator("#live-status")
    first = shown.get_attribute("src", timeout=60_000)
    status.get_by_text("pictures/s").wait_for(timeout=30_000)
    for index, photo in enumerate(offered_garments()[:3]):  # switching does not stop the stream
        browser_page.locator("#gallery button.thumbnail-item").nth(index).click()
        browser_page.locator("#worn").get_by_text(photo.name).wait_for(timeout=30_000)
        browser_page.wait_for_function(
            "old => document.querySelector('#shown img').src !== old", arg=first, timeout=30_000
        )
        first = shown.get_attribute("src")
    browser_page.locator("#snap").click()
    browser_page.locator("#snapshot img").wait_for(timeout=30_000)
    assert not foreign


@pytest.mark.slow
def test_photo_is_dressed_in_a_browser(served, browser_page, tmp_path):
    save_image(tmp_path / "person.jpg", PERSON)
    browser_page.set_viewport_size({"width": 390, "height": 844})  # a phone
    browser_page.goto(served.url)
    browser_page.get_by_role("tab", name="Photo").click()
    browser_page.locator("#person input[type=file]").set_input_files(tmp_path / "person.jpg")
    browser_page.locator("#photo-status").get_by_text("500 × 600 pixels").wait_for(timeout=60_000)
    size = browser_page.locator("#result img").evaluate("i => [i.naturalWidth, i.naturalHeight]")
    assert size == [500, 600]
    assert browser_page.locator("#layers img").count() == 4
    assert browser_page.evaluate("document.documentElement.scrollWidth") <= 390
