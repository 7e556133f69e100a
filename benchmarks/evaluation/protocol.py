"""What is measured on: a committed file of seed, recipe and ids, and the samples it names.

The samples of product D (input: the person in another garment; target: the untouched photo) are
drawn anew on each machine from the user's own data, kept in a folder and compared with what the
file says of each: who, in what, and a few means. Bytes would not do: BLAS and OpenCV round
differently on each kind of processor.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from dmvton.errors import DataError, UsageError
from dmvton.files import write_text
from dmvton.shards import RawSample, ShardReader
from pose_synth.build import Banks
from pose_synth.recipe import Generator, Recipe
from pose_synth.shards import ShardPlan, write

FOLDER = Path(__file__).parents[1] / "protocols"
SHARD = 50  # samples; a quick run reads the first shard only
# Of a mean that the protocol holds: grey levels, pixels.
TOLERANCE = 0.2
_PACKAGES = ("numpy", "opencv-python-headless", "scipy")


class ProtocolError(DataError):
    """The samples are not those that the protocol names."""


@dataclass(frozen=True)
class Recording:
    """A protocol as it is committed."""

    name: str
    part: str
    """Part of the split that persons and garments come from."""
    seed: int
    samples: int
    recipe: dict[str, Any]
    persons: list[str] = field(default_factory=list)
    """Ids of the persons in the paired samples."""
    paired: list[list[Any]] = field(default_factory=list)
    """The paired samples, each as `described`."""
    rendered: list[list[Any]] = field(default_factory=list)
    """The same of the rendered people."""
    cases: list[list[str]] = field(default_factory=list)
    """Unpaired: person, two garments, and SHA-256 (16 digits) over the three pictures."""
    reference: list[list[str]] = field(default_factory=list)
    """Other persons for FID and KID: id, and SHA-256 (16 digits) of the picture."""
    packages: dict[str, str] = field(default_factory=dict)
    """Versions that the samples were drawn with."""


@dataclass(frozen=True)
class Pair:
    """One paired sample."""

    id: str
    person: str  # the photo's id
    garment: str  # the garment's
    raw: RawSample


def protocol_path(name: str, folder: Path = FOLDER) -> Path:
    """Where a protocol is kept."""
    return folder / f"{name}.json"


def load(name: str, folder: Path = FOLDER) -> Recording:
    """A committed protocol.

    Raises:
        UsageError: there is none of this name.
        DataError: the file is damaged.
    """
    path = protocol_path(name, folder)
    if not path.is_file():
        known = sorted(p.stem for p in folder.glob("*.json") if p.stem != "baseline")
        raise UsageError(f"no protocol {name!r}; expected one of {', '.join(known) or 'none'}")
    try:
        return Recording(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}); restore it from the repository") from error


def prepare(recording: Recording, banks: Banks, folder: Path, count: int) -> list[list[Any]]:
    """Draws the first `count` samples unless they are there; returns each as `described`."""
    recipe = Recipe(**recording.recipe)
    generator = Generator(banks.outfits, banks.garments, recipe)
    plan = ShardPlan(folder, count, recording.seed, SHARD)
    note = {"part": recording.part, "recipe": asdict(recipe), "protocol": recording.name}
    write(plan, generator.draw, note)
    return [described(pair) for pair in pairs(folder, count)]


def draw(data: Path, cache: Path, count: int, kind: str = "heldout", scale: float = 1.0) -> Path:
    """The folder of the first held-out samples, drawn unless they are there.

    Args:
        data: folder of the photos.
        cache: keeps folders of drawn samples.
        count: how many.
        kind: first word of the folder's name.
        scale: of the shards.
    """
    recording = load("heldout")
    folder = cache / f"{kind}-{recording.seed}-{count}"
    prepare(recording, Banks(data, recording.part, scale=scale), folder, count)
    return folder


def described(pair: Pair) -> list[Any]:
    """A sample as the protocol names it: person, garment, and five means.

    The means are of the three pictures and the mask of the target's garment (grey levels), and of
    the flow (garment pixels).
    """
    raw = pair.raw
    values = (raw.person, raw.target, raw.garment, raw.target_mask, raw.flow)
    means = [round(float(value.mean(dtype=np.float64)), 2) for value in values]
    return [pair.person, pair.garment, *means]


def check(recording: Recording, found: Recording) -> None:
    """Compares what was drawn here, all of the protocol or the first part of each list.

    Raises:
        ProtocolError: something differs.
    """
    for what in ("paired", "rendered", "cases", "reference"):
        wanted = getattr(recording, what)
        for number, line in enumerate(getattr(found, what)):
            if number >= len(wanted) or not _alike(line, wanted[number]):
                _refuse(recording, f"{what}, line {number}", line, wanted[number : number + 1])


def _alike(line: list[Any], wanted: list[Any]) -> bool:
    """Whether two lines agree: names and hashes to the letter, means within the tolerance."""
    return len(line) == len(wanted) and all(
        abs(a - b) <= TOLERANCE if isinstance(a, float) and isinstance(b, float) else a == b
        for a, b in zip(line, wanted, strict=True)
    )


def _refuse(recording: Recording, what: str, found: Any, wanted: Any) -> NoReturn:
    now = {name: version(name) for name in _PACKAGES}
    raise ProtocolError(
        f"protocol {recording.name}: {what} is {found}, expected {wanted or 'none'}. The data, the "
        f"split, pose_synth or a package differ (recorded with {recording.packages}, here {now}): "
        "figures would not compare with the baseline. Restore the data, delete the cache if it is "
        "stale, or record the protocol anew with --record true"
    )


def pairs(folder: Path, count: int) -> Iterator[Pair]:
    """The paired samples of a prepared folder, in order."""
    reader = ShardReader(folder)
    for index in range(min(count, len(reader))):
        path, members = reader.entries[index]
        offset, size = members["json"]
        with path.open("rb") as file:
            file.seek(offset)
            meta = json.loads(file.read(size))
        yield Pair(f"{index:04d}", meta["person"], meta["garment"], reader[index])


def record(found: Recording, folder: Path, out: Path = FOLDER) -> Path:
    """Writes what was drawn as the protocol; `folder` holds the paired samples."""
    full = replace(
        found,
        persons=sorted({p.person for p in pairs(folder, found.samples)}),
        packages={name: version(name) for name in _PACKAGES},
    )
    path = protocol_path(found.name, out)
    write_text(path, _text(asdict(full)))
    return path


def _text(values: dict[str, Any]) -> str:
    """JSON with one line a field, and one a row of a list of lists."""
    fields = []
    for name, value in values.items():
        text = json.dumps(value)
        if value and isinstance(value, list) and isinstance(value[0], list):
            text = "[\n  " + ",\n  ".join(json.dumps(row) for row in value) + "\n ]"
        fields.append(f" {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(fields) + "\n}\n"
