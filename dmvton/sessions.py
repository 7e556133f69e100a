"""The runtimes that the network pair runs on: a graph's bytes in, tensors by name out.

ONNX Runtime comes with the base install. OpenVINO is an extra; on processors that multiply 8-bit
integers faster (VNNI) it is what a pair of `dmvton export int8` is for.
"""

import functools
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import onnxruntime as ort

from dmvton.errors import CheckpointError, MissingExtraError, UsageError

if TYPE_CHECKING:
    import openvino


class Session(Protocol):
    """A graph that is loaded; may be shared between threads."""

    inputs: list[str]
    outputs: list[str]

    def run(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All inputs by name to all outputs by name."""


class OnnxRuntime:
    """ONNX Runtime on the CPU."""

    def __init__(self, data: bytes, threads: int):
        """Loads a graph."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self.inputs = [node.name for node in self._session.get_inputs()]
        self.outputs = [node.name for node in self._session.get_outputs()]

    def run(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `Session.run`."""
        return dict(zip(self.outputs, self._session.run(self.outputs, dict(feed)), strict=True))


class OpenVino:
    """OpenVINO on the CPU."""

    def __init__(self, data: bytes, threads: int):
        """Loads a graph; see `openvino_model`."""
        self._model = openvino_model(data, threads, max(1, available_cores() // threads))
        self.inputs = [port.node.friendly_name for port in self._model.inputs]
        # Outputs that are one tensor share its names.
        ports = enumerate(self._model.outputs)
        self._ports = {name: index for index, port in ports for name in port.names}
        self.outputs = list(self._ports)
        self._own = threading.local()  # a request holds the tensors of one run

    def run(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `Session.run`."""
        if not hasattr(self._own, "request"):
            self._own.request = self._model.create_infer_request()
        request = self._own.request
        request.infer([feed[name] for name in self.inputs], share_inputs=True)
        return {n: request.get_output_tensor(i).data.copy() for n, i in self._ports.items()}


def openvino_model(
    source: bytes | Path, threads: int, streams: int = 1
) -> "openvino.CompiledModel":
    """A graph compiled for the CPU, from ONNX or from an .xml file.

    Args:
        source: bytes of ONNX, or a path.
        threads: of a run.
        streams: runs at the same time; more wait for one another.

    Raises:
        MissingExtraError: the package is not installed.
        RuntimeError: OpenVINO cannot load it.
    """
    core = _openvino_core()
    options = {
        "INFERENCE_NUM_THREADS": threads * streams,
        "NUM_STREAMS": streams,
        "PERFORMANCE_HINT": "LATENCY",
        # Half types, which it takes where the processor has them, make it another network.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    return core.compile_model(core.read_model(source), "CPU", options)


@functools.cache
def _openvino_core() -> "openvino.Core":
    """The only one of the process, never freed.

    Each gives the thread another stack for signals. When two are freed in the order in which they
    came, the thread is left with a stack that is freed too, and the next signal that takes it, as
    Python's do, ends the process.
    """
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "the runtime openvino needs the package openvino, which is not installed; "
            'run: pip install "dmvton[openvino]"'
        ) from error
    return openvino.Core()


def available_cores() -> int:
    """Cores that this process may use: less than the machine's under taskset or in a container."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


Loader = Callable[[bytes, int], Session]
RUNTIMES: dict[str, Loader] = {"onnxruntime": OnnxRuntime, "openvino": OpenVino}


def open_session(runtime: str, data: bytes, threads: int, what: str) -> Session:
    """Loads a graph; `what` names it in errors.

    Raises:
        UsageError: no runtime of this name.
        MissingExtraError: it is not installed.
        CheckpointError: it cannot load the graph.
    """
    if runtime not in RUNTIMES:
        raise UsageError(f"no runtime {runtime!r}; expected one of {', '.join(RUNTIMES)}")
    try:
        return RUNTIMES[runtime](data, threads)
    except MissingExtraError:
        raise
    except Exception as error:  # the runtimes' own errors share no base but Exception
        raise CheckpointError(
            f"{what}: {runtime} cannot load it ({error}); upgrade {runtime} or export the weights "
            "again"
        ) from error
