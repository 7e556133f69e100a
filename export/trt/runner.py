"""Engines behind the interface of `dmvton.runtime.NetworkPair`: the same calls, on a GPU.

`TryOn(EnginePair(folder))` dresses frames. A frame is one launch; what belongs to the garment stays
on the GPU while it is worn.
"""

import contextlib
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dmvton.errors import CheckpointError, DeviceError
from dmvton.runtime import Layers
from export.trt.backend import Backend, load_backend
from export.trt.cuda import Cuda
from export.trt.engines import EngineFolder, read_engines
from export.trt.loaded import LoadedEngine

_PER_FRAME = "person"  # the input that changes with every run; the others change with the garment


class EnginePair:
    """The garment and the frame engine of a folder. Threads take turns."""

    def __init__(self, folder: Path, backend: Backend | None = None, cuda: Cuda | None = None):
        """Loads and verifies.

        Args:
            folder: of `dmvton export tensorrt`.
            backend: the TensorRT that built it; None takes the one that the folder names.
            cuda: the GPU, which belongs to this pair from now on; None is device 0.

        Raises:
            CheckpointError: missing, tampered with, of another version, or not for this GPU.
            MissingExtraError: TensorRT or the CUDA bindings are not installed.
            DeviceError: there is no GPU, or it failed.
        """
        found = read_engines(folder)
        self.folder, self.size, self.name = folder, found.facts.size, found.facts.name
        backend = _backend_of(found, backend)
        self._cuda = Cuda() if cuda is None else cuda
        self._lock = threading.Lock()  # one set of buffers
        self._worn: dict[str, np.ndarray] = {}  # what the frame engine has on the GPU
        try:
            sm = self._cuda.compute_capability()
            data = {graph: found.read(graph, sm) for graph in ("garment", "frame")}
            self._garment, self._frame = (
                LoadedEngine(backend, self._cuda, data[graph], f"{folder}: {graph}", (live,))
                for graph, live in (("garment", "garment"), ("frame", _PER_FRAME))
            )
            self._check_names()
        except BaseException:
            with contextlib.suppress(DeviceError):  # the first error is the one to tell
                self._cuda.close()
            raise

    def __enter__(self) -> "EnginePair":
        """The pair itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """As `close`."""
        self.close()

    def close(self) -> None:
        """Gives the GPU's memory back; the pair cannot run any more."""
        with self._lock:
            for engine in (self._garment, self._frame):
                engine.close()
            self._worn = {}
            self._cuda.close()

    def encode_garment(self, garment: np.ndarray) -> dict[str, np.ndarray]:
        """Run the garment engine: (1, 3, h, w) in [0, 1] to its mask and features, by name."""
        with self._lock:
            return self._garment.run({"garment": garment})

    def run(
        self, person: np.ndarray, garment: np.ndarray, features: Mapping[str, np.ndarray]
    ) -> Layers:
        """Run the frame engine on one crop.

        Args:
            person: (1, 3, h, w) float32 in [0, 1].
            garment: (1, 3, h, w) float32 in [0, 1], as given to ``encode_garment``; neither it nor
                the features may be changed in place afterwards: they are uploaded once.
            features: what ``encode_garment`` returned.

        Raises:
            CheckpointError: of another size, or the network gave numbers that are not finite.
            DeviceError: the GPU failed.
        """
        with self._lock:
            self._wear({"garment": garment, **features})
            outputs = self._frame.run({_PER_FRAME: person})
        if not all(np.isfinite(value).all() for value in outputs.values()):
            raise CheckpointError(
                f"{self.folder}: the engine gave values that are not finite; build it with "
                "another precision"
            )
        presence = float(outputs.pop("presence").reshape(-1)[0])
        keypoints = outputs.pop("keypoints")[0]
        maps = {name: _image_layout(outputs[name]) for name in outputs if name in Layers._fields}
        return Layers(keypoints=keypoints, presence=presence, **maps)

    def _wear(self, known: Mapping[str, np.ndarray]) -> None:
        """Uploads a garment, unless it is the one that is on the GPU."""
        wanted = {name: known[name] for name in self._frame.inputs if name != _PER_FRAME}
        if any(value is not self._worn.get(name) for name, value in wanted.items()):
            self._worn = {}  # an upload that fails halfway must not pass for a whole one
            self._frame.put(wanted)
            self._worn = wanted  # holds the arrays, so that no other one gets their identity

    def _check_names(self) -> None:
        """The two engines must speak the runtime's interface and fit together."""
        given = {_PER_FRAME, "garment", *self._garment.outputs}
        lacking = set(self._frame.inputs) - given | set(Layers._fields) - set(self._frame.outputs)
        if lacking:
            raise CheckpointError(
                f"{self.folder}: the two engines do not fit together, lacking "
                f"{', '.join(sorted(lacking))}; build both again from one export"
            )


def _backend_of(found: EngineFolder, backend: Backend | None) -> Backend:
    """The TensorRT that built some engines; no other reads them.

    Raises:
        CheckpointError: another version of it is installed.
        MissingExtraError: it is not installed.
    """
    builder = found.facts.builder
    if backend is None:
        backend = load_backend("rtx" if builder.startswith("tensorrt_rtx") else "classic")
    if backend.version != builder:
        raise CheckpointError(
            f"{found.folder}: built by {builder}, this is {backend.version}; build the engines "
            "again, or install that version"
        )
    return backend


def _image_layout(value: np.ndarray) -> np.ndarray:
    """(1, C, h, w) to contiguous (h, w, C), or (h, w) for one channel."""
    if value.shape[1] == 1:
        return value[0, 0]
    return np.ascontiguousarray(value[0].transpose(1, 2, 0))
