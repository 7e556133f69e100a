"""The folder of a packed pair, and how large it is."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from dmvton.lowbit import ENDING
from dmvton.runtime import FORMAT, read_graph, read_manifest
from export.files import write_json
from export.lowbit.coding import Material, Schemes, pack_graph, stored
from export.quality import Runner


def packed_name(file: str) -> str:
    """garment.onnx -> garment.lowbit."""
    return Path(file).stem + ENDING


def write_packed(
    graphs: Mapping[str, Material],
    schemes: Mapping[str, Schemes],
    out: Path,
    name: str,
    size: tuple[int, int],
) -> int:
    """Write both packed graphs and manifest.json into an existing folder.

    Returns:
        Bytes of the three files.
    """
    files, total = {}, 0
    for file, graph in graphs.items():
        data = pack_graph(graph, schemes[file])
        (out / packed_name(file)).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        files[packed_name(file)] = {"sha256": digest, "bytes": len(data)}
        total += len(data)
    manifest: dict[str, Any] = {"format": FORMAT, "name": name, "size": list(size), "files": files}
    write_json(out / "manifest.json", manifest)
    return total + (out / "manifest.json").stat().st_size


def weight_bytes(graphs: Mapping[str, Material], schemes: Mapping[str, Schemes]) -> int:
    """Bytes of the coded weights in the payloads."""
    return sum(
        stored(layer, schemes[file][layer.name]).nbytes
        for file, graph in graphs.items()
        for layer in graph.layers
    )


def packed_runner(folder: Path) -> Runner:
    """The pair of a packed folder, unpacked the way that the runtime unpacks it.

    Raises:
        CheckpointError: it is missing, tampered with or damaged.
    """
    manifest = read_manifest(folder)
    return Runner(
        {
            f"{graph}.onnx": onnx.load_from_string(read_graph(folder, manifest, graph))
            for graph in ("garment", "frame")
        }
    )
