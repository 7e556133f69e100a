"""The two encoders: one for a garment photo, whose code is cached, and one for the person."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmvton.flow import identity, upsample
from dmvton.keypoints import Keypoint
from dmvton.student.config import StudentConfig
from dmvton.student.layers import Junction, Pyramid, TokenBlock, separable
from dmvton.student.trunk import CHANNELS, Trunk

TOKENS = (16, 12)  # rows and columns of the stride-16 maps at 256x192
PLACES = (2, 3)  # rows and columns of a garment picture that tell a top from trousers


class GarmentCode(NamedTuple):
    """What is cached of a garment picture (N, 3, H, W)."""

    mask: Tensor  # (N, 1, H, W) chance of "garment", in [0, 1]
    feat4: Tensor  # (N, thin, H/4, W/4)
    feat8: Tensor  # (N, width, H/8, W/8)
    feat16: Tensor  # (N, width, H/16, W/16)
    key: Tensor  # (N, width, H/16 * W/16) unit keys for matching


class Pose(NamedTuple):
    """Keypoints of the person in the crop."""

    xy: Tensor  # (N, 13, 2) in [-1, 1] of the crop
    visibility: Tensor  # (N, 13) logits
    presence: Tensor  # (N, 1) logit of "a person's torso is in the crop"


class PersonMaps(NamedTuple):
    """Features of the person crop."""

    p2: Tensor  # (N, CHANNELS[0], H/2, W/2)
    p4: Tensor  # (N, width, H/4, W/4)
    p8: Tensor  # (N, width, H/8, W/8)
    p16: Tensor  # (N, width, H/16, W/16)


class MaskHead(nn.Module):
    """Where a garment photo shows the garment. It runs once a garment, so that it may be deep."""

    def __init__(self, width: int):
        super().__init__()
        self.d8, self.s8 = Junction(width, width, 64, 5, "bilinear"), separable(64, 64, 5)
        self.d4, self.s4 = Junction(64, width, 48, 5, "bilinear"), separable(48, 48)
        self.d2, self.s2 = Junction(48, CHANNELS[0], 32, 3, "bilinear"), separable(32, 32)
        self.out = nn.Conv2d(32, 1, 1)

    def forward(self, p16: Tensor, p8: Tensor, p4: Tensor, s2: Tensor) -> Tensor:
        """Maps of the picture -> logits (N, 1, H, W)."""
        x = self.s8(self.d8(p16, [p8]))
        x = self.s4(self.d4(x, [p4]))
        return upsample(self.out(self.s2(self.d2(x, [s2]))), 2)


class GarmentEncoder(nn.Module):
    """Features and mask of a garment photo with any background."""

    def __init__(self, cfg: StudentConfig):
        super().__init__()
        self.trunk = Trunk(cfg.pretrained, cfg.frozen_stages)
        self.pyramid = Pyramid(cfg.width)
        self.position = nn.Parameter(torch.zeros(1, cfg.width, *TOKENS))
        self.thin = nn.Conv2d(cfg.width, cfg.thin, 1)
        self.key = nn.Conv2d(cfg.width, cfg.width, 1)
        self.mask = MaskHead(cfg.width)
        # Not trained with the rest, but fitted to it when it is done (`dmvton synth heads`). Until
        # then it has no opinion.
        self.top = nn.Linear(math.prod(PLACES) * cfg.width, 1).requires_grad_(False)
        for parameter in self.top.parameters():
            nn.init.zeros_(parameter)

    def forward(self, garment: Tensor) -> GarmentCode:
        """Garment picture (N, 3, H, W) in [0, 1] -> `GarmentCode`."""
        p16, p8, p4, s2 = self.seen(garment)
        key = F.normalize(self.key(p16 + _resized(self.position, p16.shape[2:])), dim=1).flatten(2)
        mask = self.mask(p16, p8, p4, s2).sigmoid()
        return GarmentCode(mask, self.thin(p4), p8, p16, key)

    def seen(self, garment: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Maps of the picture at strides 16, 8, 4 and 2."""
        f = self.trunk(garment)
        p4, p8, p16 = self.pyramid(f)
        return p16, p8, p4, f.s2

    def is_top(self, code: GarmentCode) -> Tensor:
        """Logit (N, 1) of "worn on the upper body"."""
        return self.top(places(code))


class PersonEncoder(nn.Module):
    """Trunk, pyramid and global context of the person crop, and the keypoint heads."""

    def __init__(self, cfg: StudentConfig):
        super().__init__()
        self.trunk = Trunk(cfg.pretrained, cfg.frozen_stages)
        self.pyramid = Pyramid(cfg.width)
        self.position = nn.Parameter(torch.zeros(1, cfg.width, *TOKENS))
        self.tokens = nn.Sequential(*[TokenBlock(cfg.width) for _ in range(cfg.tokens)])
        self.torso = Junction(cfg.width, cfg.width, cfg.width, 5, mode="bilinear")
        self.heatmap = nn.Conv2d(cfg.width, len(Keypoint), 1)
        self.visible = nn.Linear(2 * cfg.width, len(Keypoint) + 1)

    def forward(self, person: Tensor) -> tuple[PersonMaps, Pose]:
        """Crop (N, 3, H, W) in [0, 1] -> its maps and the pose."""
        f = self.trunk(person)
        p4, p8, p16 = self.pyramid(f)
        tokens = (p16 + _resized(self.position, p16.shape[2:])).flatten(2).transpose(1, 2)
        p16 = self.tokens(tokens).transpose(1, 2).reshape(p16.shape)
        return PersonMaps(f.s2, p4, p8, p16), self._pose(p8, p16)

    def _pose(self, p8: Tensor, p16: Tensor) -> Pose:
        logits = self.heatmap(self.torso(p16, [p8]))  # (N, 13, H/8, W/8)
        weight = logits.flatten(2).softmax(2)
        grid = identity(logits.shape[2], logits.shape[3], logits).flatten(2)[0]  # (2, L)
        xy = weight @ grid.T  # (N, 13, 2)
        pooled = torch.cat([p16.mean((2, 3)), p16.amax((2, 3))], 1)
        seen = self.visible(pooled)
        return Pose(xy, seen[:, :-1], seen[:, -1:])


def places(code: GarmentCode) -> Tensor:
    """Mean features of a few places of the garment picture, (N, 6 * width)."""
    tokens = _resized(code.feat16, TOKENS)
    return F.avg_pool2d(tokens, (TOKENS[0] // PLACES[0], TOKENS[1] // PLACES[1])).flatten(1)


def _resized(field: Tensor, size: Sequence[int]) -> Tensor:
    """(N, C, h, w) at another height and width."""
    if field.shape[2:] == torch.Size(size):
        return field
    return F.interpolate(field, size=size, mode="bilinear", align_corners=False)
