"""CUDA and TensorRT of plain memory and ONNX Runtime, so that the runner runs without a GPU.

An engine is an ONNX graph; running it reads and writes the addresses that it was given.
"""

import ctypes
from types import SimpleNamespace

import numpy as np

from export.pair import session_of
from export.trt.backend import Backend

SM = 89


class FakeCuda:
    """The interface of `export.trt.cuda.Cuda`; work in a stream waits until it is awaited."""

    def __init__(self):
        self.memory, self.queue, self.recording, self.launches = {}, [], None, 0
        self.copied = []  # (direction, bytes) of what was done

    def compute_capability(self):
        return SM

    def device_memory(self, size):
        block = (ctypes.c_byte * size)()
        self.memory[ctypes.addressof(block)] = block
        return ctypes.addressof(block)

    def pinned(self, shape):
        return np.zeros(shape, np.float32)

    def stream(self):
        return 7

    def add(self, work):
        (self.queue if self.recording is None else self.recording).append(work)

    def to_device(self, address, source, stream):
        assert stream == 7 and source.flags.c_contiguous
        self.add(lambda: self._move(address, source.ctypes.data, source.nbytes, "in"))

    def to_host(self, target, address, stream):
        assert stream == 7 and target.flags.c_contiguous
        self.add(lambda: self._move(target.ctypes.data, address, target.nbytes, "out"))

    def _move(self, to, source, size, direction):
        ctypes.memmove(to, source, size)
        self.copied.append((direction, size))

    def begin_capture(self, stream):
        self.recording = []

    def end_capture(self, stream):
        done, self.recording = self.recording, None
        return done

    def launch(self, graph, stream):
        self.launches += 1
        self.queue.extend(graph)

    def wait(self, stream):
        for work in self.queue:
            work()
        self.queue.clear()


class FakeEngine:
    def __init__(self, cuda, data):
        self.cuda, self.session = cuda, session_of(data)
        self.nodes = [*self.session.get_inputs(), *self.session.get_outputs()]
        self.num_io_tensors = len(self.nodes)
        self.inputs = {node.name for node in self.session.get_inputs()}

    def get_tensor_name(self, index):
        return self.nodes[index].name

    def get_tensor_mode(self, name):
        return "input" if name in self.inputs else "output"

    def get_tensor_shape(self, name):
        (node,) = (n for n in self.nodes if n.name == name)
        return [side if isinstance(side, int) else -1 for side in node.shape]

    def create_execution_context(self):
        return FakeContext(self)


class FakeContext:
    def __init__(self, engine):
        self.engine, self.addresses, self.shapes = engine, {}, {}

    def set_input_shape(self, name, shape):
        assert -1 not in shape
        self.shapes[name] = shape

    def get_tensor_shape(self, name):
        assert self.shapes.keys() == self.engine.inputs, "outputs depend on all inputs"
        return [1 if side < 0 else side for side in self.engine.get_tensor_shape(name)]

    def set_tensor_address(self, name, address):
        self.addresses[name] = address

    def execute_async_v3(self, stream):
        assert stream == 7 and len(self.addresses) == self.engine.num_io_tensors
        self.engine.cuda.add(self._run)
        return True

    def _at(self, name):
        shape = self.get_tensor_shape(name)
        memory = (ctypes.c_float * int(np.prod(shape))).from_address(self.addresses[name])
        return np.ctypeslib.as_array(memory).reshape(shape)

    def _run(self):
        names = [node.name for node in self.engine.session.get_outputs()]
        feed = {name: self._at(name).copy() for name in self.engine.inputs}
        for name, value in zip(names, self.engine.session.run(names, feed), strict=True):
            self._at(name)[...] = value


def fake_backend(cuda, version="1.0", readable=True):
    """A TensorRT-RTX whose engines are ONNX graphs."""

    class Runtime:
        def __init__(self, logger):
            pass

        def deserialize_cuda_engine(self, data):
            return FakeEngine(cuda, data) if readable else None

    class Logger:
        ERROR = 1

        def __init__(self, severity):
            pass

    capabilities = type("ComputeCapability", (), {f"SM{n}": n for n in (75, 80, 86, 89, 120, 121)})
    mode = SimpleNamespace(INPUT="input", OUTPUT="output")
    return Backend("rtx", SimpleNamespace(
        __version__=version, Runtime=Runtime, Logger=Logger, TensorIOMode=mode,
        ComputeCapability=capabilities,
    ))  # fmt: skip
