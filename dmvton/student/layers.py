"""Building blocks of the student: separable convolutions, junctions, a pyramid, a token block."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmvton.student.trunk import CHANNELS, Features


def separable(cin: int, cout: int, kernel: int = 3) -> nn.Sequential:
    """Depthwise then pointwise convolution, batch norm, ReLU6."""
    return nn.Sequential(
        nn.Conv2d(cin, cin, kernel, 1, kernel // 2, groups=cin, bias=False),
        nn.Conv2d(cin, cout, 1, bias=False),
        nn.BatchNorm2d(cout),
        nn.ReLU6(inplace=True),
    )


def fuse(cin: int, cout: int, kernel: int = 3) -> nn.Sequential:
    """Pointwise, then depthwise convolution, each with batch norm and ReLU6.

    For wide concatenations: the depthwise part runs on `cout` channels, not on `cin`.
    """
    return nn.Sequential(
        nn.Conv2d(cin, cout, 1, bias=False),
        nn.BatchNorm2d(cout),
        nn.ReLU6(inplace=True),
        nn.Conv2d(cout, cout, kernel, 1, kernel // 2, groups=cout, bias=False),
        nn.BatchNorm2d(cout),
        nn.ReLU6(inplace=True),
    )


class Junction(nn.Module):
    """`fuse` of a map of half the size and of maps of this size.

    A pointwise convolution commutes with up-sampling, so that the coarse part runs before it, on a
    quarter of the pixels, and no wide concatenation is written at the fine size.
    """

    def __init__(self, coarse: int, skip: int, cout: int, kernel: int = 3, mode: str = "nearest"):
        super().__init__()
        self.mode = mode
        self.coarse = nn.Sequential(nn.Conv2d(coarse, cout, 1, bias=False), nn.BatchNorm2d(cout))
        self.skip = nn.Sequential(nn.Conv2d(skip, cout, 1, bias=False), nn.BatchNorm2d(cout))
        self.mix = nn.Sequential(
            nn.ReLU6(inplace=True),
            nn.Conv2d(cout, cout, kernel, 1, kernel // 2, groups=cout, bias=False),
            nn.BatchNorm2d(cout),
            nn.ReLU6(inplace=True),
        )

    def forward(self, coarse: Tensor, skip: list[Tensor]) -> Tensor:
        """Map (N, C, h, w) and maps (N, C_i, 2h, 2w) -> map (N, cout, 2h, 2w)."""
        fine = skip[0] if len(skip) == 1 else torch.cat(skip, 1)
        return self.mix(double(self.coarse(coarse), self.mode) + self.skip(fine))


def double(x: Tensor, mode: str = "nearest") -> Tensor:
    """Map (N, C, h, w) -> (N, C, 2h, 2w), `nearest` or `bilinear`."""
    align = None if mode == "nearest" else False
    return F.interpolate(x, scale_factor=2.0, mode=mode, align_corners=align)


class Pyramid(nn.Module):
    """Top-down fusion of trunk features to one width at strides 4, 8, 16."""

    def __init__(self, width: int):
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, 1) for c in CHANNELS[1:])
        self.smooth = nn.ModuleList(separable(width, width) for _ in CHANNELS[1:])

    def forward(self, f: Features) -> tuple[Tensor, Tensor, Tensor]:
        """Features -> maps (N, width, H/s, W/s) for s in 4, 8, 16."""
        p16 = self.lateral[2](f.s16)
        p8 = self.lateral[1](f.s8) + double(p16)
        p4 = self.lateral[0](f.s4) + double(p8)
        return self.smooth[0](p4), self.smooth[1](p8), self.smooth[2](p16)


class TokenBlock(nn.Module):
    """Self-attention over all positions and an MLP, pre-norm (one transformer layer)."""

    def __init__(self, width: int, heads: int = 4):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (N, L, width) -> (N, L, width)."""
        n, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(n, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (N, heads, L, width/heads)
        attention = (q @ k.transpose(2, 3) * q.shape[3] ** -0.5).softmax(3)
        y = (attention @ v).transpose(1, 2).reshape(n, length, width)
        x = x + self.out(y)
        return x + self.mlp(self.norm2(x))
