"""One engine on the GPU: fixed shapes, pinned buffers, and a run that is a single launch."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from dmvton.errors import CheckpointError, DeviceError
from export.trt.backend import Backend
from export.trt.cuda import Cuda


class LoadedEngine:
    """An engine, its buffers, and the CUDA graph of its run.

    Copies in, kernels and copies out are recorded once. That needs addresses and shapes that stay;
    an open batch is 1.
    """

    def __init__(
        self, backend: Backend, cuda: Cuda, data: bytes, name: str, live: Collection[str] = ()
    ):
        """Loads the engine, runs it once on zeros, and records its run.

        Args:
            backend: the TensorRT that built it.
            cuda: the GPU; closing it frees the buffers.
            data: the engine.
            name: for messages.
            live: inputs that are copied in with every run; the others stay until `put` again.

        Raises:
            CheckpointError: this TensorRT does not read it, or its values are not float32.
            DeviceError: it was built for other GPUs, or the GPU failed.
        """
        self.name, self.cuda, self.stream = name, cuda, cuda.stream()
        trt = backend.trt
        # All three stay: the context uses the engine, and the engine the runtime.
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        self._engine = read_engine(backend, self._runtime, data, name)
        self._context = make_context(trt, self._engine)
        self._addresses: dict[str, int] = {}
        self.inputs: dict[str, np.ndarray] = {}
        self.outputs: dict[str, np.ndarray] = {}
        self._bind(trt)
        self._live = [n for n in self.inputs if n in live]
        for input_name, host in self.inputs.items():
            host[...] = 0
            cuda.to_device(self._addresses[input_name], host, self.stream)
        self._enqueue()  # sets memory aside and loads kernels, which can't be recorded
        cuda.wait(self.stream)
        self._recorded: Any = cuda.record(self._enqueue, self.stream)

    def _bind(self, trt: Any) -> None:
        """Pinned and device memory; input shapes first, since output shapes follow from them."""
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        given = [n for n in names if self._engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        for name in given:
            shape = tuple(self._engine.get_tensor_shape(name))
            self._context.set_input_shape(name, (1, *shape[1:]) if shape[0] == -1 else shape)
        for name in names:
            kind = self._engine.get_tensor_dtype(name)
            if kind != trt.DataType.FLOAT:
                raise CheckpointError(
                    f"{self.name}: {name} is {kind}, expected float32 inputs and outputs, as "
                    "`dmvton export` writes them in every precision; build the engine again"
                )
            host = self.cuda.pinned(tuple(self._context.get_tensor_shape(name)))
            self._addresses[name] = self.cuda.device_memory(host.nbytes)
            self._context.set_tensor_address(name, self._addresses[name])
            (self.inputs if name in given else self.outputs)[name] = host

    def put(self, values: Mapping[str, np.ndarray]) -> None:
        """Copies inputs that stay to the GPU.

        Raises:
            CheckpointError: one is of another shape.
            DeviceError: the GPU failed.
        """
        for name, value in values.items():
            self._fill(name, value)
            self.cuda.to_device(self._addresses[name], self.inputs[name], self.stream)
        self.cuda.wait(self.stream)

    def run(self, live: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs with these live inputs and what was put before; returns copies of the outputs.

        Raises:
            CheckpointError: one is of another shape.
            DeviceError: the GPU failed, or the engine was closed.
        """
        if self._recorded is None:
            raise DeviceError(f"{self.name}: the engine was closed; load it again")
        for name, value in live.items():
            self._fill(name, value)
        self.cuda.launch(self._recorded, self.stream)
        self.cuda.wait(self.stream)
        return {name: value.copy() for name, value in self.outputs.items()}

    def close(self) -> None:
        """Gives the engine's own memory back; the buffers are freed with the GPU's `close`."""
        self._recorded = self._context = self._engine = self._runtime = None

    def _fill(self, name: str, value: np.ndarray) -> None:
        host = self.inputs[name]
        if value.shape != host.shape:  # assignment would broadcast
            raise CheckpointError(
                f"{self.name}: {name} of shape {value.shape}, the engine takes {host.shape}; "
                "resize the picture, or build engines of that size"
            )
        host[...] = value

    def _enqueue(self) -> None:
        for name in self._live:
            self.cuda.to_device(self._addresses[name], self.inputs[name], self.stream)
        if not self._context.execute_async_v3(int(self.stream)):
            raise DeviceError(f"{self.name}: TensorRT could not run it; load the engines again")
        for name, host in self.outputs.items():
            self.cuda.to_host(host, self._addresses[name], self.stream)


def read_engine(backend: Backend, runtime: Any, data: bytes, name: str) -> Any:
    """Reads an engine onto the GPU.

    Raises:
        DeviceError: it was built for other GPUs, or for a newer driver.
        CheckpointError: it is of another version, or no engine.
    """
    trt = backend.trt
    if hasattr(runtime, "get_engine_validity"):  # TensorRT-RTX
        verdict, bits = runtime.get_engine_validity(data)
        if verdict == trt.EngineValidity.INVALID:
            known = trt.EngineInvalidityDiagnostics.__members__
            reasons = [word for word, bit in known.items() if int(bits) & int(bit)]
            raise DeviceError(
                f"{name}: not an engine for this machine ({', '.join(reasons) or bits}); build it "
                "with the version that is installed here, and --sm of this GPU"
            )
    engine = runtime.deserialize_cuda_engine(data)
    if engine is None:
        raise CheckpointError(
            f"{name}: {backend.version} does not read this engine; build it again with "
            "`dmvton export tensorrt`"
        )
    return engine


def make_context(trt: Any, engine: Any) -> Any:
    """An execution context.

    TensorRT-RTX compiles kernels where they run. For open batches it would do so in the background,
    also while a run is being recorded; eagerly, they are ready after the first run.
    """
    if not hasattr(trt, "DynamicShapesKernelSpecializationStrategy"):
        return engine.create_execution_context()
    config = engine.create_runtime_config()
    strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
    config.dynamic_shapes_kernel_specialization_strategy = strategy
    return engine.create_execution_context(config)
