"""Who may import whom, and that the base install suffices for what it promises."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("dmvton", "pose_synth", "export", "app", "benchmarks")
# Of our own packages, those that each may import; benchmarks stands on top of all but app.
ALLOWED = {
    "dmvton": set(),
    "pose_synth": {"dmvton"},
    "export": {"dmvton"},
    "benchmarks": {"dmvton", "pose_synth", "export"},
    "app": set(PACKAGES),
}
# What `pip install dmvton` brings, and so what the modules below may import.
BASE_DEPENDENCIES = ("numpy", "cv2", "onnxruntime", "PIL", "tqdm", "jsonargparse")
BASE_MODULES = (
    "dmvton",
    "dmvton.errors",
    "dmvton.image_io",
    "dmvton.runtime",
    "dmvton.lowbit",
    "dmvton.crop",
    "dmvton.keypoints",
    "dmvton.garment",
    "dmvton.files",
    "dmvton.hem",
    "dmvton.holes",
    "dmvton.sessions",
    "dmvton.strays",
    "dmvton.wall",
    "dmvton.locate",
    "dmvton.compose",
    "dmvton.tryon",
    "app.cli",
    "app.arguments",
    "app.try_on",
    "app.doctor",
    "benchmarks.bench",
)
OPTIONAL = (
    "torch",
    "torchvision",
    "onnx",
    "safetensors",
    "tensorboard",
    "scipy",
    "numba",
    "sklearn",
    "skimage",
    "matplotlib",
    "pandas",
    "gradio",
    "ray",
    "uvicorn",
    "ncnn",
    "pnnx",
    "coremltools",
    "openvino",
    "executorch",
    "litert_torch",
    "websockets",
    "prometheus_client",
    "python_multipart",
    "fastapi",
    "av",
    "triton",
    "tensorrt",
    "tensorrt_rtx",
    "ai_edge_litert",
    "mediapipe",
    "anny",
    "ray",
    "pytest",
)


def modules(package):
    return sorted((ROOT / package).rglob("*.py"))


def imported(path):
    """Top-level names of every import in a file, also those inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package):
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(package)
        for name in imported(path)
        if name in PACKAGES and name != package and name not in ALLOWED[package]
    }
    assert not wrong


def test_the_check_sees_imports_wherever_they_stand(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("import app.cli\ndef f():\n    from export import onnx_pair\n")
    assert list(imported(path)) == ["app", "export"]


def test_no_file_is_named_like_a_package_that_it_could_shadow():
    names = {*OPTIONAL, *BASE_DEPENDENCIES, "utils"}
    assert not [path for package in PACKAGES for path in modules(package) if path.stem in names]


@pytest.mark.parametrize("module", BASE_MODULES)
def test_base_modules_import_with_nothing_else_to_import(module):
    """In a process in which the optional packages cannot be found, whether installed or not."""
    blocker = f"""
import importlib, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OPTIONAL!r}:
            raise ModuleNotFoundError(f"blocked: {{name}}", name=name)

sys.meta_path.insert(0, Blocker())
importlib.import_module({module!r})
loaded = {{name.partition(".")[0] for name in sys.modules}} & set({OPTIONAL!r})
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", blocker], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def reached(module):
    """The module and those of ours that importing it imports, also those imported later on."""
    seen, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        path = ROOT / (name.replace(".", "/") + ".py")
        if name in seen or not path.exists():
            continue
        seen.add(name)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{part.name}" for part in node.names)]
            elif isinstance(node, ast.Import):
                waiting += [part.name for part in node.names]
    return seen


@pytest.mark.parametrize("entry", ["dmvton.tryon", "app.try_on", "app.doctor"])
def test_list_of_base_modules_is_complete(entry):
    assert reached(entry) <= set(BASE_MODULES)
