"""The exported network pair: files verified, tensors by name, no torch.

``garment.onnx`` runs once per garment, ``frame.onnx`` once per frame. What the first hands to
the second (mask and features) is opaque here and travels by name, so that the network can change
without this file changing.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dmvton import lowbit
from dmvton.errors import CheckpointError
from dmvton.sessions import Session, available_cores, open_session

PACKAGED = Path(__file__).parent / "weights"
DEFAULT_WEIGHTS = PACKAGED / "student-256x192"
FORMAT = 1
_GRAPHS = ("garment", "frame")

GarmentFeatures = Mapping[str, np.ndarray]


class Layers(NamedTuple):
    """What the network says about one crop, at network size (h, w).

    The picture is ``alpha * clip(gain * warp(garment, flow), 0, 1)
    + (1 - alpha) * (beta * rendered + (1 - beta) * person)``; ``dmvton.compose`` makes it.
    """

    flow: np.ndarray  # (h, w, 2) float32 (x, y) in [-1, 1], pixel centres, into the garment box
    alpha: np.ndarray  # (h, w) float32 in [0, 1], weight of the warped garment
    beta: np.ndarray  # (h, w) float32 in [0, 1], weight of the rendered pixels among the rest
    rendered: np.ndarray  # (h, w, 3) float32 in [0, 1]
    gain: np.ndarray  # (h, w, 3) float32 > 0, light on the garment, about 1
    keypoints: np.ndarray  # (13, 3) float32: x, y in [-1, 1] of the crop, visibility in [0, 1]
    presence: float  # in [0, 1], probability of a person with a visible torso


def to_tensor(rgb: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 to (1, 3, h, w) float32 in [0, 1]."""
    planes = np.ascontiguousarray(rgb.transpose(2, 0, 1)[None], dtype=np.float32)
    planes *= np.float32(1 / 255)
    return planes


class NetworkPair:
    """The two graphs, loaded and checked against the manifest of their folder."""

    def __init__(
        self,
        folder: str | os.PathLike | None = None,
        threads: int | None = None,
        runtime: str = "onnxruntime",
    ):
        """Load and verify.

        Args:
            folder: holds manifest.json, garment.onnx and frame.onnx, or the two packed into few
                bits a weight as garment.lowbit and frame.lowbit; or the name of a packaged one
                ("student-256x192-int8"). None is the packaged one in fp32.
            threads: for each graph; None takes the cores that this process may use, at most 4.
            runtime: one of ``dmvton.sessions.RUNTIMES``.

        Raises:
            CheckpointError: missing, tampered with, or of another format.
            MissingExtraError: the runtime is not installed.
            UsageError: there is no such runtime.
        """
        self.folder = weights_folder(folder)
        manifest = read_manifest(self.folder)
        self.size: tuple[int, int] = manifest["size"]  # (height, width)
        self.name: str = manifest["name"]
        # The layers are small: splitting them finer than this is mostly waiting for one another.
        self.threads = threads or min(4, available_cores())
        self.runtime = runtime
        self._garment = self._session(manifest, "garment")
        self._frame = self._session(manifest, "frame")
        self._check_names()

    def encode_garment(self, garment: np.ndarray) -> dict[str, np.ndarray]:
        """Run the garment graph: (1, 3, h, w) in [0, 1] to its mask and features, by name."""
        return self._garment.run({"garment": garment})

    def run(self, person: np.ndarray, garment: np.ndarray, features: GarmentFeatures) -> Layers:
        """Run the frame graph on one crop.

        Args:
            person: (1, 3, h, w) float32 in [0, 1].
            garment: (1, 3, h, w) float32 in [0, 1], as given to ``encode_garment``.
            features: what ``encode_garment`` returned.

        Raises:
            CheckpointError: the network gave numbers that are not finite.
        """
        known = {"person": person, "garment": garment, **features}
        found = self._frame.run({name: known[name] for name in self._frame.inputs})
        outputs = {name: found[name] for name in Layers._fields}
        if not all(np.isfinite(value).all() for value in outputs.values()):
            raise CheckpointError(
                f"{self.folder}: the network gave values that are not finite; "
                "these weights are unusable, install the package again or pass other weights"
            )
        presence = float(outputs.pop("presence").reshape(-1)[0])
        keypoints = outputs.pop("keypoints")[0]
        maps = {name: _image_layout(value) for name, value in outputs.items()}
        return Layers(keypoints=keypoints, presence=presence, **maps)

    def _session(self, manifest: dict[str, Any], graph: str) -> Session:
        """Verify one file and load the very bytes that were verified."""
        data = read_graph(self.folder, manifest, graph)
        path = self.folder / graph_file(manifest, graph)
        return open_session(self.runtime, data, self.threads, str(path))

    def _check_names(self) -> None:
        """The graphs must speak the interface that this version knows."""
        given = {"person", "garment", *self._garment.outputs}
        wanted, outputs = set(self._frame.inputs), set(self._frame.outputs)
        lacking = (wanted - given) | (set(Layers._fields) - outputs)
        if "garment_mask" not in given:
            lacking.add("garment_mask")
        if lacking:
            raise CheckpointError(
                f"{self.folder}: the two graphs do not fit together, lacking "
                f"{', '.join(sorted(lacking))}; export both again from one checkpoint"
            )


def _image_layout(value: np.ndarray) -> np.ndarray:
    """(1, C, h, w) to contiguous (h, w, C), or (h, w) for one channel."""
    if value.shape[1] == 1:
        return value[0, 0]
    return np.ascontiguousarray(value[0].transpose(1, 2, 0))


def weights_folder(given: str | os.PathLike | None) -> Path:
    """The folder that is meant: a path, or the name of one in the package; None is the default."""
    if given is None:
        return DEFAULT_WEIGHTS
    names = {path.name: path for path in PACKAGED.iterdir() if path.is_dir()}
    path = Path(given)
    return path if path.exists() else names.get(os.fspath(given), path)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read and check manifest.json.

    Returns:
        ``name`` (str), ``size`` (height, width) and ``files`` (name -> sha256 and bytes).

    Raises:
        CheckpointError: missing, not JSON, or of another format.
    """
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(
            f"{folder}: no weights ({error.strerror}: manifest.json); expected a folder with "
            "manifest.json, garment.onnx and frame.onnx; install again or name another folder"
        ) from error
    except ValueError as error:
        raise CheckpointError(
            f"{path}: not valid JSON ({error}); install the package or export the weights again"
        ) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise CheckpointError(
            f"{path}: weights of format {found}, this version reads format {FORMAT}; "
            "use weights and package of one release"
        )
    return _checked(manifest, path)


def _checked(manifest: dict[str, Any], path: Path) -> dict[str, Any]:
    """Check the types of the manifest's fields."""
    try:
        height, width = (int(side) for side in manifest["size"])
        files = {
            name: {
                "sha256": str(manifest["files"][name]["sha256"]),
                "bytes": int(manifest["files"][name]["bytes"]),
            }
            for name in (graph_file(manifest, graph) for graph in _GRAPHS)
        }
        return {"name": str(manifest["name"]), "size": (height, width), "files": files}
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: a field is missing or malformed ({error}); "
            "install the package or export the weights again"
        ) from error


def graph_file(manifest: dict[str, Any], graph: str) -> str:
    """The file of ``garment`` or ``frame``: packed where the manifest names a packed one."""
    packed = graph + lowbit.ENDING
    return packed if packed in manifest["files"] else graph + ".onnx"


def read_graph(folder: Path, manifest: dict[str, Any], graph: str) -> bytes:
    """The ONNX bytes of ``garment`` or ``frame``, verified, and unpacked where they are packed.

    Raises:
        CheckpointError: missing, tampered with, or not a packed network.
    """
    name = graph_file(manifest, graph)
    data = read_verified(folder, manifest, name)
    if name.endswith(lowbit.ENDING):
        return lowbit.unpack_network(data, str(folder / name))
    return data


def read_verified(folder: Path, manifest: dict[str, Any], name: str) -> bytes:
    """The bytes of one weight file, once their number and SHA-256 are those of the manifest."""
    remedy = "install the package or export the weights again"
    expected = manifest["files"].get(name)
    if expected is None:
        raise CheckpointError(
            f"{folder}: no {name} in its manifest, which names {', '.join(manifest['files'])}; "
            "use a folder that holds it"
        )
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise CheckpointError(f"{folder / name}: {error.strerror}; {remedy}") from error
    if len(data) != expected["bytes"]:
        raise CheckpointError(
            f"{folder / name}: {len(data)} bytes, expected {expected['bytes']}; {remedy}"
        )
    digest = hashlib.sha256(data).hexdigest()
    if digest != expected["sha256"]:
        raise CheckpointError(
            f"{folder / name}: its SHA-256 begins {digest[:12]}, expected "
            f"{expected['sha256'][:12]}: the file was changed; {remedy}"
        )
    return data
