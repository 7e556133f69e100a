"""A graph on a backend, as the harness times it: converted once, kept in a cache."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import CheckFailed, Unavailable
from dmvton.errors import CheckpointError, MissingExtraError
from export.mobile.graphs import Graph
from export.mobile.package import Package, Reference, convert, differences, opened, too_far
from export.mobile.target import ConversionError, Options, Target, versions
from export.pair import TOLERANCE


class BackendContender:
    """One graph on one backend; the graph is built only where the cache lacks its conversion."""

    batch = 1

    def __init__(
        self, name: str, backend: Target, graph: Graph, known: Sequence[Reference], cache: Path
    ) -> None:
        """Nothing is converted before `prepare`.

        Args:
            name: for the report.
            backend: where it runs.
            graph: what is run.
            known: inputs and right answers; the first inputs are those that are timed.
            cache: folder for conversions.
        """
        self.name, self.backend, self.graph, self.device = name, backend, graph, backend.device
        self._known, self._cache = known, cache
        shape = next(iter(graph.inputs.values())).shape
        self.resolution = "x".join(map(str, shape[2:])) or "x".join(map(str, shape))

    def prepare(self, threads: int) -> None:
        """Converts where needed, loads, and hands over the inputs.

        Raises:
            Unavailable: the backend cannot run here, or cannot convert the graph.
            CheckFailed: its answers are wrong.
        """
        if obstacle := self.backend.obstacle():
            raise Unavailable(obstacle)
        try:
            package = self.package()
            name = self.graph.name
            self._runner = self.backend.load(
                name, package.signatures[name], package.folder, threads
            )
        except (ConversionError, MissingExtraError) as error:
            raise Unavailable(str(error)) from error
        self._runner.feed(self._known[0].feed)

    def package(self) -> Package:
        """The conversion, made now where the cache lacks it or holds a damaged one.

        Raises:
            CheckFailed: the converted graph gives wrong answers.
        """
        options = Options(sampling=self.backend.sampling)
        folder = self._cache / self.backend.name / self._key(options)
        if folder.is_dir():
            try:
                return opened(folder, self.backend)
            except CheckpointError:
                shutil.rmtree(folder)
        try:
            convert(self.backend, [self.graph], options, {self.graph.name: self._known}, folder)
        except CheckpointError as error:
            raise CheckFailed(str(error)) from error
        return opened(folder, self.backend)

    def run(self) -> None:
        """One pass."""
        self._runner.run()

    def check(self) -> None:
        """Compares with the right answers again: the number of threads may matter.

        Raises:
            CheckFailed: an output differs by more than `TOLERANCE`.
        """
        if wrong := too_far(differences(self._runner, self._known), TOLERANCE["fp32"]):
            raise CheckFailed(f"differs from the reference by {wrong}")
        self._runner.feed(self._known[0].feed)

    def _key(self, options: Options) -> str:
        facts = (self.graph.digest, options, sorted(versions(self.backend).items()))
        return f"{self.graph.name}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:12]}"
