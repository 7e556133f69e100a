"""Core ML, converted by coremltools and checked by `export.mobile.mil`; runs on Apple's alone."""

import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from export.mobile.graphs import Feed, Graph, Signature
from export.mobile.mil import MilProgram
from export.mobile.rewrites import GATHER, Rewritten
from export.mobile.target import ConversionError, Options, Placement, absence


class CoreMLCheck:
    """An .mlpackage, its operations executed by torch (`export.mobile.mil`)."""

    def __init__(self, path: Path, signature: Signature):
        """Loads it."""
        self._program, self._signature = MilProgram(path), signature

    def feed(self, inputs: Feed) -> None:
        """Keeps the inputs."""
        self._inputs = inputs

    def run(self) -> None:
        """One pass; its time says nothing of Core ML."""
        self._outputs = self._program(self._inputs)

    def read(self) -> dict[str, np.ndarray]:
        """The outputs."""
        return {name: self._outputs[name] for name in self._signature.outputs}


class CoreML:
    """iPhone, iPad and Mac."""

    name = "coreml"
    extra = "mobile"
    packages = ("coremltools",)
    precisions = ("fp32", "fp16")
    sampling = "native"
    device = "interpreter"

    def convert(self, graph: Graph, folder: Path, options: Options) -> None:
        """Writes NAME.mlpackage, an ML Program for iOS 16 and macOS 13 on."""
        import coremltools as ct
        import torch

        half = options.precision == "fp16"
        module = Rewritten(graph.module, GATHER if options.sampling == "gather" else {}).eval()
        precision = ct.precision.FLOAT16 if half else ct.precision.FLOAT32
        examples = tuple(graph.inputs.values())
        try:
            # Exported first: it turns sizes into constants, which coremltools cannot do with all.
            constant = torch.export.export(module, examples).module()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the tracer's age
                traced = torch.jit.trace(constant, examples, check_trace=False)
            model = ct.convert(
                traced,
                inputs=[ct.TensorType(n, v.shape, np.float32) for n, v in graph.inputs.items()],
                outputs=[ct.TensorType(name, dtype=np.float32) for name in graph.outputs],
                compute_precision=precision,
                minimum_deployment_target=ct.target.iOS16,
                skip_model_load=True,
            )
            model.save(str(folder / f"{graph.name}.mlpackage"))
        except (RuntimeError, NotImplementedError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ConversionError(f"{graph.name}: coremltools fails ({reason})") from error

    def obstacle(self) -> str | None:
        """None where the package is installed: then files can be checked, though not run."""
        return absence(self)

    def load(self, name: str, signature: Signature, folder: Path, threads: int) -> CoreMLCheck:
        """The file of one graph."""
        return CoreMLCheck(folder / f"{name}.mlpackage", signature)

    def placement(self, name: str, folder: Path) -> Placement:
        """Which processor takes an operator is decided on the device."""
        program = MilProgram(folder / f"{name}.mlpackage")
        kinds = Counter(op.op_type for op in program.operations)
        sampled = " and ".join(kind for kind in ("resample", "gather") if kind in kinds)
        return Placement(kinds.total(), {}, sampled or "none in it")
