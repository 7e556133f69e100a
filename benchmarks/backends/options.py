"""Options of `python -m benchmarks.backends`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NoReturn

from benchmarks.options import option
from dmvton.errors import UsageError
from dmvton.runtime import DEFAULT_WEIGHTS


@dataclass(frozen=True)
class BackendsConfig:
    """What to time, on what, and for how long."""

    what: tuple[str, ...] = option(
        ("models", "layers"), "models, layers or both", nargs="+", choices=("models", "layers")
    )
    backends: tuple[str, ...] = option((), "backends (default: all)", nargs="+", metavar="NAME")
    rivals: tuple[str, ...] = option(
        ("onnxruntime", "openvino"), "backends of the 2023 student", nargs="*", metavar="NAME"
    )
    threads: tuple[int, ...] = option(
        (1, 2), "numbers of threads, each a run of its own", type=int, nargs="+", metavar="N"
    )
    rounds: int = option(15, "timed runs of each contender; they take turns", type=int)
    warmup: int = option(2, "runs of each contender before, not timed", type=int)
    clock: str = option(
        "wall",
        "wall, or cpu: time that the process computes, on one thread, where others use the machine",
        choices=("wall", "cpu"),
    )
    shapes: int = option(2, "layer shapes a category, the costliest first; 0: all", type=int)
    checkpoint: Path = option(DEFAULT_WEIGHTS, "folder of the student's weights", type=Path)
    int8: Path | None = option(
        None, "folder of the student in int8 (`dmvton export int8`), timed beside it", type=Path
    )
    data: Path | None = option(None, "folder of shards (default: drawn pictures)", type=Path)
    cache: Path | None = option(
        None, "folder for converted graphs (default: the user's cache)", type=Path
    )
    out: Path = option(Path("backends.json"), "file for all numbers as JSON", type=Path)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def configuration(argv: Sequence[str]) -> BackendsConfig:
    """Options -> configuration.

    Raises:
        UsageError: an option is unknown or has a value that is not allowed.
    """
    parser = _Parser(
        prog="python -m benchmarks.backends",
        description="Time the student and its layers on every runtime that is installed.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    for f in fields(BackendsConfig):
        parser.add_argument(f"--{f.name}", default=f.default, **f.metadata)
    given = vars(parser.parse_args(argv))
    lists = ("what", "backends", "rivals", "threads")
    config = BackendsConfig(**given | {name: tuple(given[name]) for name in lists})
    if min(config.threads) < 1 or config.rounds < 1 or config.warmup < 0 or config.shapes < 0:
        raise UsageError(
            "--threads and --rounds must be at least 1, --warmup and --shapes at least 0"
        )
    if config.clock == "cpu" and config.threads != (1,):
        raise UsageError("--clock cpu adds the threads' times up: it needs --threads 1")
    return config
