"""``dmvton doctor``: what this machine can run, and what is missing for the rest."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence

import onnxruntime

import dmvton
from app.arguments import Parser
from app.cli import available_commands
from dmvton.errors import CheckpointError
from dmvton.runtime import DEFAULT_WEIGHTS, NetworkPair
from dmvton.sessions import available_cores

_BASE = ("numpy", "opencv-python-headless", "onnxruntime", "pillow", "tqdm", "jsonargparse")
# What each extra must bring (by import name); the full lists are in pyproject.toml.
_EXTRAS = {
    "train": ("torch", "torchvision", "accelerate", "safetensors", "tensorboard", "onnx"),
    "synth": ("scipy", "numba", "ai_edge_litert"),
    "export": ("torch", "onnx", "safetensors", "onnxslim", "ml_dtypes"),
    "tensorrt": ("tensorrt_rtx", "polygraphy", "cuda.bindings"),
    "mobile": ("ncnn", "pnnx", "coremltools"),
    "openvino": ("openvino",),
    "litert": ("litert_torch", "ai_edge_litert"),
    "executorch": ("executorch",),
    "app": ("gradio", "av", "fastapi", "uvicorn", "websockets", "prometheus_client"),
    "scale": ("ray", "fastapi", "python_multipart", "prometheus_client"),
    "serve": ("fastapi", "uvicorn", "websockets", "python_multipart", "prometheus_client"),
}
# Extras of single formats of `dmvton export`, beside the extra export.
_FORMATS = {
    "tensorrt": ("tensorrt",),
    "mobile": ("ncnn", "coreml"),
    "openvino": ("openvino",),
    "litert": ("litert",),
    "executorch": ("executorch",),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report.

    Returns:
        0 where try-on can run, 1 where it cannot.
    """
    Parser(prog="dmvton doctor", description=__doc__).parse_args(argv)
    sound, weights = _weights()
    print(f"dmvton {dmvton.__version__}")
    for label, text in (*_machine(), ("weights", weights)):
        print(f"  {label:10}{text}")
    print("base install")
    for name in _BASE:
        print(f"  {name} {importlib.metadata.version(name)}")
    print("extras")
    for extra in _EXTRAS:
        print(f"  {extra:11}{_extra_state(extra)}")
    print("phones: browsers give a camera only to pages over https: dmvton demo --host 0.0.0.0")
    print("  --cert PEM --key PEM, or a proxy; docs/SERVING.md says how to get a certificate")
    return 0 if sound else 1


def _machine() -> Iterator[tuple[str, str]]:
    """Label and text of each fact about the machine."""
    yield "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield "cores", f"{available_cores()} of {os.cpu_count()} usable"
    yield "runtime", ", ".join(onnxruntime.get_available_providers())
    yield "gpu", _gpu()


def _gpu() -> str:
    """The NVIDIA GPUs by name, as their driver lists them."""
    if shutil.which("nvidia-smi") is None:
        return "none found (no nvidia-smi); not needed to run, only to train fast and for TensorRT"
    command = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"nvidia-smi fails ({error}); check the driver"
    return "; ".join(done.stdout.split("\n")).strip("; ")


def _weights() -> tuple[bool, str]:
    """Whether the packaged network loads, and a line about it."""
    try:
        network = NetworkPair(DEFAULT_WEIGHTS, threads=1)
    except CheckpointError as error:
        return False, str(error)
    return True, f"{network.name}, {network.size[0]}x{network.size[1]}, verified"


def _extra_state(extra: str) -> str:
    """Whether an extra is installed, and which commands wait for it."""
    lacking = [name for name in _EXTRAS[extra] if not _present(name)]
    if not lacking:
        return "installed"
    waiting = [name for name, command in available_commands().items() if command.extra == extra]
    waiting += [f"export {name}" for name in _FORMATS.get(extra, ())]
    wanted = f" for dmvton {', '.join(waiting)}" if waiting else ""
    return f'lacks {", ".join(lacking)}{wanted}: pip install "dmvton[{extra}]"'


def _present(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the package above it
        return False
