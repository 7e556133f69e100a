"""Engines behind the interface of `dmvton.runtime.NetworkPair`: the same calls, on a GPU.

A frame is one launch: the copy of the crop, the network and the copy of its answers are recorded
once as a CUDA graph. The garment's features stay on the GPU while they are worn.
"""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dmvton.errors import CheckpointError
from dmvton.runtime import Layers
from export.trt.backend import Backend, load_backend
from export.trt.cuda import Cuda
from export.trt.engines import read_engines

_PER_FRAME = ("person",)  # inputs that change with every run; the others change with the garment


class Graph:
    """One engine with its buffers."""

    def __init__(self, backend: Backend, cuda: Cuda, data: bytes, name: str):
        """Loads the engine and makes a buffer for every input and output, batch 1.

        Raises:
            CheckpointError: this TensorRT or this GPU does not read the engine.
        """
        self.cuda, self.stream = cuda, cuda.stream()
        self.logger = backend.trt.Logger(backend.trt.Logger.ERROR)
        self.runtime = backend.trt.Runtime(self.logger)
        self.engine = self.runtime.deserialize_cuda_engine(data)
        if self.engine is None:
            raise CheckpointError(
                f"{name}: {backend.version} on SM{cuda.compute_capability()} does not read this "
                "engine; build it with the same version and --sm of this GPU"
            )
        self.context = self.engine.create_execution_context()
        self.addresses: dict[str, int] = {}
        self.inputs: dict[str, np.ndarray] = {}
        self.outputs: dict[str, np.ndarray] = {}
        self._bind(backend.trt.TensorIOMode.INPUT)
        self._recorded: Any = None
        self._warm = False

    def _bind(self, is_input: Any) -> None:
        """Pinned and device memory; input shapes first, since output shapes follow from them."""
        names = [self.engine.get_tensor_name(i) for i in range(self.engine.num_io_tensors)]
        given = [n for n in names if self.engine.get_tensor_mode(n) == is_input]
        for name in given:
            self.context.set_input_shape(name, (1, *tuple(self.engine.get_tensor_shape(name))[1:]))
        for name in names:
            host = self.cuda.pinned(tuple(self.context.get_tensor_shape(name)))
            self.addresses[name] = self.cuda.device_memory(host.nbytes)
            self.context.set_tensor_address(name, self.addresses[name])
            (self.inputs if name in given else self.outputs)[name] = host

    def upload(self, name: str, value: np.ndarray) -> None:
        """Puts an input on the GPU, where it stays."""
        self.inputs[name][...] = value
        self.cuda.to_device(self.addresses[name], self.inputs[name], self.stream)

    def run(self, per_frame: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs with these inputs and what was uploaded before; returns copies of the outputs."""
        for name, value in per_frame.items():
            self.inputs[name][...] = value
        if self._recorded is not None:
            self.cuda.launch(self._recorded, self.stream)
        elif self._warm:
            self._record(tuple(per_frame))
            self.cuda.launch(self._recorded, self.stream)
        else:  # the first run compiles kernels, which can't be recorded
            self._enqueue(tuple(per_frame))
            self._warm = True
        self.cuda.wait(self.stream)
        return {name: value.copy() for name, value in self.outputs.items()}

    def _record(self, per_frame: tuple[str, ...]) -> None:
        self.cuda.begin_capture(self.stream)
        self._enqueue(per_frame)
        self._recorded = self.cuda.end_capture(self.stream)

    def _enqueue(self, per_frame: tuple[str, ...]) -> None:
        for name in per_frame:
            self.cuda.to_device(self.addresses[name], self.inputs[name], self.stream)
        if not self.context.execute_async_v3(int(self.stream)):
            raise CheckpointError("TensorRT could not run the engine; build the engines again")
        for name, host in self.outputs.items():
            self.cuda.to_host(host, self.addresses[name], self.stream)


class EnginePair:
    """The garment and the frame engine of a folder, with the interface of `NetworkPair`."""

    def __init__(self, folder: Path, backend: Backend | None = None, cuda: Cuda | None = None):
        """Loads and verifies.

        Args:
            folder: of `dmvton export tensorrt`.
            backend: the TensorRT that built it; None takes the one that the folder names.
            cuda: None is device 0.

        Raises:
            CheckpointError: missing, tampered with, of another version, or not for this GPU.
            MissingExtraError: TensorRT is not installed.
        """
        found = read_engines(folder)
        kind = "rtx" if found.facts.builder.startswith("tensorrt_rtx") else "classic"
        backend = backend or load_backend(kind)
        if backend.version != found.facts.builder:
            raise CheckpointError(
                f"{folder}: built by {found.facts.builder}, this is {backend.version}; "
                "build the engines again"
            )
        self.folder, self.size, self.name = folder, found.facts.size, found.facts.name
        cuda = cuda or Cuda()
        sm = cuda.compute_capability()
        self._garment = Graph(backend, cuda, found.read("garment", sm), "garment")
        self._frame = Graph(backend, cuda, found.read("frame", sm), "frame")
        self._worn: tuple[np.ndarray, ...] = ()
        self._lock = threading.Lock()  # one set of buffers

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
            garment: (1, 3, h, w) float32 in [0, 1], as given to ``encode_garment``.
            features: what ``encode_garment`` returned.

        Raises:
            CheckpointError: the network gave numbers that are not finite.
        """
        with self._lock:
            self._wear({"garment": garment, **features})
            outputs = self._frame.run(dict(zip(_PER_FRAME, (person,), strict=True)))
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
        names = [name for name in self._frame.inputs if name not in _PER_FRAME]
        wanted = tuple(known[name] for name in names)
        if len(wanted) == len(self._worn) and all(
            a is b for a, b in zip(wanted, self._worn, strict=True)
        ):
            return
        for name, value in zip(names, wanted, strict=True):
            self._frame.upload(name, value)
        self._worn = wanted  # holds the arrays, so that no other one gets their identity


def _image_layout(value: np.ndarray) -> np.ndarray:
    """(1, C, h, w) to contiguous (h, w, C), or (h, w) for one channel."""
    if value.shape[1] == 1:
        return value[0, 0]
    return np.ascontiguousarray(value[0].transpose(1, 2, 0))
