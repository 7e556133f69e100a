"""The packed kernel compiled ahead of time, without a GPU, and what came of it.

Run as ``python -m export.lowbit.aot [--out report.json]``.
"""

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import triton
from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from dmvton.errors import UsageError
from dmvton.files import write_text
from export.lowbit.kernels import Tiles, pointwise_kernel
from export.lowbit.pointwise import constants

CAPABILITIES = (75, 80, 86, 89, 90, 120)
INT8_FROM = 80  # Triton has no product of int8 below
BLACKWELL = 100  # from here on, Triton brings a ptxas of its own
# Below SM80, Triton multiplies without tensor cores, one instruction a product: small tiles.
SCALAR_TILES = Tiles(rows=16, pixels=32)
# Every tensor begins at a multiple of 16 bytes, as torch has it; the number of pixels (argument 9)
# is a multiple of 16, as it is in every layer of the student at 256x192. Triton finds both out by
# itself when it compiles for a call; without the second, each pixel is loaded on its own.
_MULTIPLES_OF_16 = (0, 1, 2, 3, 4, 5, 9)
_MMA = re.compile(r"\b(wgmma\.mma_async|tcgen05\.mma|mma)\.[\w.:]+")
_USED = re.compile(r"Used (\d+) registers")
_SPILLS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")


class Compiled(NamedTuple):
    """One kernel for one architecture."""

    capability: int
    ptx: str
    cubin: bytes
    mma: tuple[str, ...]  # tensor core instructions in the PTX
    registers: int  # a thread
    spilled: int  # bytes a thread stores to or loads from local memory for want of registers
    shared: int  # bytes a program


def compile_pointwise(
    capability: int, bits: int, int8: bool = False, group: int = 32, tiles: Tiles | None = None
) -> Compiled:
    """Compile the kernel for an architecture.

    Args:
        capability: compute capability without the dot, such as 80.
        bits: 1 to 8 a weight.
        int8: int8 activations instead of float16.
        group: columns a scale.
        tiles: None takes the default ones.

    Raises:
        UsageError: an architecture that is not among `CAPABILITIES`, or int8 below SM80.
    """
    if capability not in CAPABILITIES:
        raise UsageError(
            f"compute capability {capability}, expected one of {CAPABILITIES}; choose the nearest "
            "one below your GPU's"
        )
    if int8 and capability < INT8_FROM:
        raise UsageError(
            f"int8 activations on compute capability {capability}, expected {INT8_FROM} or more; "
            "use float16 activations"
        )
    tiles = tiles or (Tiles() if capability >= INT8_FROM else SCALAR_TILES)
    source = ASTSource(
        fn=pointwise_kernel,
        signature=_signature(int8),
        constexprs={"GROUP": group, "BITS": bits, "RELU6": True, "INT8": int8, **constants(tiles)},
        attrs={(place,): [["tt.divisibility", 16]] for place in _MULTIPLES_OF_16},
    )
    options = {"num_warps": tiles.warps, "num_stages": tiles.stages}
    done = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    ptx = done.asm["ptx"]
    mma = tuple(sorted({match[0] for match in _MMA.finditer(ptx)}))
    registers, spilled = _resources(ptx, capability)
    return Compiled(
        capability, ptx, done.asm["cubin"], mma, registers, spilled, done.metadata.shared
    )


def _signature(int8: bool) -> dict[str, str]:
    """Types of the kernel's arguments, in order."""
    pointers = {"x": "*i8" if int8 else "*fp16", "words": "*i32", "scales": "*fp16"}
    pointers |= {"offsets": "*fp16", "bias": "*fp32", "y": "*fp16"}
    sizes = dict.fromkeys(("rows", "columns", "pixels", "stride", "groups"), "i32")
    names = ("GROUP", "BITS", "RELU6", "INT8", "ROWS", "PIXELS", "COLUMNS")
    return {**pointers, "x_scale": "fp32", **sizes, **dict.fromkeys(names, "constexpr")}


def _resources(ptx: str, capability: int) -> tuple[int, int]:
    """Registers and spilled bytes, as the assembler that Triton brings reports them."""
    tool = knobs.nvidia.ptxas_blackwell if capability >= BLACKWELL else knobs.nvidia.ptxas
    target = re.search(r"^\.target (\w+)", ptx, re.MULTILINE)
    assert target is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ptx"
        path.write_text(ptx)
        command = [tool.path, "-v", f"--gpu-name={target[1]}", path, "-o", f"{folder}/kernel.cubin"]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    spills = _SPILLS.search(report)
    assert spills is not None, report
    return int(_USED.search(report)[1]), int(spills[1]) + int(spills[2])


def main(argv: list[str] | None = None) -> None:
    """Print a line for every architecture, width and kind of activation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args(argv)
    rows = []
    for capability in CAPABILITIES:
        for int8 in (False, True) if capability >= INT8_FROM else (False,):
            for bits in range(1, 9):
                found = compile_pointwise(capability, bits, int8)
                row = {
                    "capability": capability,
                    "activations": "int8" if int8 else "fp16",
                    "bits": bits,
                    "mma": list(found.mma),
                    "registers": found.registers,
                    "spilled": found.spilled,
                    "shared": found.shared,
                    "cubin": len(found.cubin),
                }
                rows.append(row)
                print(json.dumps(row))
    if args.out:
        write_text(args.out, json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
