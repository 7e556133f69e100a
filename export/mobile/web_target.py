"""ONNX Runtime Web: the ONNX pair itself, run in the WebAssembly build under Node.js."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from dmvton.errors import MissingExtraError
from export.mobile.graphs import Feed, Graph, Signature
from export.mobile.target import ConversionError, Options, Placement

SCRIPT = Path(__file__).with_name("web_run.mjs")


class WebRunner:
    """A graph in a Node.js process of its own; a line each way starts and ends a pass."""

    def __init__(self, path: Path, signature: Signature, threads: int):
        """Starts the process and loads the graph."""
        self._signature = signature
        self._folder = TemporaryDirectory()
        self._process = subprocess.Popen(
            [_node(), str(SCRIPT), str(_package()), str(path), str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._hear()

    def feed(self, inputs: Feed) -> None:
        """Hands the inputs over through a file."""
        shapes = self._signature.inputs
        path = Path(self._folder.name, "in.f32")
        np.concatenate([np.float32(inputs[name]).ravel() for name in shapes]).tofile(path)
        self._tell({"feed": str(path), "shapes": {k: list(v) for k, v in shapes.items()}})

    def run(self) -> None:
        """One pass."""
        self._tell({"run": True})

    def read(self) -> dict[str, np.ndarray]:
        """The outputs, through a file."""
        path = Path(self._folder.name, "out.f32")
        self._tell({"read": str(path), "names": list(self._signature.outputs)})
        shapes = self._signature.outputs
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
        parts = np.split(np.fromfile(path, np.float32), ends[:-1])
        return {n: p.reshape(s) for (n, s), p in zip(shapes.items(), parts, strict=True)}

    def close(self) -> None:
        """Ends the process."""
        if self._process.poll() is None:
            self._process.stdin.close()
            self._process.wait(timeout=10)
        self._process.stdout.close()
        self._folder.cleanup()

    def __del__(self):
        if hasattr(self, "_process"):
            self.close()

    def _tell(self, message: dict) -> None:
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        self._hear()

    def _hear(self) -> None:
        """Waits for the answer to the last line.

        Raises:
            ConversionError: the process ended or says what went wrong.
        """
        answer = self._process.stdout.readline()
        if answer.strip() != "ok":
            self._process.kill()
            reason = answer.strip() or f"Node.js ended with {self._process.wait()}"
            raise ConversionError(f"ONNX Runtime Web: {reason}")


class Web:
    """Browsers."""

    name = "web"
    extra = "export"
    packages = ("onnx",)
    precisions = ("fp32",)
    sampling = "native"
    device = "wasm"

    def convert(self, graph: Graph, folder: Path, options: Options) -> None:
        """Copies the ONNX file: the WebAssembly build reads it as it is."""
        shutil.copyfile(graph.onnx, folder / f"{graph.name}.onnx")

    def obstacle(self) -> str | None:
        """None where Node.js and the npm package are here."""
        try:
            _node()
            _package()
        except MissingExtraError as missing:
            return str(missing)
        return None

    def load(self, name: str, signature: Signature, folder: Path, threads: int) -> WebRunner:
        """One graph in its own process.

        Raises:
            MissingExtraError: Node.js or the npm package is not there.
        """
        return WebRunner(folder / f"{name}.onnx", signature, threads)

    def placement(self, name: str, folder: Path) -> Placement:
        """All operators have WebAssembly kernels, or the graph would not load."""
        nodes = onnx.load(folder / f"{name}.onnx").graph.node
        sampled = sum(node.op_type == "GridSample" for node in nodes)
        return Placement(len(nodes), {}, "GridSample" if sampled else "none in it")


def _node() -> str:
    found = shutil.which("node")
    if found is None:
        raise MissingExtraError("the web target is run under Node.js, and there is no node on PATH")
    return found


def _package() -> Path:
    """The script of the npm package, below $DMVTON_NODE_MODULES or ./node_modules."""
    folder = Path(os.environ.get("DMVTON_NODE_MODULES", "node_modules"))
    package = folder / "onnxruntime-web" / "dist" / "ort.wasm.min.mjs"
    if not package.is_file():
        raise MissingExtraError(
            f"{package} is not there; run: npm install onnxruntime-web, in this folder or another "
            "one whose node_modules $DMVTON_NODE_MODULES names"
        )
    return package.resolve()
