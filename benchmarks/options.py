"""Options of `dmvton bench`.

Parsed with `argparse` from the configuration's fields: the base install has no package that reads
their descriptions out of a class.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.process import ROOT
from dmvton.errors import UsageError
from dmvton.runtime import DEFAULT_WEIGHTS


def option(default: Any, about: str, **argument: Any) -> Any:
    """A field with what `add_argument` needs to know about it."""
    return field(default=default, metadata={"help": about, **argument})


@dataclass(frozen=True)
class BenchConfig:
    """What to time, against what, and for how long."""

    threads: tuple[int, ...] = option(
        (1, 2), "numbers of threads, each a run of its own", type=int, nargs="+", metavar="N"
    )
    rounds: int = option(30, "timed frames of each contender; they take turns", type=int)
    warmup: int = option(3, "frames of each contender before, not timed", type=int)
    processes: int = option(
        3, "new processes of each contender for cold start and peak memory; 0: none", type=int
    )
    quick: bool = option(
        False,
        "one thread, 5 rounds, one process: a first look in about a minute",
        action="store_true",
    )
    only: tuple[str, ...] = option(
        (), "contenders to time (default: all)", nargs="+", metavar="NAME"
    )
    baseline: str = option("dmvton2023-plain", "contender that the others are compared with")
    person: Path | None = option(
        None, "photo of a person, for the whole call (default: of examples/)", type=Path
    )
    garment: Path | None = option(
        None, "photo of a garment, for the whole call (default: of examples/)", type=Path
    )
    weights: Path = option(DEFAULT_WEIGHTS, "folder of the student's graphs", type=Path)
    cache: Path | None = option(
        None, "folder for the 2023 student's graphs (default: the user's cache)", type=Path
    )
    out: Path = option(Path("bench.json"), "file for all numbers as JSON", type=Path)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def configuration(argv: Sequence[str]) -> BenchConfig:
    """Options -> configuration, with the defaults of `--quick` and the example pictures.

    Raises:
        UsageError: An option is unknown or has a value that is not allowed.
    """
    parser = _Parser(
        prog="dmvton bench",
        description="Time the student, the rebuilt 2023 student and the whole call side by side.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    for f in fields(BenchConfig):
        parser.add_argument(f"--{f.name}", default=f.default, **f.metadata)
    if "--quick" in argv:
        parser.set_defaults(threads=(1,), rounds=5, warmup=1, processes=1)
    given = vars(parser.parse_args(argv))
    config = BenchConfig(**given | {name: tuple(given[name]) for name in ("threads", "only")})
    if min(config.threads) < 1:
        raise UsageError(f"got --threads {min(config.threads)}, expected 1 or more")
    if config.rounds < 1 or config.warmup < 0 or config.processes < 0:
        raise UsageError("--rounds must be at least 1, --warmup and --processes at least 0")
    person, garment = config.person or example("person"), config.garment or example("garment")
    return replace(config, person=person, garment=garment)


def example(what: str) -> Path | None:
    """The repository's first example picture whose name begins with `what`, if any."""
    found = (ROOT / "examples").glob(f"{what}*")
    return min((file for file in found if file.suffix in (".jpg", ".png")), default=None)
