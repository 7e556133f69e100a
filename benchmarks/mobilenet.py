"""MobileNetV2 parts of the 2023 student: inverted residuals, trunk, pyramid, U-Net.

Written from "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (Sandler et al., 2018, table
2) and "Feature Pyramid Networks for Object Detection" (Lin et al., 2017).
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Stage(NamedTuple):
    """One row of MobileNetV2's table 2: blocks of `channels`, the first one with `stride`."""

    expansion: int
    channels: int
    repeats: int
    stride: int


# Table 2 of the paper, grouped by the scale at which each row ends (1/2, 1/4, 1/8, 1/16, 1/32). The
# last row of blocks (320 channels) is left out: with it the generator would have no parameters left
# to come to the published total.
STEM_CHANNELS = 32
SCALES: tuple[tuple[Stage, ...], ...] = (
    (Stage(1, 16, 1, 1),),
    (Stage(6, 24, 2, 2),),
    (Stage(6, 32, 3, 2),),
    (Stage(6, 64, 4, 2), Stage(6, 96, 3, 1)),
    (Stage(6, 160, 3, 2),),
)


def conv_norm(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Convolution without bias and its batch norm, padded to keep the size at stride 1."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


class InvertedResidual(nn.Module):
    """Expand (1x1), filter (depthwise 3x3), project (1x1); a shortcut where shape is kept."""

    def __init__(self, inputs: int, outputs: int, *, expansion: int = 6, stride: int = 1) -> None:
        """Builds the block; an `expansion` of 1 leaves the first convolution out."""
        super().__init__()
        hidden = inputs * expansion
        expand = [] if expansion == 1 else [*conv_norm(inputs, hidden, 1), nn.ReLU6()]
        self.layers = nn.Sequential(
            *expand,
            *conv_norm(hidden, hidden, 3, stride=stride, groups=hidden),
            nn.ReLU6(),
            *conv_norm(hidden, outputs, 1),
        )
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        return x + self.layers(x) if self.shortcut else self.layers(x)


class Trunk(nn.Module):
    """MobileNetV2 without its classifier, giving the last map of each of five scales."""

    def __init__(self, scales: tuple[tuple[Stage, ...], ...] = SCALES, inputs: int = 3) -> None:
        """Builds the trunk from rows of table 2; `inputs` is the number of picture channels."""
        super().__init__()
        self.stem = nn.Sequential(*conv_norm(inputs, STEM_CHANNELS, 3, stride=2), nn.ReLU6())
        self.scales = nn.ModuleList()
        self.channels = tuple(rows[-1].channels for rows in scales)
        last = STEM_CHANNELS
        for rows in scales:
            blocks = []
            for row in rows:
                for repeat in range(row.repeats):
                    stride = row.stride if repeat == 0 else 1
                    blocks.append(
                        InvertedResidual(last, row.channels, expansion=row.expansion, stride=stride)
                    )
                    last = row.channels
            self.scales.append(nn.Sequential(*blocks))

    def forward(self, picture: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [-1, 1] -> five maps, 1/2 first: (N, channels[i], H / 2^(i+1), ...)."""
        x = self.stem(picture)
        maps = []
        for scale in self.scales:
            x = scale(x)
            maps.append(x)
        return maps


class Pyramid(nn.Module):
    """Feature pyramid: lateral 1x1, top-down sum, one 3x3 convolution on every scale.

    The 3x3 convolution is shared between the scales. With one for each scale, the two
    extractors would have 4.7 M parameters more, and the 9.35 M of the published student could not
    be reached at its 34.5 GMACs.
    """

    def __init__(self, width: int = 256, scales: tuple[tuple[Stage, ...], ...] = SCALES) -> None:
        """Builds the trunk and a pyramid of `width` channels on each of its scales."""
        super().__init__()
        self.trunk = Trunk(scales)
        self.lateral = nn.ModuleList(
            nn.Conv2d(channels, width, 1) for channels in self.trunk.channels
        )
        self.smooth = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, picture: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [-1, 1] -> five maps of `width` channels, finest (1/2) first."""
        maps = [lateral(x) for lateral, x in zip(self.lateral, self.trunk(picture), strict=True)]
        for fine in range(len(maps) - 2, -1, -1):
            maps[fine] = maps[fine] + F.interpolate(
                maps[fine + 1], scale_factor=2.0, mode="nearest"
            )
        return [self.smooth(x) for x in maps]


class MobileUNet(nn.Module):
    """U-Net of inverted residuals: `repeats` blocks a scale on the way down and on the way up."""

    def __init__(
        self, inputs: int, outputs: int, channels: tuple[int, ...], *, repeats: int = 1
    ) -> None:
        """Builds the network; `channels` are those at 1/2, 1/4, ... of the picture's size."""
        super().__init__()
        self.stem = nn.Sequential(*conv_norm(inputs, channels[0], 3, stride=2), nn.ReLU6())
        self.down = nn.ModuleList(
            self._blocks(fine, coarse, repeats, stride=2)
            for fine, coarse in zip(channels, channels[1:], strict=False)
        )
        # Going up, each step takes the coarser map upsampled, beside the map of the way down.
        self.up = nn.ModuleList(
            self._blocks(fine + coarse, fine, repeats)
            for fine, coarse in zip(channels, channels[1:], strict=False)
        )
        self.head = nn.Conv2d(channels[0], outputs, 3, padding=1)

    @staticmethod
    def _blocks(inputs: int, outputs: int, repeats: int, *, stride: int = 1) -> nn.Sequential:
        first = InvertedResidual(inputs, outputs, expansion=6 if stride == 2 else 2, stride=stride)
        return nn.Sequential(
            first, *(InvertedResidual(outputs, outputs) for _ in range(repeats - 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H, W), unbounded."""
        maps = [self.stem(x)]
        for down in self.down:
            maps.append(down(maps[-1]))
        y = maps.pop()
        for up, skip in zip(reversed(self.up), reversed(maps), strict=True):
            y = up(torch.cat([skip, F.interpolate(y, scale_factor=2.0, mode="nearest")], 1))
        return self.head(F.interpolate(y, scale_factor=2.0, mode="bilinear", align_corners=False))
