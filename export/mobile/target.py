"""What a format must offer: a new one is one file that keeps this interface."""

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np

from dmvton.errors import DmvtonError, MissingExtraError, UsageError
from export.mobile.graphs import Feed, Graph, Signature

Precision = Literal["fp32", "fp16"]
Sampling = Literal["native", "gather"]


class ConversionError(DmvtonError):
    """A converter fails, or gives a file that its runtime does not understand."""


@dataclass(frozen=True)
class Options:
    """How to convert."""

    precision: Precision = "fp32"
    """Type of the stored weights."""
    sampling: Sampling = "native"
    """GridSample of the format, or four gathers of rows instead."""


class Placement(NamedTuple):
    """Where the operators of a converted graph run."""

    operators: int  # in the converted graph
    fallback: dict[str, int]  # operators beside the format's fast kernels, and how many of each
    grid_sample: str  # what became of GridSample


class Runner(Protocol):
    """A converted graph, loaded."""

    def feed(self, inputs: Feed) -> None:
        """Hands over the inputs by name; they stay until the next call."""

    def run(self) -> None:
        """One pass: what is timed."""

    def read(self) -> dict[str, np.ndarray]:
        """The outputs of the last pass, by name, in the shapes of the signature."""


class Target(Protocol):
    """A format and its runtime."""

    name: str
    extra: str
    """The optional dependencies of this project that bring the packages."""
    packages: tuple[str, ...]
    """Import names of what converts and, where it is one, runs."""
    precisions: tuple[Precision, ...]
    sampling: Sampling
    """What is faster here; see docs/DEVICES.md."""
    device: str
    """What `load` runs it on: cpu, gpu, wasm in a process of its own, or the interpreter of
    `export.mobile.mil`, which is no runtime."""

    def convert(self, graph: Graph, folder: Path, options: Options) -> None:
        """Writes the files of one graph into `folder`.

        Raises:
            ConversionError: the converter fails.
        """

    def obstacle(self) -> str | None:
        """Why nothing of this format can run here; None where it can."""

    def load(self, name: str, signature: Signature, folder: Path, threads: int) -> Runner:
        """Loads the files of one graph; only where there is no obstacle.

        Raises:
            ConversionError: the runtime does not take them.
        """

    def placement(self, name: str, folder: Path) -> Placement:
        """Where its operators run."""


def absence(target: Target) -> str | None:
    """What is not installed, and how to install it; None where all is there."""
    lacking = [name for name in target.packages if importlib.util.find_spec(name) is None]
    if not lacking:
        return None
    return (
        f"{target.name} needs {' and '.join(lacking)}, not installed here; "
        f'run: pip install "dmvton[{target.extra}]"'
    )


def require(target: Target) -> None:
    """Refuses to go on without the packages of a target.

    Raises:
        MissingExtraError: some cannot be imported.
    """
    if said := absence(target):
        raise MissingExtraError(said)


def check(target: Target, options: Options) -> None:
    """Refuses options that the format does not have.

    Raises:
        UsageError: it cannot store weights of this type.
    """
    if options.precision not in target.precisions:
        raise UsageError(
            f"got precision {options.precision} for {target.name}, expected "
            f"{' or '.join(target.precisions)}"
        )


def versions(target: Target) -> dict[str, str]:
    """Installed versions of its packages, by import name."""
    return {name: importlib.metadata.version(name.replace("_", "-")) for name in target.packages}
