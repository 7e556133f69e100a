"""The folder of built engines: files and `engines.json`, which knows their hashes."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from dmvton.errors import CheckpointError
from export.files import write_json

MANIFEST = "engines.json"
FORMAT = 1
_REMEDY = "build the engines again with `dmvton export tensorrt`"


class Facts(NamedTuple):
    """What is true of all engines of a folder."""

    name: str
    size: tuple[int, int]  # (height, width)
    precision: str  # fp32, fp16, int8 or fp8
    builder: str  # package and version
    max_batch: int
    onnx: dict[str, str]  # SHA-256 of the graphs that they were built from, by file


class Engine(NamedTuple):
    """One engine file."""

    file: str
    graph: str  # garment or frame
    sms: tuple[int, ...]  # compute capabilities; empty for the machine that built it
    sha256: str
    bytes: int


class EngineFolder(NamedTuple):
    """`engines.json` as it was read."""

    folder: Path
    facts: Facts
    engines: tuple[Engine, ...]

    def read(self, graph: str, sm: int | None = None) -> bytes:
        """The engine of one graph for one compute capability, verified.

        Args:
            graph: garment or frame.
            sm: of the GPU; None takes the first engine of the graph.

        Raises:
            CheckpointError: there is none for it, or it was tampered with.
        """
        fit = [e for e in self.engines if e.graph == graph]
        if sm is not None:
            fit = [e for e in fit if not e.sms or sm in e.sms]
        if not fit:
            built = sorted({s for e in self.engines for s in e.sms})
            raise CheckpointError(
                f"{self.folder}: no {graph} engine for SM{sm}, only for "
                f"{', '.join(f'SM{s}' for s in built)}; {_REMEDY} --sm {sm}"
            )
        return self._verified(fit[0])

    def _verified(self, engine: Engine) -> bytes:
        path = self.folder / engine.file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise CheckpointError(f"{path}: {error.strerror}; {_REMEDY}") from error
        digest = hashlib.sha256(data).hexdigest()
        if (len(data), digest) != (engine.bytes, engine.sha256):
            raise CheckpointError(
                f"{path}: {len(data)} bytes with SHA-256 {digest[:12]}, expected {engine.bytes} "
                f"with {engine.sha256[:12]}: the file was changed; {_REMEDY}"
            )
        return data


def write_engine(folder: Path, graph: str, sms: tuple[int, ...], data: bytes) -> Engine:
    """Writes one engine and describes it; its name tells the GPUs."""
    where = "-".join(f"sm{sm}" for sm in sms) or "local"
    file = f"{graph}.{where}.engine"
    (folder / file).write_bytes(data)
    return Engine(file, graph, sms, hashlib.sha256(data).hexdigest(), len(data))


def write_engines(folder: Path, facts: Facts, engines: list[Engine]) -> None:
    """Writes `engines.json`."""
    body = {**facts._asdict(), "engines": [engine._asdict() for engine in engines]}
    check = hashlib.sha256(_canonical(body)).hexdigest()
    write_json(folder / MANIFEST, {"format": FORMAT, "sha256": check, **body})


def _canonical(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True).encode()


def read_engines(folder: Path) -> EngineFolder:
    """Reads and checks `engines.json`; the engines are verified when they are read.

    Raises:
        CheckpointError: missing, damaged, changed by hand, or of another format.
    """
    path = folder / MANIFEST
    try:
        body = json.loads(path.read_bytes())
        found, check = body.pop("format"), body.pop("sha256")
        engines = tuple(_engine(entry) for entry in body["engines"])
        facts = Facts(**{k: v for k, v in body.items() if k != "engines"})
        facts = facts._replace(size=tuple(facts.size))
    except OSError as error:
        raise CheckpointError(
            f"{folder}: no engines ({error.strerror}: {MANIFEST}); {_REMEDY}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: damaged ({type(error).__name__}); {_REMEDY}") from error
    if found != FORMAT:
        raise CheckpointError(f"{path}: of format {found}, expected {FORMAT}; {_REMEDY}")
    if hashlib.sha256(_canonical(body)).hexdigest() != check:
        raise CheckpointError(f"{path}: changed after it was written; {_REMEDY}")
    return EngineFolder(folder, facts, engines)


def _engine(entry: dict[str, Any]) -> Engine:
    engine = Engine(**entry)
    if Path(engine.file).name != engine.file:
        raise ValueError(f"{engine.file} leads out of the folder")
    return engine._replace(sms=tuple(engine.sms))
