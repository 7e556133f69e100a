"""``python -m app.web.build --out DIR``: the page for any static host, all of it in one folder.

It holds the page, ONNX Runtime Web, the network and some garments; the page asks no other host.
"""

import gzip
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from app.arguments import Parser
from app.web import runtime_package
from dmvton.errors import DmvtonError, UsageError
from dmvton.runtime import DEFAULT_WEIGHTS, NetworkPair, read_graph, read_manifest

PAGE = Path(__file__).parent / "page"
PICTURES = Path(__file__).parents[1] / "static"
RECORD = "build.json"  # also how a folder is known as an earlier build
_GRAPHS = ("garment", "frame")
_PROBE_STEPS = {"garment_step": 5, "person_step": 7}
_ICONS = (180, 192, 512)  # pixels a side
_PACKED = (".wasm",)  # also written as .gz: hosts that know how send these


def main(argv: Sequence[str] | None = None) -> int:
    """Build; errors that the user can act on are one line and status 2."""
    parser = Parser(prog="python -m app.web.build", description="Build the on-device page.")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to make")
    parser.add_argument("--weights", metavar="DIR", help="network instead of the packaged one")
    parser.add_argument(
        "--runtime",
        metavar="TGZ",
        help=f"{runtime_package.NAME}-{runtime_package.VERSION}.tgz (default: npm fetches it)",
    )
    parser.add_argument(
        "--no-webgpu", action="store_true", help="leave WebGPU out: 27 MB less, processor only"
    )
    try:
        args = parser.parse_args(argv)
        places = ("wasm",) if args.no_webgpu else ("wasm", "webgpu")
        runtime = Path(args.runtime) if args.runtime else None
        weights = Path(args.weights) if args.weights else DEFAULT_WEIGHTS
        size = build(Path(args.out), weights, runtime, places)
    except DmvtonError as error:
        print("dmvton: error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    print(f"{args.out}: {size / 1e6:.1f} MB; see it with: python -m app.web.serve {args.out}")
    return 0


def build(
    out: Path,
    weights: Path = DEFAULT_WEIGHTS,
    runtime: Path | None = None,
    places: tuple[str, ...] = ("wasm", "webgpu"),
) -> int:
    """Make the folder, whole or not at all; an earlier build there is replaced.

    Args:
        out: folder to make.
        weights: of an exported pair.
        runtime: package file of ONNX Runtime Web; None lets npm fetch it.
        places: where the page can run the network, of ``runtime_package.FILES``.

    Returns:
        Bytes in the folder, not counting the packed copies.

    Raises:
        UsageError: there is something else at ``out``, or it cannot be written.
        CheckpointError: the weights are missing or damaged.
        MissingExtraError, DataError: no ONNX Runtime Web.
    """
    if out.exists() and not (out / RECORD).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: is there and is no earlier build; give a new folder")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as name:
            page = Path(name) / "page"
            _fill(page, Path(name), weights, runtime, places)
            size = _seal(page, places)
            if out.exists():
                os.replace(out, Path(name) / "earlier")
            os.replace(page, out)
            return size
    except OSError as error:
        raise UsageError(
            f"{out}: cannot be written ({error.strerror or error}); give another folder"
        ) from error


def _fill(
    page: Path, scratch: Path, weights: Path, runtime: Path | None, places: tuple[str, ...]
) -> None:
    """Put everything into an empty folder but the list of it."""
    shutil.copytree(PAGE, page, copy_function=shutil.copyfile)
    _write_network(weights, page / "weights")
    _write_examples(page / "examples")
    _write_icons(page / "icons")
    runtime_package.unpack(runtime or runtime_package.download(scratch), places, page / "ort")


def _write_network(weights: Path, folder: Path) -> None:
    """The two graphs, verified and unpacked, with their manifest and a known answer."""
    manifest, files = read_manifest(weights), {}
    network = NetworkPair(weights, threads=1)
    folder.mkdir()
    for graph in _GRAPHS:
        data = read_graph(weights, manifest, graph)
        (folder / f"{graph}.onnx").write_bytes(data)
        files[f"{graph}.onnx"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    _write_json(folder / "manifest.json", {**manifest, "files": files})
    _write_json(folder / "probe.json", _known_answer(network))


def _known_answer(network: NetworkPair) -> dict:
    """Means of the maps for two patterns that the page draws as well."""
    garment = _pattern(network.size, _PROBE_STEPS["garment_step"])
    person = _pattern(network.size, _PROBE_STEPS["person_step"])
    layers = network.run(person, garment, network.encode_garment(garment))
    maps = ("flow", "alpha", "beta", "rendered", "gain")
    return {**_PROBE_STEPS, "means": {name: float(getattr(layers, name).mean()) for name in maps}}


def _pattern(size: tuple[int, int], step: int) -> np.ndarray:
    """(1, 3, h, w) float32 in [0, 1]: slopes; js/network.js draws the same."""
    channel, y, x = np.mgrid[:3, : size[0], : size[1]]
    return ((x * 3 + y * step + channel * 85) % 256 / 255).astype(np.float32)[None]


def _write_examples(folder: Path) -> None:
    """The demo's garments and person; the striped garment, which the README shows, first."""
    folder.mkdir()
    paths = sorted((PICTURES / "garments").glob("*.jpg"), key=lambda p: (p.stem != "striped", p))
    for path in [*paths, PICTURES / "person_astronaut.jpg"]:
        shutil.copyfile(path, folder / path.name)
    listed = [{"name": path.stem.capitalize(), "file": path.name} for path in paths]
    _write_json(folder / "garments.json", listed)


def _write_icons(folder: Path) -> None:
    """A shirt on the page's colour, in the middle: systems cut icons to their own shapes."""
    folder.mkdir()
    half = [(0.43, 0.28), (0.36, 0.29), (0.2, 0.42), (0.28, 0.53), (0.35, 0.48), (0.35, 0.75)]
    shirt = [*half, *((1 - x, y) for x, y in reversed(half)), (0.5, 0.34)]
    for side in _ICONS:
        large = 4 * side  # drawn large and shrunk: smooth edges
        icon = Image.new("RGB", (large, large), "#4f46e5")
        ImageDraw.Draw(icon).polygon([(x * large, y * large) for x, y in shirt], fill="white")
        icon.resize((side, side), Image.Resampling.LANCZOS).save(folder / f"{side}.png")


def _seal(page: Path, places: tuple[str, ...]) -> int:
    """List the files for the service worker; its version changes with any of them."""
    names = sorted(path.relative_to(page).as_posix() for path in page.rglob("*") if path.is_file())
    hashes = {name: hashlib.sha256((page / name).read_bytes()).hexdigest() for name in names}
    version = hashlib.sha256(json.dumps(hashes).encode()).hexdigest()[:16]
    shell = ["./", *(name for name in names if not name.startswith("ort/") and name != "sw.js")]
    runtime = {place: [f"ort/{name}" for name in runtime_package.FILES[place]] for place in places}
    listed = json.dumps({"version": version, "shell": shell, "runtime": runtime})
    (page / "precache.js").write_text(f"self.PRECACHE = {listed};\n", encoding="utf-8")
    _write_json(page / RECORD, {"version": version, "runtime": runtime_package.VERSION})
    size = sum(path.stat().st_size for path in page.rglob("*") if path.is_file())
    for name in names:
        if name.endswith(_PACKED):
            packed = gzip.compress((page / name).read_bytes(), 6, mtime=0)
            (page / f"{name}.gz").write_bytes(packed)
    return size


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
