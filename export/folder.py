"""The folder of an exported pair: two graphs that say what they are, and the runtime's manifest."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto

import dmvton
from dmvton.errors import CheckpointError
from dmvton.runtime import FORMAT, read_manifest, read_verified
from export.files import write_json

FILES = ("garment.onnx", "frame.onnx")
NORMALISATION = "RGB in [0, 1], planar; nothing to subtract or to divide by"
_PREFIX = "dmvton."


class PairFolder(NamedTuple):
    """A pair as it was read, verified."""

    name: str
    size: tuple[int, int]  # (height, width)
    models: dict[str, ModelProto]  # by file name
    note: dict[str, str]  # metadata of the graphs, without prefix

    @property
    def precision(self) -> str:
        """fp32, fp16, int8 or fp8."""
        return self.note["precision"]


def write_pair(
    models: dict[str, ModelProto],
    out: Path,
    name: str,
    size: tuple[int, int],
    note: dict[str, str],
    record: dict[str, Any],
) -> dict[str, Any]:
    """Writes the graphs with their metadata, and manifest.json.

    Args:
        models: by file name; changed: they get the metadata.
        out: an existing folder.
        name: for the manifest.
        size: (height, width).
        note: batch, precision and checkpoint, into the graphs and the manifest.
        record: more for the manifest; floats by file are rounded.

    Returns:
        The manifest.
    """
    files = {}
    for file, model in models.items():
        stamp(model, file, name, size, note)
        data = model.SerializeToString()
        (out / file).write_bytes(data)
        files[file] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    record = {key: _rounded(value) for key, value in record.items()}
    opset = next(o.version for o in models[FILES[0]].opset_import if o.domain in ("", "ai.onnx"))
    manifest = {"format": FORMAT, "name": name, "size": list(size), "opset": opset,
                **note, "files": files, **record}  # fmt: skip
    write_json(out / "manifest.json", manifest)
    return manifest


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return round(value, 7) if isinstance(value, float) else value


def stamp(
    model: ModelProto, file: str, name: str, size: tuple[int, int], note: dict[str, str]
) -> None:
    """Writes into the graph what it is, for whoever has the file alone."""
    facts = {
        "version": dmvton.__version__,
        "graph": Path(file).stem,
        "name": name,
        "size": f"{size[0]}x{size[1]}",
        "normalisation": NORMALISATION,
        **note,
    }
    onnx.helper.set_model_props(model, {_PREFIX + k: v for k, v in facts.items()})
    model.producer_name, model.producer_version = "dmvton", dmvton.__version__


def metadata(model: ModelProto) -> dict[str, str]:
    """What `stamp` wrote, without the prefix; empty for a graph from elsewhere."""
    props = {p.key: p.value for p in model.metadata_props}
    return {k.removeprefix(_PREFIX): v for k, v in props.items() if k.startswith(_PREFIX)}


def read_pair(folder: Path) -> PairFolder:
    """Reads and verifies an exported pair.

    Raises:
        CheckpointError: it is missing, tampered with, or was not made by `dmvton export`.
    """
    manifest = read_manifest(folder)
    models = {file: _parse(folder / file, read_verified(folder, manifest, file)) for file in FILES}
    return PairFolder(manifest["name"], manifest["size"], models, metadata(models[FILES[0]]))


def _parse(path: Path, data: bytes) -> ModelProto:
    remedy = "expected a file as written by `dmvton export`; export the checkpoint again"
    try:
        model = onnx.load_from_string(data)
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is not a sound ONNX graph ({reason}); {remedy}") from error
    found = metadata(model)
    if found.get("graph") != path.stem or "precision" not in found:
        raise CheckpointError(
            f"{path} is an ONNX graph of other origin (producer {model.producer_name!r}, metadata "
            f"says {found.get('graph', 'nothing')!r}); {remedy}"
        )
    return model
