"""All backends by name: those that are also export targets, and those that are not."""

from benchmarks.backends.ort_backend import Ort
from benchmarks.backends.tensorrt_backend import TensorRt
from benchmarks.backends.torch_backend import Torch
from dmvton.errors import UsageError
from export.mobile.target import Target
from export.mobile.targets import TARGETS

BACKENDS: dict[str, Target] = {
    backend.name: backend
    for backend in (
        Ort(),
        Torch(),
        TensorRt(),
        *(
            target for name, target in TARGETS.items() if name != "coreml"
        ),  # which nothing runs here
    )
}


def chosen(names: tuple[str, ...], devices: tuple[str, ...] = ()) -> list[Target]:
    """The backends of these names, all for none; with `devices`, those that run on one of them.

    Raises:
        UsageError: one does not exist.
    """
    if unknown := [name for name in names if name not in BACKENDS]:
        raise UsageError(f"got backend {', '.join(unknown)}, expected of {', '.join(BACKENDS)}")
    found = [BACKENDS[name] for name in names or BACKENDS]
    return [backend for backend in found if not devices or backend.device in devices]
