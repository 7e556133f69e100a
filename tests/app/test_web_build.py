import base64
import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
import threading
import urllib.error
import urllib.request

import pytest
from PIL import Image

from app.web import build as building
from app.web import runtime_package
from app.web.build import PAGE, build, main
from app.web.serve import HEADERS, server_of
from dmvton.errors import CheckpointError, DataError, MissingExtraError, UsageError


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A package of the right names, and its hash."""
    path = tmp_path_factory.mktemp("npm") / "package.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for names in runtime_package.FILES.values():
            for name in names:
                member = tarfile.TarInfo(f"package/dist/{name}")
                data = f"// {name}\n".encode() * 50
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return path, base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


@pytest.fixture
def runtime(package, monkeypatch):
    path, digest = package
    monkeypatch.setattr(runtime_package, "SHA512", digest)
    return path


def precached(site):
    return json.loads((site / "precache.js").read_text().removeprefix("self.PRECACHE = ")[:-2])


def test_holds_all_that_the_page_asks_for(tmp_path, fake_weights, runtime):
    size = build(tmp_path / "site", fake_weights, runtime)
    site = tmp_path / "site"
    assert size < sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    asked = re.findall(r'(?:href|src)="([^"]+)"', (site / "index.html").read_text())
    manifest = json.loads((site / "manifest.webmanifest").read_text())
    asked += [icon["src"] for icon in manifest["icons"]]
    asked += [
        f"examples/{one['file']}"
        for one in json.loads((site / "examples/garments.json").read_text())
    ]
    for script in (site / "js").glob("*.js"):
        asked += [f"js/{name}" for name in re.findall(r'from "\./([^"]+)"', script.read_text())]
    kept = precached(site)
    asked += [name for name in kept["shell"] if name != "./"] + sum(kept["runtime"].values(), [])
    assert len(asked) > 40
    for name in asked:
        assert (site / name).is_file(), name
    for icon in manifest["icons"]:
        with Image.open(site / icon["src"]) as image:
            assert "{}x{}".format(*image.size) == icon["sizes"]


def test_no_script_or_page_names_another_host():
    for path in PAGE.rglob("*"):
        if path.is_file():
            assert not re.search(r"https?://", path.read_text(encoding="utf-8")), path


def test_weights_are_those_of_the_folder(tmp_path, fake_weights, runtime):
    build(tmp_path / "site", fake_weights, runtime)
    manifest = json.loads((tmp_path / "site/weights/manifest.json").read_text())
    for name, expected in manifest["files"].items():
        data = (tmp_path / "site/weights" / name).read_bytes()
        assert data == (fake_weights / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == expected["sha256"]


def test_without_webgpu_its_files_are_left_out(tmp_path, fake_weights, runtime):
    build(tmp_path / "site", fake_weights, runtime, ("wasm",))
    names = {path.name for path in (tmp_path / "site/ort").glob("*") if path.suffix != ".gz"}
    assert names == set(runtime_package.FILES["wasm"])
    assert list(precached(tmp_path / "site")["runtime"]) == ["wasm"]


def test_building_again_replaces_and_changes_the_version_with_the_content(
    tmp_path, fake_weights, runtime, monkeypatch
):
    site, changed = tmp_path / "site", tmp_path / "page"
    build(site, fake_weights, runtime)
    first = precached(site)["version"]
    build(site, fake_weights, runtime)
    assert precached(site)["version"] == first
    shutil.copytree(PAGE, changed)
    (changed / "style.css").write_text("body { color: red; }")
    monkeypatch.setattr(building, "PAGE", changed)
    build(site, fake_weights, runtime)
    assert precached(site)["version"] != first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page", "site"]


def test_another_package_is_refused(tmp_path, fake_weights, package):
    with pytest.raises(DataError, match="npm pack onnxruntime-web@"):
        build(tmp_path / "site", fake_weights, package[0])
    assert list(tmp_path.iterdir()) == []


def test_without_npm_it_says_the_way_out(tmp_path, fake_weights, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingExtraError, match="install Node.js.*--runtime"):
        build(tmp_path / "site", fake_weights)
    assert list(tmp_path.iterdir()) == []


def test_when_npm_fails_its_last_words_are_told(tmp_path, fake_weights, monkeypatch):
    def failing(command, **options):
        raise subprocess.CalledProcessError(
            1, command, stderr="npm error one\nnpm error no route\n"
        )

    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/npm")
    monkeypatch.setattr(subprocess, "run", failing)
    with pytest.raises(DataError, match="npm error no route.*--runtime"):
        build(tmp_path / "site", fake_weights)


def test_a_folder_of_something_else_is_left_alone(tmp_path, fake_weights, runtime):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="no earlier build"):
        build(tmp_path / "mine", fake_weights, runtime)
    assert (tmp_path / "mine/letter.txt").read_text() == "dear"


def test_damaged_weights_leave_the_earlier_build(tmp_path, fake_weights, runtime):
    site, broken = tmp_path / "site", tmp_path / "broken"
    build(site, fake_weights, runtime)
    first = (site / "precache.js").read_text()
    shutil.copytree(fake_weights, broken)
    (broken / "frame.onnx").write_bytes((broken / "frame.onnx").read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match="frame.onnx"):
        build(site, broken, runtime)
    assert (site / "precache.js").read_text() == first


@pytest.mark.parametrize("words", [[], ["--out"], ["--out", "x", "--runtime", "absent.tgz"]])
def test_wrong_words_are_one_line_and_status_2(words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "dmvton: error:" in said.err


@pytest.fixture
def address(tmp_path, fake_weights, runtime):
    build(tmp_path / "site", fake_weights, runtime)
    (tmp_path / "secret.txt").write_text("secret")
    server = server_of(tmp_path / "site", port=0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def asked(address, **headers):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(urllib.request.Request(address, headers=headers), timeout=30)


def test_serves_every_kind_of_file_with_its_headers(address):
    kinds = {
        "/": "text/html",
        "/js/main.js": "text/javascript",
        "/ort/ort.wasm.min.mjs": "text/javascript",
        "/ort/ort-wasm-simd-threaded.wasm": "application/wasm",
        "/weights/frame.onnx": "application/octet-stream",
        "/manifest.webmanifest": "application/manifest+json",
    }
    for path, kind in kinds.items():
        with asked(address + path) as answer:
            assert answer.headers.get_content_type() == kind
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS


def test_sends_the_packed_copy_to_who_takes_it(address):
    path = "/ort/ort-wasm-simd-threaded.wasm"
    with asked(address + path) as plain:
        data = plain.read()
        assert plain.headers["Content-Encoding"] is None
    with asked(address + path, **{"Accept-Encoding": "gzip, br"}) as packed:
        assert packed.headers["Content-Encoding"] == "gzip"
        assert packed.headers.get_content_type() == "application/wasm"
        assert gzip.decompress(packed.read()) == data


@pytest.mark.parametrize("path", ["/js/", "/../secret.txt", "/%2e%2e/secret.txt", "/absent"])
def test_shows_nothing_but_the_page(address, path):
    with pytest.raises(urllib.error.HTTPError) as error:
        asked(address + path)
    assert error.value.code == 404


def test_serves_no_folder_that_was_not_built(tmp_path):
    with pytest.raises(UsageError, match="app.web.build"):
        server_of(tmp_path)


def test_a_useless_certificate_is_refused(tmp_path, fake_weights, runtime):
    build(tmp_path / "site", fake_weights, runtime)
    (tmp_path / "cert.pem").write_text("no certificate")
    pair = (str(tmp_path / "cert.pem"), str(tmp_path / "cert.pem"))
    with pytest.raises(UsageError, match="PEM"):
        server_of(tmp_path / "site", port=0, pair=pair)
