"""CUDA and TensorRT of plain memory and ONNX Runtime, so that the runner runs without a GPU.

An engine is an ONNX graph; running it reads and writes the addresses that it was given. Work in a
stream waits until it is awaited, and recorded work is done by launches alone. Memory that was freed
is not copied from or to, and what is left at the end can be counted.
"""

import ctypes
import itertools
from enum import IntEnum
from types import SimpleNamespace

import numpy as np

from export.pair import session_of
from export.trt.backend import Backend

SM = 89


class Status(IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorNoDevice = 100
    cudaErrorStreamCaptureInvalidated = 901


OK, WRONG = Status.cudaSuccess, Status.cudaErrorInvalidValue


class FakeLibrary:
    """`cuda.bindings.runtime` with one GPU."""

    cudaStreamNonBlocking = 1
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice="in", cudaMemcpyDeviceToHost="out")
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)
    cudaDeviceAttr = SimpleNamespace(
        cudaDevAttrComputeCapabilityMajor=SM // 10, cudaDevAttrComputeCapabilityMinor=SM % 10
    )

    def __init__(self):
        self.memory, self.streams, self.graphs = {}, {}, {}
        self.handles = itertools.count(7)
        self.recording, self.launches = None, 0
        self.copied = []  # (direction, bytes) of what was done
        self.failing = {}  # call -> the status that it answers with

    def left(self):
        """How much is not freed yet."""
        return len(self.memory) + len(self.streams) + len(self.graphs)

    def __getattribute__(self, name):
        failing = super().__getattribute__("failing") if name.startswith("cuda") else {}
        if name in failing:
            return lambda *_: (failing[name], None)
        return super().__getattribute__(name)

    def cudaSetDevice(self, device):
        return (OK if device == 0 else WRONG,)

    def cudaDeviceGetAttribute(self, attribute, device):
        return OK, attribute

    def _memory(self, size):
        block = (ctypes.c_byte * size)()
        ctypes.memset(block, 0xFF, size)  # NaN: memory comes as it is
        self.memory[ctypes.addressof(block)] = block
        return OK, ctypes.addressof(block)

    def cudaMalloc(self, size):
        return self._memory(size)

    def cudaHostAlloc(self, size, flags):
        return self._memory(size)

    def cudaFree(self, address):
        return (OK if self.memory.pop(address, None) is not None else WRONG,)

    cudaFreeHost = cudaFree

    def cudaStreamCreateWithFlags(self, flags):
        handle = next(self.handles)
        self.streams[handle] = []
        return OK, handle

    def cudaStreamDestroy(self, stream):
        return (OK if self.streams.pop(stream, None) is not None else WRONG,)

    def add(self, work, stream):
        (self.streams[stream] if self.recording is None else self.recording).append(work)

    def cudaMemcpyAsync(self, to, source, size, kind, stream):
        if not {to, source} <= self.memory.keys():
            return (WRONG,)

        def copy():
            ctypes.memmove(to, source, size)
            self.copied.append((kind, size))

        self.add(copy, stream)
        return (OK,)

    def cudaStreamSynchronize(self, stream):
        if self.recording is not None:
            return (Status.cudaErrorStreamCaptureInvalidated,)
        for work in self.streams[stream]:
            work()
        self.streams[stream].clear()
        return (OK,)

    def cudaStreamBeginCapture(self, stream, mode):
        if self.recording is not None:
            return (WRONG,)
        self.recording = []
        return (OK,)

    def _graph(self, work):
        handle = next(self.handles)
        self.graphs[handle] = work
        return OK, handle

    def cudaStreamEndCapture(self, stream):
        done, self.recording = self.recording, None
        return self._graph(done)

    def cudaGraphInstantiate(self, graph, flags):
        return self._graph(list(self.graphs[graph]))

    def cudaGraphDestroy(self, graph):
        return (OK if self.graphs.pop(graph, None) is not None else WRONG,)

    cudaGraphExecDestroy = cudaGraphDestroy

    def cudaGraphLaunch(self, graph, stream):
        self.launches += 1
        self.streams[stream].extend(self.graphs[graph])
        return (OK,)


class FakeEngine:
    def __init__(self, library, data):
        self.library, self.session = library, session_of(data)
        self.nodes = [*self.session.get_inputs(), *self.session.get_outputs()]
        self.num_io_tensors = len(self.nodes)
        self.inputs = {node.name for node in self.session.get_inputs()}

    def _node(self, name):
        (node,) = (n for n in self.nodes if n.name == name)
        return node

    def get_tensor_name(self, index):
        return self.nodes[index].name

    def get_tensor_mode(self, name):
        return "input" if name in self.inputs else "output"

    def get_tensor_dtype(self, name):
        return self._node(name).type

    def get_tensor_shape(self, name):
        return [side if isinstance(side, int) else -1 for side in self._node(name).shape]

    def create_runtime_config(self):
        return SimpleNamespace(dynamic_shapes_kernel_specialization_strategy="lazy")

    def create_execution_context(self, config):
        return FakeContext(self, config.dynamic_shapes_kernel_specialization_strategy)


class FakeContext:
    def __init__(self, engine, strategy):
        self.engine, self.strategy = engine, strategy
        self.addresses, self.shapes, self.ready = {}, {}, False

    def set_input_shape(self, name, shape):
        assert -1 not in shape
        self.shapes[name] = shape

    def get_tensor_shape(self, name):
        assert self.shapes.keys() == self.engine.inputs, "outputs depend on all inputs"
        return [1 if side < 0 else side for side in self.engine.get_tensor_shape(name)]

    def set_tensor_address(self, name, address):
        self.addresses[name] = address

    def execute_async_v3(self, stream):
        """Refused where it would have to compile while it is recorded."""
        library = self.engine.library
        assert len(self.addresses) == self.engine.num_io_tensors
        if library.recording is not None and not (self.ready and self.strategy == "eager"):
            return False
        self.ready = True
        library.add(self._run, stream)
        return True

    def _at(self, name):
        shape = self.get_tensor_shape(name)
        memory = (ctypes.c_float * int(np.prod(shape))).from_address(self.addresses[name])
        return np.ctypeslib.as_array(memory).reshape(shape)

    def _run(self):
        assert set(self.addresses.values()) <= self.engine.library.memory.keys()
        names = [node.name for node in self.engine.session.get_outputs()]
        feed = {name: self._at(name).copy() for name in self.engine.inputs}
        for name, value in zip(names, self.engine.session.run(names, feed), strict=True):
            self._at(name)[...] = value


def fake_backend(library, version="1.0", invalid=0, readable=True):
    """A TensorRT-RTX whose engines are ONNX graphs.

    Args:
        library: the `FakeLibrary` that its engines run on.
        version: of it.
        invalid: bits of why no engine is for this machine; 1 version, 2 compute capability.
        readable: whether it reads engines.
    """
    why = IntEnum("EngineInvalidityDiagnostics", {"VERSION_MISMATCH": 1, "UNSUPPORTED_CC": 2})
    validity = SimpleNamespace(VALID=0, INVALID=2)

    class Runtime:
        def __init__(self, logger):
            pass

        def get_engine_validity(self, data):
            return (validity.INVALID if invalid else validity.VALID), invalid

        def deserialize_cuda_engine(self, data):
            return FakeEngine(library, data) if readable else None

    class Logger:
        ERROR = 1

        def __init__(self, severity):
            pass

    capabilities = type("ComputeCapability", (), {f"SM{n}": n for n in (75, 80, 86, 89, 120, 121)})
    return Backend("rtx", SimpleNamespace(
        __version__=version, Runtime=Runtime, Logger=Logger, ComputeCapability=capabilities,
        TensorIOMode=SimpleNamespace(INPUT="input", OUTPUT="output"),
        DataType=SimpleNamespace(FLOAT="tensor(float)"),
        EngineValidity=validity, EngineInvalidityDiagnostics=why,
        DynamicShapesKernelSpecializationStrategy=SimpleNamespace(LAZY="lazy", EAGER="eager"),
    ))  # fmt: skip
