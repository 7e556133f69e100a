"""`dmvton export`: one command a format.

A dict of functions, each imported only when it is called: they need different packages.
"""

import importlib
from typing import NamedTuple

from dmvton.errors import UsageError


class Format(NamedTuple):
    """Where a command lives: a function whose arguments are the command's options."""

    function: str  # module:name
    about: str


FORMATS = {
    "onnx": Format("export.commands:onnx", "the pair that the runtime reads, fp32 or fp16"),
    "int8": Format("export.commands:int8", "quantised within a quality gate, for TensorRT"),
    "fp8": Format("export.commands:fp8", "the same in 8-bit floats, for GPUs from SM89 on"),
    "lowbit": Format("export.lowbit.command:lowbit", "1 to 8 bits a weight, a small download"),
    "tensorrt": Format("export.trt.commands:tensorrt", "TensorRT engines, made without a GPU"),
    "triton": Format("export.triton_repository:triton", "a repository for Triton Inference Server"),
    "ncnn": Format("export.mobile.commands:ncnn", "Android, iOS and small computers"),
    "litert": Format("export.mobile.commands:litert", "Android, formerly TensorFlow Lite"),
    "executorch": Format("export.mobile.commands:executorch", "PyTorch's runtime for phones"),
    "coreml": Format("export.mobile.commands:coreml", "iPhone, iPad and Mac"),
    "web": Format("export.mobile.commands:web", "browsers, ONNX Runtime Web"),
    "openvino": Format("export.mobile.commands:openvino", "desktop computers and servers"),
}


def main(argv: list[str] | None = None) -> None:
    """Runs one export command.

    Raises:
        UsageError: there is no such format.
    """
    words = list(argv or [])
    if not words or words[0] in ("-h", "--help"):
        print("usage: dmvton export FORMAT [options]\n\nformats:")
        print("\n".join(f"  {name:12}{known.about}" for name, known in FORMATS.items()))
        return
    if words[0] not in FORMATS:
        raise UsageError(f"unknown format {words[0]!r}; expected one of {', '.join(FORMATS)}")
    from jsonargparse import CLI

    module, _, name = FORMATS[words[0]].function.partition(":")
    function = getattr(importlib.import_module(module), name)
    CLI({words[0]: function}, args=join_size(spelled(words)), as_positional=False)


def spelled(words: list[str]) -> list[str]:
    """`--max-batch` is `--max_batch` to the parser."""
    return [f"--{w[2:].replace('-', '_')}" if w.startswith("--") and "=" not in w else w
            for w in words]  # fmt: skip


def join_size(words: list[str]) -> list[str]:
    """`--size 256 192` as the parser reads a pair: `--size [256,192]`."""
    if "--size" not in words:
        return words
    at = words.index("--size") + 1
    pair = words[at : at + 2]
    if len(pair) < 2 or not all(word.isdigit() for word in pair):
        return words
    return [*words[:at], f"[{pair[0]},{pair[1]}]", *words[at + 2 :]]
