"""OpenVINO, converted from ONNX."""

from collections import Counter
from pathlib import Path

import numpy as np

from dmvton.sessions import openvino_model
from export.mobile.graphs import Feed, Graph, Signature
from export.mobile.target import ConversionError, Options, Placement, absence

_MOVES = ("Parameter", "Result", "Const", "Reorder")


class OpenVinoRunner:
    """An .xml and .bin pair on the CPU, in float32."""

    def __init__(self, path: Path, signature: Signature, threads: int):
        """Loads and compiles."""
        self._request = _compiled(path, threads).create_infer_request()
        self._signature = signature

    def feed(self, inputs: Feed) -> None:
        """Copies the inputs."""
        for name in self._signature.inputs:
            self._request.get_tensor(name).data[:] = inputs[name]

    def run(self) -> None:
        """One pass."""
        self._request.infer()

    def read(self) -> dict[str, np.ndarray]:
        """Copies of the outputs."""
        return {
            name: self._request.get_tensor(name).data.reshape(shape).copy()
            for name, shape in self._signature.outputs.items()
        }


class OpenVino:
    """Desktop computers and servers: the rival of ONNX Runtime on x86."""

    name = "openvino"
    extra = "openvino"
    packages = ("openvino",)
    precisions = ("fp32", "fp16")
    sampling = "native"
    device = "cpu"

    def convert(self, graph: Graph, folder: Path, options: Options) -> None:
        """Writes NAME.xml and NAME.bin."""
        import openvino

        try:
            model = openvino.convert_model(str(graph.onnx))
            path, half = folder / f"{graph.name}.xml", options.precision == "fp16"
            openvino.save_model(model, str(path), compress_to_fp16=half)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise ConversionError(f"{graph.name}: OpenVINO fails ({reason})") from error

    def obstacle(self) -> str | None:
        """None where the package is installed."""
        return absence(self)

    def load(self, name: str, signature: Signature, folder: Path, threads: int) -> OpenVinoRunner:
        """The pair of files of one graph."""
        return OpenVinoRunner(folder / f"{name}.xml", signature, threads)

    def placement(self, name: str, folder: Path) -> Placement:
        """What runs in reference kernels instead of compiled ones."""
        model = _compiled(folder / f"{name}.xml", 1).get_runtime_model()
        facts = [
            {key: value.astype(str) for key, value in op.get_rt_info().items()}
            for op in model.get_ops()
        ]
        facts = [fact for fact in facts if fact.get("layerType") not in _MOVES]
        slow = Counter(
            f["layerType"] for f in facts if f.get("primitiveType", "").startswith("ref")
        )
        sampled = {f["primitiveType"] for f in facts if f.get("layerType") == "GridSample"}
        told = f"GridSample ({', '.join(sorted(sampled))})" if sampled else "none in it"
        return Placement(len(facts), dict(slow), told)


def _compiled(path: Path, threads: int):
    try:
        return openvino_model(path, threads)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ConversionError(f"{path}: OpenVINO cannot load it ({reason})") from error
