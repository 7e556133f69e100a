"""The two encoders: one for a garment photo, whose code is cached, and one for the person."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmvton.flow import identity, upsample
from dmvton.keypoints import Keypoint
from dmvton.student.config import StudentConfig
from dmvton.student.layers import Junction, Pyramid, TokenBlock
from dmvton.student.trunk import CHANNELS, Trunk


class GarmentCode(NamedTuple):
    """What is cached of a garment picture (N, 3, H, W)."""

    mask: Tensor  # (N, 1, H, W) logits of "garment"
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


class GarmentEncoder(nn.Module):
    """Features and mask of a garment photo with any background."""

    def __init__(self, cfg: StudentConfig):
        super().__init__()
        self.trunk = Trunk(cfg.pretrained, cfg.frozen_stages)
        self.pyramid = Pyramid(cfg.width)
        self.position = nn.Parameter(torch.zeros(1, cfg.width, 16, 12))
        self.thin = nn.Conv2d(cfg.width, cfg.thin, 1)
        self.key = nn.Conv2d(cfg.width, cfg.width, 1)
        self.detail = Junction(cfg.width, CHANNELS[0], 32, mode="bilinear")
        self.mask = nn.Conv2d(32, 1, 1)

    def forward(self, garment: Tensor) -> GarmentCode:
        """Garment picture (N, 3, H, W) in [0, 1] -> `GarmentCode`."""
        f = self.trunk(garment)
        p4, p8, p16 = self.pyramid(f)
        key = F.normalize(self.key(p16 + _resized(self.position, p16)), dim=1).flatten(2)
        mask = self.mask(self.detail(p4, [f.s2]))  # (N, 1, H/2, W/2)
        return GarmentCode(upsample(mask, 2), self.thin(p4), p8, p16, key)


class PersonEncoder(nn.Module):
    """Trunk, pyramid and global context of the person crop, and the keypoint heads."""

    def __init__(self, cfg: StudentConfig):
        super().__init__()
        self.trunk = Trunk(cfg.pretrained, cfg.frozen_stages)
        self.pyramid = Pyramid(cfg.width)
        self.position = nn.Parameter(torch.zeros(1, cfg.width, 16, 12))
        self.tokens = nn.Sequential(*[TokenBlock(cfg.width) for _ in range(cfg.tokens)])
        self.torso = Junction(cfg.width, cfg.width, cfg.width, 5, mode="bilinear")
        self.heatmap = nn.Conv2d(cfg.width, len(Keypoint), 1)
        self.visible = nn.Linear(2 * cfg.width, len(Keypoint) + 1)

    def forward(self, person: Tensor) -> tuple[PersonMaps, Pose]:
        """Crop (N, 3, H, W) in [0, 1] -> its maps and the pose."""
        f = self.trunk(person)
        p4, p8, p16 = self.pyramid(f)
        tokens = (p16 + _resized(self.position, p16)).flatten(2).transpose(1, 2)
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


def _resized(position: Tensor, like: Tensor) -> Tensor:
    """Position embedding at the size of a map."""
    if position.shape[2:] == like.shape[2:]:
        return position
    return F.interpolate(position, size=like.shape[2:], mode="bilinear", align_corners=False)
