"""The two TensorRTs behind one name: TensorRT-RTX, which needs no GPU to build, and the classic."""

import importlib
from types import ModuleType
from typing import Any, Literal, NamedTuple

from dmvton.errors import MissingExtraError, UsageError

Kind = Literal["rtx", "classic"]
_MODULES = {"rtx": "tensorrt_rtx", "classic": "tensorrt"}
_REMEDY = {
    "rtx": 'run: pip install "dmvton[tensorrt]"',
    "classic": "install TensorRT 10 or newer from NVIDIA, or take --builder rtx",
}
FP8_FROM = 89  # the first compute capability with 8-bit floats


class Backend(NamedTuple):
    """An installed TensorRT."""

    kind: Kind
    trt: Any  # its module

    @property
    def ahead_of_time(self) -> bool:
        """Whether it builds for GPUs other than the one of this machine."""
        return hasattr(self.trt, "ComputeCapability")

    @property
    def version(self) -> str:
        """As in `engines.json`: an engine is read by the version that built it."""
        return f"{_MODULES[self.kind]} {self.trt.__version__}"

    def targets(self) -> dict[int, Any]:
        """Compute capabilities that engines can be built for: 80 -> ComputeCapability.SM80."""
        if not self.ahead_of_time:
            return {}
        known = vars(self.trt.ComputeCapability)
        return {int(n[2:]): known[n] for n in sorted(known) if n.startswith("SM")}


def load_backend(kind: Kind) -> Backend:
    """Imports one TensorRT.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        module: ModuleType = importlib.import_module(_MODULES[kind])
    except ModuleNotFoundError as error:
        if error.name != _MODULES[kind]:
            raise
        raise MissingExtraError(
            f"TensorRT engines need the package {error.name}, which is not installed; "
            f"{_REMEDY[kind]}"
        ) from error
    return Backend(kind, module)


def parse_targets(text: str, backend: Backend, precision: str) -> tuple[int, ...]:
    """`80,86,89` to compute capabilities that this TensorRT and this precision can be built for.

    An empty text means the GPU of this machine, which is all that the classic TensorRT can do.

    Raises:
        UsageError: not a number, unknown, or too old for 8-bit floats.
    """
    known = sorted(backend.targets())
    if not known:
        if text:
            raise UsageError(
                f"got --sm {text}, but the classic TensorRT builds for the GPU of this machine "
                "only; leave --sm empty, or take --builder rtx"
            )
        return ()
    words = [word.strip().lower().removeprefix("sm") for word in text.split(",") if word.strip()]
    unknown = [word for word in words if not word.isdecimal() or int(word) not in known]
    if unknown or not words:
        raise UsageError(
            f"unknown target {', '.join(unknown) or 'list (empty)'}; expected compute capabilities "
            f"among {', '.join(map(str, known))}, for example --sm 80,89"
        )
    found = tuple(sorted({int(word) for word in words}))
    old = [f"SM{sm}" for sm in found if sm < FP8_FROM]
    if precision == "fp8" and old:
        raise UsageError(
            f"{', '.join(old)} cannot compute in fp8, which GPUs have from SM{FP8_FROM} on; "
            "take --precision int8 or fp16 there, and build fp8 with --sm 89,120"
        )
    return found
