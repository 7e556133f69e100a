"""All formats by name."""

from dmvton.errors import UsageError
from export.mobile.coreml_target import CoreML
from export.mobile.executorch_target import ExecuTorch
from export.mobile.litert_target import LiteRT
from export.mobile.ncnn_target import Ncnn
from export.mobile.openvino_target import OpenVino
from export.mobile.target import Target
from export.mobile.web_target import Web

TARGETS: dict[str, Target] = {
    target.name: target for target in (Ncnn(), LiteRT(), ExecuTorch(), CoreML(), Web(), OpenVino())
}


def target_of(name: str) -> Target:
    """The format of this name.

    Raises:
        UsageError: there is none.
    """
    if name not in TARGETS:
        raise UsageError(f"got target {name!r}, expected one of {', '.join(TARGETS)}")
    return TARGETS[name]
