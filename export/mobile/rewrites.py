"""Operators that a converter lacks or lowers badly, said with others, without touching the network.

Convention:
    Flows as in `dmvton.flow`: backward maps, (x, y) in [-1, 1], `align_corners=False`, clamped.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Replacement = Callable[..., Tensor]


def gathered(source: Tensor, grid: Tensor, *_: object, **__: object) -> Tensor:
    """`grid_sample` of one picture as four gathers of rows.

    A row holds all channels of a pixel, so that each gather copies whole rows: runtimes without a
    GridSample of their own run this several times faster than one gather an element. The map must
    be clamped, as `dmvton.flow.warp` does it: padding beyond the border is not looked at.

    Args:
        source: (1, C, h, w), h and w at least 2.
        grid: (1, H, W, 2).

    Returns:
        (1, C, H, W).
    """
    _, channels, h, w = source.shape
    _, height, width, _ = grid.shape
    x = ((grid[0, ..., 0] + 1) * (w / 2) - 0.5).clamp(0, w - 1)
    y = ((grid[0, ..., 1] + 1) * (h / 2) - 0.5).clamp(0, h - 1)
    # The last pixel is the right neighbour with weight 1, so that no neighbour lies outside.
    left, top = x.floor().clamp(max=w - 2), y.floor().clamp(max=h - 2)
    across, down = (x - left).reshape(-1, 1), (y - top).reshape(-1, 1)
    first = (top * w + left).to(torch.int32).reshape(-1)  # (H*W,)
    rows = source.reshape(channels, h * w).T.contiguous()  # (h*w, C)
    corners = (torch.index_select(rows, 0, first + step) for step in (0, 1, w, w + 1))
    nw, ne, sw, se = corners  # (H*W, C) each
    north, south = nw + (ne - nw) * across, sw + (se - sw) * across
    return (north + (south - north) * down).T.reshape(1, channels, height, width)


GATHER: Mapping[Callable, Replacement] = {F.grid_sample: gathered}


class _Mode(TorchFunctionMode):
    """Calls the replacement wherever the network calls the original."""

    def __init__(self, table: Mapping[Callable, Replacement]):
        super().__init__()
        self.table = table

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Part of the protocol of `TorchFunctionMode`."""
        return self.table.get(func, func)(*args, **(kwargs or {}))


class Rewritten(nn.Module):
    """A module in which some functions are replaced, under its own weights."""

    def __init__(self, module: nn.Module, table: Mapping[Callable, Replacement]):
        super().__init__()
        self.module, self.table = module, table

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """As the module's own."""
        with _Mode(self.table):
            return self.module(*inputs)


class Named(nn.Module):
    """Named inputs to a dict of outputs, for formats that keep the names."""

    def __init__(self, module: nn.Module, inputs: tuple[str, ...], outputs: tuple[str, ...]):
        super().__init__()
        self.module, self.inputs, self.outputs = module, inputs, outputs

    def forward(self, **feed: Tensor) -> dict[str, Tensor]:
        """Tensors by name to tensors by name."""
        found = self.module(*(feed[name] for name in self.inputs))
        return dict(zip(self.outputs, found, strict=True))
