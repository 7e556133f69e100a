"""Local cost volume in two forms that give the same numbers.

Convention:
    Channels run row by row: channel (dy + r) * (2r + 1) + (dx + r) compares the pixel (y, x) of the
    first map with the pixel (y + dy, x + dx) of the second, for dy and dx in -r..r. Outside the
    second map its features are zero.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Form = Literal["plain", "matmul"]


def plain(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """Mean over channels of `first` times each shift of `second`, one multiply-sum a shift.

    Args:
        first: (N, C, H, W).
        second: (N, C, H, W).
        radius: Largest shift in pixels.

    Returns:
        (N, (2 * radius + 1) ** 2, H, W).
    """
    height, width = first.shape[-2:]
    padded = F.pad(second, [radius] * 4)
    side = range(2 * radius + 1)
    shifts = [
        (first * padded[:, :, y : y + height, x : x + width]).mean(1) for y in side for x in side
    ]
    return torch.stack(shifts, 1)


def matmul(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """The same numbers as `plain` from one matrix product for each row and vertical shift.

    A row of W pixels times a row of W + 2r pixels gives all pairs (W, W + 2r), of which the 2r + 1
    diagonals from the main one on are wanted. They are cut out by reshapes alone: with one more
    column for each row, the element (x, x + dx) of the flattened product lies at x * (W + 2r + 1) +
    dx. The products that are thrown away cost less than the 49 passes over memory that they save.

    Args:
        first: (N, C, H, W).
        second: (N, C, H, W).
        radius: Largest shift in pixels.

    Returns:
        (N, (2 * radius + 1) ** 2, H, W).
    """
    batch, channels, height, width = first.shape
    side = 2 * radius + 1
    rows = first.permute(0, 2, 3, 1) / channels  # (N, H, W, C)
    columns = F.pad(second, [radius] * 4).permute(0, 2, 1, 3)  # (N, H + 2r, C, W + 2r)
    shifts = []
    for y in range(side):
        pairs = rows @ columns[:, y : y + height]  # (N, H, W, W + 2r)
        line = F.pad(pairs.flatten(2), [0, width])  # (N, H, W * (W + 2r + 1))
        shifts.append(line.reshape(batch, height, width, -1)[..., :side])  # (N, H, W, side)
    return torch.cat(shifts, -1).permute(0, 3, 1, 2)


FORMS = {"plain": plain, "matmul": matmul}


class CostVolume(nn.Module):
    """Cost volume as a module, so that counters and profilers see it as a part."""

    def __init__(self, radius: int = 3, form: Form = "plain") -> None:
        """Chooses the form; both have no parameters, so that weights fit either."""
        super().__init__()
        self.radius = radius
        self.form = form

    @property
    def channels(self) -> int:
        """Number of shifts compared."""
        return (2 * self.radius + 1) ** 2

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """(N, C, H, W) twice -> (N, channels, H, W)."""
        return FORMS[self.form](first, second, self.radius)
