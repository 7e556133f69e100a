"""The few CUDA calls that a loaded engine makes, each checked, and all that they allocated."""

import contextlib
import ctypes
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from dmvton.errors import DeviceError, MissingExtraError


def load_library() -> Any:
    """The module `cuda.bindings.runtime`.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "running an engine needs the package cuda-bindings, which is not installed; "
            'run: pip install "dmvton[tensorrt]"'
        ) from error


class Cuda:
    """CUDA's runtime library on device 0, and the memory, streams and graphs made through it."""

    def __init__(self, library: Any = None) -> None:
        """Takes the GPU.

        Args:
            library: None loads `cuda.bindings`.

        Raises:
            MissingExtraError: `cuda.bindings` is not installed.
            DeviceError: there is no NVIDIA GPU, or its driver is too old.
        """
        self.library = load_library() if library is None else library
        self._owned: list[tuple[str, Any]] = []  # the call that frees, and what it frees
        (status, *_) = self.library.cudaSetDevice(0)
        if int(status) != 0:
            raise DeviceError(
                f"CUDA: {status.name}; expected an NVIDIA GPU with a driver for CUDA 13: engines "
                "are built anywhere, but run on a GPU only; see `dmvton doctor`, or run the ONNX "
                "pair on the CPU"
            )

    def _call(self, name: str, *given: Any) -> Any:
        """The value of a call, None where it has none.

        Raises:
            DeviceError: it failed.
        """
        status, *values = getattr(self.library, name)(*given)
        if int(status) != 0:
            raise DeviceError(
                f"{name}: {status.name}; the GPU may be out of memory or lost: free some, or load "
                "the engines again"
            )
        return values[0] if values else None

    def _own(self, free: str, what: Any) -> Any:
        self._owned.append((free, what))
        return what

    def compute_capability(self) -> int:
        """80 for SM80."""
        kinds = self.library.cudaDeviceAttr
        parts = (kinds.cudaDevAttrComputeCapabilityMajor, kinds.cudaDevAttrComputeCapabilityMinor)
        major, minor = (self._call("cudaDeviceGetAttribute", part, 0) for part in parts)
        return 10 * int(major) + int(minor)

    def device_memory(self, size: int) -> int:
        """Address of new memory on the GPU."""
        return int(self._own("cudaFree", self._call("cudaMalloc", size)))

    def pinned(self, shape: tuple[int, ...]) -> np.ndarray:
        """A float32 array in page-locked memory, which the GPU copies from and to by itself."""
        count = int(np.prod(shape))
        address = self._own("cudaFreeHost", self._call("cudaHostAlloc", 4 * count, 0))
        memory = (ctypes.c_float * count).from_address(int(address))
        return np.ctypeslib.as_array(memory).reshape(shape)

    def stream(self) -> Any:
        """A new stream, which does not wait for the default one."""
        flag = self.library.cudaStreamNonBlocking
        return self._own("cudaStreamDestroy", self._call("cudaStreamCreateWithFlags", flag))

    def to_device(self, address: int, source: np.ndarray, stream: Any) -> None:
        """Copies an array to the GPU, in the stream's order."""
        kind = self.library.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, source.ctypes.data, source.nbytes, kind, stream)

    def to_host(self, target: np.ndarray, address: int, stream: Any) -> None:
        """Copies from the GPU into an array, in the stream's order."""
        kind = self.library.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", target.ctypes.data, address, target.nbytes, kind, stream)

    def wait(self, stream: Any) -> None:
        """Until all that was put into the stream is done."""
        self._call("cudaStreamSynchronize", stream)

    def record(self, work: Callable[[], None], stream: Any) -> Any:
        """What `work` puts into the stream, ready to be launched as one; nothing of it is done.

        Args:
            work: copies and kernels, always at the same addresses.
            stream: the one that it uses; after an error in `work` it is usable again.
        """
        mode = self.library.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", stream, mode)
        try:
            work()
        except BaseException:
            # Else the stream would record for ever. What it recorded is void, and so is the status.
            _, *void = self.library.cudaStreamEndCapture(stream)
            for graph in filter(None, void):
                self.library.cudaGraphDestroy(graph)
            raise
        graph = self._call("cudaStreamEndCapture", stream)
        try:
            ready = self._call("cudaGraphInstantiate", graph, 0)
            return self._own("cudaGraphExecDestroy", ready)
        finally:
            self._call("cudaGraphDestroy", graph)

    def launch(self, graph: Any, stream: Any) -> None:
        """Does recorded work once more."""
        self._call("cudaGraphLaunch", graph, stream)

    def close(self) -> None:
        """Frees everything, latest first; arrays of `pinned` must not be touched any more.

        Raises:
            DeviceError: something could not be freed; the rest was.
        """
        with contextlib.ExitStack() as stack:  # goes on after an error, and raises it at the end
            for free, what in self._owned:
                stack.callback(self._call, free, what)
            self._owned.clear()
