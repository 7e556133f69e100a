"""Pointwise convolution whose weights stay packed until they are in registers (Triton).

A 1x1 convolution is the matrix product ``y = W x + b`` of (rows, k) weights and (k, pixels)
activations. The kernel reads W as 32-bit words of 1 to 8 bits a weight, shifts the codes out in
registers, scales them, and hands the tile to ``tl.dot``, i.e. to the tensor cores from SM80 on;
bias and ReLU6 are applied before the only store. Two kinds of activations:

- float16: a tile of W becomes ``scale * code + offset`` in float16;
- int8 with one scale: codes, less half their range, are int8 themselves, so that ``dot`` is one of
  integers. Scale and offset are applied to its sums, the offset to the sum of the activations.

Layout: the planes of ``dmvton.lowbit.pack``, row by row, each plane filled up to a whole 32-bit
word. A plane of ``p`` bits holds code ``i`` in word ``i * p // 32`` from bit ``i * p % 32``
upwards, so no code straddles two words, at 3, 5, 6 and 7 bits neither.

There is no such kernel for the depthwise convolutions: they have no product to feed, and their
weights are a small part of what they read and write, see ``export.lowbit.traffic``.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import triton
import triton.language as tl

from dmvton.errors import UsageError
from dmvton.lowbit import pack, pieces

WORD = 32  # bits
MIN_COLUMNS = 32  # of a step along k: the least for which every plane is a whole word
WHOLE = 1 << 20  # a group that no row outgrows; every step divides it


class Rows(NamedTuple):
    """Packed weights as the kernel reads them."""

    words: np.ndarray  # (rows, stride) int32: the row's planes one after the other
    scales: np.ndarray  # (rows, groups) float16
    offsets: np.ndarray  # (rows, groups) float16
    bits: int
    columns: int  # k
    group: int  # columns a scale, a multiple of 32; WHOLE: one scale a row


@dataclass(frozen=True)
class Tiles:
    """How the product is cut up."""

    rows: int = 64
    """Output channels of a program."""
    pixels: int = 64
    """Pixels of a program."""
    columns: int = 32
    """Input channels of a step: 32, or a larger power of 2 that divides the group."""
    warps: int = 4
    """Warps of a program."""
    stages: int = 3
    """Steps in flight."""


def pack_rows(
    codes: np.ndarray, scales: np.ndarray, offsets: np.ndarray | None, bits: int, group: int
) -> Rows:
    """Lay out codes for the kernel; arguments as those of ``dmvton.lowbit.dequantise``.

    Raises:
        UsageError: another width than 1 to 8, or groups that are no multiple of 32.
    """
    rows, columns = codes.shape
    pieces(bits)
    if 0 < group < columns and group % MIN_COLUMNS:
        raise UsageError(
            f"groups of {group} weights, expected a multiple of {MIN_COLUMNS} or 0 for whole rows; "
            "quantise with such a group to use the kernel"
        )
    full = -(-columns // WORD) * WORD  # every plane of so many codes is whole words
    padded = np.pad(codes, ((0, 0), (0, full - columns)))
    words = np.ascontiguousarray(pack(padded, bits)).view("<i4")
    scales = scales.astype(np.float16)
    if offsets is None:
        offsets = scales.astype(np.float32) * np.float32(-((1 << bits) - 1) / 2)
    offsets = offsets.astype(np.float16)
    return Rows(words, scales, offsets, bits, columns, group if 0 < group < columns else WHOLE)


@triton.jit
def _plane(
    words, row_start, step, chunks, mask,
    SIZE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The codes of one plane: (ROWS, COLUMNS) int32 below 2**SIZE, 0 beyond the row's end.

    ``row_start`` (ROWS,) is the plane's first word in each row; it has ``SIZE * chunks`` words.
    """
    WORDS: tl.constexpr = COLUMNS * SIZE // 32
    at = step * WORDS + tl.arange(0, WORDS)
    inside = mask[:, None] & (at[None, :] < SIZE * chunks)
    word = tl.load(words + row_start[:, None] + at[None, :], mask=inside, other=0)  # (ROWS, WORDS)
    shifts = tl.arange(0, 32 // SIZE) * SIZE
    codes = (word[:, :, None] >> shifts[None, None, :]) & ((1 << SIZE) - 1)
    return tl.reshape(codes, (ROWS, COLUMNS))


@triton.jit
def _codes(
    words, row_start, step, chunks, mask,
    BITS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The codes of one step along k: (ROWS, COLUMNS) int32 below 2**BITS.

    The planes of a row follow one another, the largest first; it is that with the lowest bits.
    """
    codes = tl.zeros((ROWS, COLUMNS), tl.int32)
    if BITS == 8:
        codes = _plane(words, row_start, step, chunks, mask, 8, ROWS, COLUMNS)
    if BITS & 4:
        codes = _plane(words, row_start, step, chunks, mask, 4, ROWS, COLUMNS)
    if BITS & 2:
        start = row_start + chunks * (BITS & 4)
        part = _plane(words, start, step, chunks, mask, 2, ROWS, COLUMNS)
        codes |= part << (BITS & 4)
    if BITS & 1:
        start = row_start + chunks * (BITS & 6)
        part = _plane(words, start, step, chunks, mask, 1, ROWS, COLUMNS)
        codes |= part << (BITS & 6)
    return codes


@triton.jit
def pointwise_kernel(
    x, words, scales, offsets, bias, y, x_scale, rows, columns, pixels, stride, groups,
    GROUP: tl.constexpr, BITS: tl.constexpr, RELU6: tl.constexpr, INT8: tl.constexpr,
    ROWS: tl.constexpr, PIXELS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """One tile of relu6(W x + b) of one picture: x (columns, pixels), y (rows, pixels)."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    pixel = tl.program_id(1) * PIXELS + tl.arange(0, PIXELS)
    picture = tl.program_id(2).to(tl.int64)
    x += picture * columns * pixels
    y += picture * rows * pixels
    row_mask, pixel_mask = row < rows, pixel < pixels
    row_start = row * stride
    chunks = stride // BITS  # of 32 columns
    total = tl.zeros((ROWS, PIXELS), tl.float32)
    for step in range(0, tl.cdiv(columns, COLUMNS)):
        column = step * COLUMNS + tl.arange(0, COLUMNS)
        inside = (column[:, None] < columns) & pixel_mask[None, :]
        tile = tl.load(x + column[:, None] * pixels + pixel[None, :], mask=inside, other=0)
        code = _codes(words, row_start, step, chunks, row_mask, BITS, ROWS, COLUMNS)
        at = row * groups + step * COLUMNS // GROUP
        scale = tl.load(scales + at, mask=row_mask, other=0)
        offset = tl.load(offsets + at, mask=row_mask, other=0)
        if INT8:
            HALF: tl.constexpr = 1 << (BITS - 1)
            product = tl.dot((code - HALF).to(tl.int8), tile, out_dtype=tl.int32)
            scale = scale.to(tl.float32)
            shift = offset.to(tl.float32) + scale * HALF
            count = tl.sum(tile.to(tl.int32), 0).to(tl.float32)
            total += scale[:, None] * product.to(tl.float32) + shift[:, None] * count[None, :]
        else:
            weight = code.to(tl.float16) * scale[:, None] + offset[:, None]
            total = tl.dot(weight, tile, total)
    if INT8:
        total *= x_scale
    total += tl.load(bias + row, mask=row_mask, other=0)[:, None]
    if RELU6:
        total = tl.minimum(tl.maximum(total, 0.0), 6.0)
    out = row[:, None] * pixels + pixel[None, :]
    tl.store(y + out, total.to(tl.float16), mask=row_mask[:, None] & pixel_mask[None, :])
