"""How long a frame takes in each precision and runtime, and where the time goes."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime as ort
from onnx import ModelProto

from benchmarks.harness import CheckFailed, Unavailable
from dmvton.errors import MissingExtraError
from export.mobile.graphs import Graph, Signature
from export.mobile.target import ConversionError, Options, Target

# Mean difference of an output from the same graph with every rounding as it is written down;
# integer kernels round otherwise, and garbage is well above.
TOLERANCE = 0.05


class FrameGraph:
    """A frame graph in a runtime that reads ONNX, as the harness times it."""

    batch = 1

    def __init__(
        self,
        name: str,
        model: ModelProto,
        target: Target,
        feed: Mapping[str, np.ndarray],
        answers: Mapping[str, np.ndarray],
        scratch: Path,
    ):
        """Nothing is converted before `prepare`.

        Args:
            name: for the report.
            model: the graph.
            target: where it runs.
            feed: inputs.
            answers: what ONNX Runtime makes of them without integer kernels.
            scratch: folder for the conversion.
        """
        self.name, self.device = name, target.device
        self._model, self._target = model, target
        self._feed, self._answers = dict(feed), dict(answers)
        self._folder = scratch / re.sub(r"[^\w-]+", "-", name)
        self.resolution = "x".join(map(str, feed["person"].shape[2:]))

    def prepare(self, threads: int) -> None:
        """Converts once, and loads.

        Raises:
            Unavailable: the runtime is not installed, or does not take the graph.
        """
        if obstacle := self._target.obstacle():
            raise Unavailable(obstacle)
        signature = Signature(
            {name: value.shape for name, value in self._feed.items()},
            {name: value.shape for name, value in self._answers.items()},
        )
        try:
            self._convert()
            self._runner = self._target.load("frame", signature, self._folder, threads)
        except (ConversionError, MissingExtraError) as error:
            raise Unavailable(str(error)) from error
        self._runner.feed(self._feed)

    def _convert(self) -> None:
        if self._folder.is_dir():
            return
        self._folder.mkdir(parents=True)
        path = self._folder / "source.onnx"
        onnx.save(self._model, path)
        # Targets that read ONNX look at nothing but the file.
        graph = Graph("frame", None, {}, tuple(self._answers), path)
        self._target.convert(graph, self._folder, Options())

    def run(self) -> None:
        """One frame."""
        self._runner.run()

    def check(self) -> None:
        """Compares with the answers.

        Raises:
            CheckFailed: an output is further off on average than rounding explains.
        """
        self.run()
        gaps = {
            n: float(np.abs(v - self._answers[n]).mean()) for n, v in self._runner.read().items()
        }
        if wrong := {name: f"{gap:.1e}" for name, gap in gaps.items() if not gap <= TOLERANCE}:
            raise CheckFailed(f"differs from the graph as it is written by {wrong} on average")


def operator_times(
    model: ModelProto, feed: Mapping[str, np.ndarray], runs: int = 20
) -> dict[str, float]:
    """Milliseconds a run by kind of operator in ONNX Runtime on one thread, the largest first."""
    spent: dict[str, float] = defaultdict(float)
    with TemporaryDirectory() as scratch:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(scratch) / "profile")
        session = ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        for _ in range(runs):
            session.run(None, dict(feed))
        events = json.loads(Path(session.end_profiling()).read_text())
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            spent[event["args"]["op_name"]] += event["dur"] / 1e3 / runs
    return dict(sorted(spent.items(), key=lambda item: -item[1]))
