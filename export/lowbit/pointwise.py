"""The packed pointwise convolution on torch tensors: tuned tiles on a GPU, given ones elsewhere."""

import functools
from typing import NamedTuple

import torch
import triton
from torch import Tensor

from dmvton.errors import UsageError
from export.lowbit.kernels import MIN_COLUMNS, Rows, Tiles, pointwise_kernel

# Output channels are few (8 to 672), pixels 192 to 49,152.
CONFIGS = tuple(
    Tiles(rows, pixels, columns, warps, stages)
    for rows, pixels, warps in (
        (16, 64, 4),
        (32, 32, 4),
        (32, 128, 4),
        (64, 32, 4),
        (64, 64, 4),
        (64, 128, 8),
        (128, 64, 8),
    )
    for columns in (32, 64)
    for stages in (2, 4)
)


class PackedWeights(NamedTuple):
    """``Rows`` on a device."""

    words: Tensor  # (rows, stride) int32
    scales: Tensor  # (rows, groups) float16
    offsets: Tensor  # (rows, groups) float16
    bias: Tensor  # (rows,) float32
    bits: int
    columns: int
    group: int


def to_device(rows: Rows, bias: Tensor, device: str) -> PackedWeights:
    """Copy packed rows and their bias to a device, once."""
    tensors = (torch.from_numpy(a).to(device) for a in (rows.words, rows.scales, rows.offsets))
    return PackedWeights(*tensors, bias.float().to(device), rows.bits, rows.columns, rows.group)


def pointwise(
    x: Tensor, weights: PackedWeights, relu6: bool, x_scale: float = 1.0, tiles: Tiles | None = None
) -> Tensor:
    """A 1x1 convolution.

    Args:
        x: (N, columns, H, W) float16, or int8 that stands for ``x_scale * x``.
        weights: on the same device.
        relu6: clip the result to [0, 6].
        x_scale: of int8 activations.
        tiles: None tries `CONFIGS` at the first call for a shape and keeps the fastest.

    Returns:
        (N, rows, H, W) float16.

    Raises:
        UsageError: x has another type or number of channels.
    """
    if x.ndim != 4 or x.shape[1] != weights.columns or x.dtype not in (torch.float16, torch.int8):
        raise UsageError(
            f"activations {tuple(x.shape)} {x.dtype}, expected (N, {weights.columns}, H, W) of "
            "float16 or int8; convert them first"
        )
    count, _, height, width = x.shape
    rows, pixels = len(weights.words), height * width
    y = torch.empty((count, rows, height, width), dtype=torch.float16, device=x.device)
    tensors = (x.contiguous(), *weights[:4], y)
    sizes = (rows, weights.columns, pixels, weights.words.shape[1], weights.scales.shape[1])
    fixed = dict(GROUP=weights.group, BITS=weights.bits, RELU6=relu6, INT8=x.dtype == torch.int8)

    def grid(meta):
        return triton.cdiv(rows, meta["ROWS"]), triton.cdiv(pixels, meta["PIXELS"]), count

    if tiles is None:
        _tuned()[grid](*tensors, x_scale, *sizes, **fixed)
        return y
    if not fits(tiles, weights.group):
        raise UsageError(
            f"steps of {tiles.columns} columns across groups of {weights.group}, expected steps "
            f"that divide the group, at least {MIN_COLUMNS}; choose other tiles"
        )
    pointwise_kernel[grid](
        *tensors, x_scale, *sizes, **fixed, **constants(tiles),
        num_warps=tiles.warps, num_stages=tiles.stages,
    )  # fmt: skip
    return y


def constants(tiles: Tiles) -> dict[str, int]:
    """The kernel's names for tiles."""
    return {"ROWS": tiles.rows, "PIXELS": tiles.pixels, "COLUMNS": tiles.columns}


def fits(tiles: Tiles, group: int) -> bool:
    """Whether each step along k stays within one group."""
    return tiles.columns >= MIN_COLUMNS and group % tiles.columns == 0


@functools.cache
def _tuned():
    """The kernel with its tiles chosen by trial for every shape and width."""
    configs = [triton.Config(constants(t), num_warps=t.warps, num_stages=t.stages) for t in CONFIGS]
    return triton.autotune(
        configs=configs,
        key=["rows", "columns", "pixels", "BITS", "INT8", "GROUP"],
        prune_configs_by={"early_config_prune": prune},
    )(pointwise_kernel)


def prune(configs: list, named: dict, **given) -> list:
    """Leave out tiles whose steps would cross a group."""
    group = {**named, **given}["GROUP"]
    return [c for c in configs if group % c.kwargs["COLUMNS"] == 0]
