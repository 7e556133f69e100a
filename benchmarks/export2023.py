"""The 2023 student as ONNX, made on first use and kept in a cache folder.

Needs torch to make the files and nothing but numpy to read them. Weights are random: the time of a
frame does not depend on them. Beside each graph lies what torch gave for fixed inputs, so that the
graph can be checked without torch.
"""

import hashlib
import importlib.util
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.harness import Unavailable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from benchmarks.cost_volume import Form

OPSET = 17
INPUTS = ("person", "garment", "mask")
OUTPUTS = ("image", "warped_garment", "warped_mask", "composite", "flow")
SIZE = (256, 192)
SOURCES = ("dmvton2023.py", "mobilenet.py", "cost_volume.py", "export2023.py", "../dmvton/flow.py")


class Exported(NamedTuple):
    """A graph and its reference."""

    graph: Path  # ONNX file
    reference: Path  # npz: the inputs and the outputs of torch, by the names above


def cache_folder() -> Path:
    """Where graphs are kept: $DMVTON_CACHE, else the user's cache folder."""
    chosen = os.environ.get("DMVTON_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(chosen) if chosen else Path(base) / "dmvton"


def exported(form: "Form", cache: Path | None = None) -> Exported:
    """The graph with this form of the cost volume, made now if the cache lacks it.

    Args:
        form: "plain" or "matmul".
        cache: Folder to keep it in; None for the usual one.

    Raises:
        Unavailable: The cache lacks it and torch or onnx, which are needed to make it, are missing.
    """
    folder = (cache or cache_folder()) / f"dmvton2023-{_digest()}"
    files = Exported(folder / f"{form}.onnx", folder / f"{form}.npz")
    if not all(file.is_file() for file in files):
        missing = [name for name in ("torch", "onnx") if importlib.util.find_spec(name) is None]
        if missing:
            raise Unavailable(
                f"the 2023 student is not in the cache ({folder}) and {' and '.join(missing)} "
                "cannot be imported to make it: pip install 'dmvton[export]'"
            )
        _export(form, files)
    return files


def _digest() -> str:
    """Short hash of the sources that the graph is made from, so that a change makes a new one."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update((here / name).read_bytes())
    return digest.hexdigest()[:12]


def _export(form: "Form", files: Exported) -> None:
    import torch

    from benchmarks.dmvton2023 import ForExport, Student2023, Student2023Config

    torch.manual_seed(0)
    model = ForExport(Student2023(Student2023Config(cost_volume=form))).eval()
    inputs = tuple(torch.rand(1, channels, *SIZE) for channels in (3, 3, 1))
    with torch.inference_mode():
        outputs = model(*inputs)
    files.graph.parent.mkdir(parents=True, exist_ok=True)
    arrays = zip((*INPUTS, *OUTPUTS), (*inputs, *outputs), strict=True)
    # Both files are made under another name first, so that each is whole or absent.
    with tempfile.TemporaryDirectory(dir=files.graph.parent) as made:
        graph, reference = Path(made, "graph.onnx"), Path(made, "reference.npz")
        export_onnx(model, inputs, graph)
        np.savez(reference, **{name: array.numpy() for name, array in arrays})
        reference.replace(files.reference)
        graph.replace(files.graph)


def export_onnx(model: "nn.Module", inputs: "tuple[Tensor, ...]", path: Path) -> None:
    """Writes a `ForExport` as ONNX for the shapes of `inputs` (person, garment, mask)."""
    import torch

    with warnings.catch_warnings():
        # The exporter built on torch.export starts at opset 18, and 17 is that of the project's
        # other graphs. This one warns of its age, and of slices that it does not fold.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            inputs,
            path,
            input_names=INPUTS,
            output_names=OUTPUTS,
            opset_version=OPSET,
            dynamo=False,
        )
