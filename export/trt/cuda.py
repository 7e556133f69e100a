"""The few CUDA calls that the runner makes, each checked."""

import ctypes
import importlib
from typing import Any

import numpy as np

from dmvton.errors import CheckpointError, MissingExtraError


class Cuda:
    """CUDA's runtime library on device 0."""

    def __init__(self) -> None:
        """Loads `cuda.bindings`.

        Raises:
            MissingExtraError: it is not installed.
            CheckpointError: there is no NVIDIA GPU, or its driver is too old.
        """
        try:
            self.library: Any = importlib.import_module("cuda.bindings.runtime")
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                "running an engine needs the package cuda-bindings, which is not installed; "
                'run: pip install "dmvton[tensorrt]"'
            ) from error
        self._check(self.library.cudaSetDevice(0))

    def _check(self, answer: tuple[Any, ...]) -> Any:
        """The value of a call whose status is success."""
        status, *values = answer
        if int(status) != 0:
            raise CheckpointError(
                f"CUDA: {status.name}; expected an NVIDIA GPU with a driver for CUDA 13; "
                "see `dmvton doctor`, or run the ONNX pair on the CPU"
            )
        return values[0] if values else None

    def compute_capability(self) -> int:
        """80 for SM80."""
        kinds = self.library.cudaDeviceAttr
        major = self._check(
            self.library.cudaDeviceGetAttribute(kinds.cudaDevAttrComputeCapabilityMajor, 0)
        )
        minor = self._check(
            self.library.cudaDeviceGetAttribute(kinds.cudaDevAttrComputeCapabilityMinor, 0)
        )
        return 10 * major + minor

    def device_memory(self, size: int) -> int:
        """Address of new memory on the GPU."""
        return int(self._check(self.library.cudaMalloc(size)))

    def pinned(self, shape: tuple[int, ...]) -> np.ndarray:
        """A float32 array in page-locked memory, which the GPU copies from and to by itself."""
        count = int(np.prod(shape))
        address = int(self._check(self.library.cudaHostAlloc(4 * count, 0)))
        memory = (ctypes.c_float * count).from_address(address)
        return np.ctypeslib.as_array(memory).reshape(shape)

    def stream(self) -> Any:
        """A new stream."""
        return self._check(self.library.cudaStreamCreate())

    def to_device(self, address: int, source: np.ndarray, stream: Any) -> None:
        """Copies an array to the GPU, in the stream's order."""
        kind = self.library.cudaMemcpyKind.cudaMemcpyHostToDevice
        call = self.library.cudaMemcpyAsync
        self._check(call(address, source.ctypes.data, source.nbytes, kind, stream))

    def to_host(self, target: np.ndarray, address: int, stream: Any) -> None:
        """Copies from the GPU into an array, in the stream's order."""
        kind = self.library.cudaMemcpyKind.cudaMemcpyDeviceToHost
        call = self.library.cudaMemcpyAsync
        self._check(call(target.ctypes.data, address, target.nbytes, kind, stream))

    def wait(self, stream: Any) -> None:
        """Until all that was put into the stream is done."""
        self._check(self.library.cudaStreamSynchronize(stream))

    def begin_capture(self, stream: Any) -> None:
        """From here on the stream's work is recorded and not done."""
        mode = self.library.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._check(self.library.cudaStreamBeginCapture(stream, mode))

    def end_capture(self, stream: Any) -> Any:
        """The recorded work, ready to be launched as one."""
        graph = self._check(self.library.cudaStreamEndCapture(stream))
        return self._check(self.library.cudaGraphInstantiate(graph, 0))

    def launch(self, graph: Any, stream: Any) -> None:
        """Does recorded work once more."""
        self._check(self.library.cudaGraphLaunch(graph, stream))
