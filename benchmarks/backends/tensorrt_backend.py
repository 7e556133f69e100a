"""TensorRT-RTX on an NVIDIA GPU: engines built for it, launched as CUDA graphs."""

from pathlib import Path

import numpy as np
import onnx

from dmvton.errors import CheckpointError, DeviceError, MissingExtraError
from export.mobile.graphs import Feed, Graph, Signature
from export.mobile.target import ConversionError, Options, Placement
from export.trt.backend import load_backend
from export.trt.builder import Target, build_engine
from export.trt.cuda import Cuda
from export.trt.loaded import LoadedEngine


class TensorRtRunner:
    """An engine with its buffers; inputs lie on the GPU, outputs are copied back."""

    def __init__(self, path: Path):
        """Loads it."""
        try:
            data = path.read_bytes()
            self._engine = LoadedEngine(load_backend("rtx"), Cuda(), data, path.stem)
        except (CheckpointError, DeviceError) as error:
            raise ConversionError(str(error)) from error

    def feed(self, inputs: Feed) -> None:
        """Uploads the inputs."""
        self._engine.put(inputs)

    def run(self) -> None:
        """One pass, and the copy of its outputs."""
        self._outputs = self._engine.run({})

    def read(self) -> dict[str, np.ndarray]:
        """The outputs."""
        return self._outputs


class TensorRt:
    """Servers and desktop computers with an NVIDIA GPU."""

    name = "tensorrt"
    extra = "tensorrt"
    packages = ("tensorrt_rtx",)
    precisions = ("fp32",)
    sampling = "native"
    device = "gpu"

    def convert(self, graph: Graph, folder: Path, options: Options) -> None:
        """Writes NAME.engine for the GPU of this machine."""
        target = Target((Cuda().compute_capability(),))
        model = onnx.load(graph.onnx)
        try:
            data = build_engine(load_backend("rtx"), model, graph.name, target)
        except CheckpointError as error:
            raise ConversionError(str(error)) from error
        (folder / f"{graph.name}.engine").write_bytes(data)

    def obstacle(self) -> str | None:
        """None where TensorRT-RTX and a GPU are here."""
        try:
            load_backend("rtx")
            Cuda()
        except (MissingExtraError, DeviceError) as missing:
            return str(missing)
        return None

    def load(self, name: str, signature: Signature, folder: Path, threads: int) -> TensorRtRunner:
        """The engine of one graph; the number of threads does not matter."""
        return TensorRtRunner(folder / f"{name}.engine")

    def placement(self, name: str, folder: Path) -> Placement:
        """The engine is one launch; what it holds is not told."""
        return Placement(1, {}, "in the engine")
