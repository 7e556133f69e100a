"""The student: a parser-free try-on network in two graphs, one a garment and one a frame.

garment ── GarmentEncoder ──> mask, features (cached)
person ─── PersonEncoder ──┬─> Matcher (1/16) ─> Refiner (1/16, 1/8, 1/4) ─> flow
                           └─> Decoder ─> alpha, beta, rendered, gain ─> composite
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmvton.flow import identity, upsample, warp
from dmvton.keypoints import Keypoint
from dmvton.student.layers import Pyramid, TokenBlock, fuse, separable
from dmvton.student.trunk import CHANNELS, Trunk


@dataclass(frozen=True)
class StudentConfig:
    """Sizes of the student."""

    width: int = 80
    """Channels of the pyramids and of matching."""
    thin: int = 32
    """Channels of the garment's stride-4 features: GridSample's time goes with their number."""
    decoder: tuple[int, int, int, int, int] = (128, 80, 56, 32, 24)
    """Decoder channels at strides 16, 8, 4, 2, 1."""
    tokens: int = 2
    """Transformer layers over the person's stride-16 tokens."""
    parsing_classes: int = 11
    """Classes of the auxiliary parsing head (training only)."""
    pretrained: bool = True
    """Start the trunks from ImageNet weights."""
    frozen_stages: int = 2
    """Trunk stages (after the stem) that are not trained."""


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


class TryOnOutput(NamedTuple):
    """The try-on picture and what it was made of, at the crop's size (H, W)."""

    image: Tensor  # (N, 3, H, W) in [0, 1]
    flow: Tensor  # (N, 2, H, W) crop -> garment picture, see dmvton.flow
    alpha: Tensor  # (N, 1, H, W) weight of the warped garment, [0, 1]
    beta: Tensor  # (N, 1, H, W) weight of the rendered pixels among the rest, [0, 1]
    rendered: Tensor  # (N, 3, H, W) in [0, 1]
    gain: Tensor  # (N, 3, H, W) fold light on the garment, about 1
    warped: Tensor  # (N, 3, H, W) the warped garment without gain
    flows: tuple[Tensor, ...]  # flows at strides 16, 16, 8, 4, coarse to fine
    pose: Pose
    parsing: Tensor  # (N, classes, H/4, W/4) logits of the target's parsing


class GarmentEncoder(nn.Module):
    """Features and mask of a garment photo with any background."""

    def __init__(self, cfg: StudentConfig):
        super().__init__()
        self.trunk = Trunk(cfg.pretrained, cfg.frozen_stages)
        self.pyramid = Pyramid(cfg.width)
        self.position = nn.Parameter(torch.zeros(1, cfg.width, 16, 12))
        self.thin = nn.Conv2d(cfg.width, cfg.thin, 1)
        self.key = nn.Conv2d(cfg.width, cfg.width, 1)
        self.mask = nn.Sequential(fuse(cfg.width + CHANNELS[0], 32), nn.Conv2d(32, 1, 1))

    def forward(self, garment: Tensor) -> GarmentCode:
        """Garment picture (N, 3, H, W) in [0, 1] -> `GarmentCode`."""
        f = self.trunk(garment)
        p4, p8, p16 = self.pyramid(f)
        key = F.normalize(self.key(p16 + _resized(self.position, p16)), dim=1).flatten(2)
        detail = torch.cat([upsample(p4, 2), f.s2], 1)  # (N, width + 16, H/2, W/2)
        return GarmentCode(upsample(self.mask(detail), 2), self.thin(p4), p8, p16, key)


class PersonEncoder(nn.Module):
    """Trunk, pyramid and global context of the person crop, and the keypoint heads."""

    def __init__(self, cfg: StudentConfig):
        super().__init__()
        self.trunk = Trunk(cfg.pretrained, cfg.frozen_stages)
        self.pyramid = Pyramid(cfg.width)
        self.position = nn.Parameter(torch.zeros(1, cfg.width, 16, 12))
        self.tokens = nn.Sequential(*[TokenBlock(cfg.width) for _ in range(cfg.tokens)])
        self.heatmap = nn.Sequential(
            fuse(2 * cfg.width, cfg.width, 5), nn.Conv2d(cfg.width, len(Keypoint), 1)
        )
        self.visible = nn.Linear(2 * cfg.width, len(Keypoint) + 1)

    def forward(self, person: Tensor) -> tuple[tuple[Tensor, ...], Pose]:
        """Crop (N, 3, H, W) in [0, 1] -> maps at strides 2, 4, 8, 16 and the pose."""
        f = self.trunk(person)
        p4, p8, p16 = self.pyramid(f)
        tokens = (p16 + _resized(self.position, p16)).flatten(2).transpose(1, 2)
        p16 = self.tokens(tokens).transpose(1, 2).reshape(p16.shape)
        return (f.s2, p4, p8, p16), self._pose(p8, p16)

    def _pose(self, p8: Tensor, p16: Tensor) -> Pose:
        logits = self.heatmap(torch.cat([p8, upsample(p16, 2)], 1))  # (N, 13, H/8, W/8)
        weight = logits.flatten(2).softmax(2)
        grid = identity(logits.shape[2], logits.shape[3], logits).flatten(2)[0]  # (2, L)
        xy = weight @ grid.T  # (N, 13, 2)
        pooled = torch.cat([p16.mean((2, 3)), p16.amax((2, 3))], 1)
        seen = self.visible(pooled)
        return Pose(xy, seen[:, :-1], seen[:, -1:])


class Matcher(nn.Module):
    """Global matching at stride 16: soft-argmax of person tokens over garment tokens."""

    def __init__(self, cfg: StudentConfig):
        super().__init__()
        self.query = nn.Sequential(
            separable(cfg.width, cfg.width, 5), nn.Conv2d(cfg.width, cfg.width, 1)
        )
        self.log_temperature = nn.Parameter(torch.tensor(2.7))

    def forward(self, p16: Tensor, code: GarmentCode) -> tuple[Tensor, Tensor]:
        """Person map (N, width, h, w) -> flow (N, 2, h, w), attended garment (N, width, h, w)."""
        n, width, h, w = p16.shape
        query = F.normalize(self.query(p16), dim=1).flatten(2)  # (N, width, L)
        scores = query.transpose(1, 2) @ code.key * self.log_temperature.clamp(max=4.0).exp()
        attention = scores.softmax(2)  # (N, L, M)
        rows, cols = code.feat16.shape[2:]
        grid = identity(rows, cols, code.feat16).flatten(2)  # (1, 2, M)
        flow = (attention @ grid.transpose(1, 2)).transpose(1, 2).reshape(n, 2, h, w)
        seen = attention @ code.feat16.flatten(2).transpose(1, 2)  # (N, L, width)
        return flow, seen.transpose(1, 2).reshape(n, width, h, w)


class Refiner(nn.Module):
    """Residual update of a flow from person features and the warped garment features."""

    def __init__(self, width: int, garment: int):
        super().__init__()
        self.body = nn.Sequential(fuse(width + garment + 2, width, 5), separable(width, width))
        self.head = nn.Conv2d(width, 2, 3, 1, 1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, person: Tensor, garment: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (N, width, h, w), flow (N, 2, h, w) -> new flow, hidden map (N, width, h, w)."""
        hidden = self.body(torch.cat([person, warp(garment, flow), flow], 1))
        return flow + self.head(hidden), hidden


class Decoder(nn.Module):
    """From person maps, warped garment maps and pixels to the composite's weights and pixels."""

    def __init__(self, cfg: StudentConfig):
        super().__init__()
        w, (c16, c8, c4, c2, c1) = cfg.width, cfg.decoder
        self.d16 = nn.Sequential(fuse(3 * w, c16, 5), separable(c16, c16))
        self.d8 = nn.Sequential(fuse(c16 + 2 * w, c8, 5), separable(c8, c8))
        self.d4 = nn.Sequential(fuse(c8 + 2 * w, c4), separable(c4, c4))
        self.d2 = nn.Sequential(fuse(c4 + CHANNELS[0] + 7, c2), separable(c2, c2))
        self.d1 = fuse(c2 + 7, c1)
        self.out = nn.Conv2d(c1, 6, 1)
        self.parsing = nn.Conv2d(c4, cfg.parsing_classes, 1)

    def forward(self, s16, s8, s4, s2: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Lists of maps per stride -> raw outputs (N, 6, H, W), parsing (N, classes, H/4, W/4)."""
        x = self.d16(torch.cat(s16, 1))
        x = self.d8(torch.cat([_double(x), *s8], 1))
        x = self.d4(torch.cat([_double(x), *s4], 1))
        parsing = self.parsing(x)
        x = self.d2(torch.cat([_double(x), s2, F.avg_pool2d(pixels, 2)], 1))
        x = self.d1(torch.cat([_double(x), pixels], 1))
        return self.out(x), parsing


class Student(nn.Module):
    """Garment photo and person crop to try-on picture; no parser, no pose input, no user mask."""

    def __init__(self, cfg: StudentConfig | None = None):
        super().__init__()
        self.cfg = cfg = cfg or StudentConfig()
        self.garment = GarmentEncoder(cfg)
        self.person = PersonEncoder(cfg)
        self.matcher = Matcher(cfg)
        garment = (cfg.width, cfg.width, cfg.thin)  # channels at strides 16, 8, 4
        self.refiners = nn.ModuleList(Refiner(cfg.width, g) for g in garment)
        self.decoder = Decoder(cfg)

    def forward(self, person: Tensor, garment: Tensor) -> tuple[TryOnOutput, GarmentCode]:
        """Both pictures (N, 3, H, W) in [0, 1], H and W multiples of 16."""
        code = self.garment(garment)
        return self.frame(person, garment, code), code

    def frame(self, person: Tensor, garment: Tensor, code: GarmentCode) -> TryOnOutput:
        """One frame with a cached garment."""
        (p2, p4, p8, p16), pose = self.person(person)
        coarse, seen = self.matcher(p16, code)
        f16, h16 = self.refiners[0](p16, code.feat16, coarse)
        f8, h8 = self.refiners[1](p8, code.feat8, upsample(f16, 2))
        f4, h4 = self.refiners[2](p4, code.feat4, upsample(f8, 2))
        flow = upsample(f4, 4).clamp(-1, 1)
        source = torch.cat([garment, code.mask.sigmoid()], 1)
        warped = warp(source, flow)  # (N, 4, H, W)
        pixels = torch.cat([person, warped], 1)
        raw, parsing = self.decoder((p16, h16, seen), (p8, h8), (p4, h4), p2, pixels)
        return composite(raw, person, warped[:, :3], flow, (coarse, f16, f8, f4), pose, parsing)


def composite(raw, person, warped, flow, flows, pose: Pose, parsing) -> TryOnOutput:
    """Three-way composite: warped garment, rendered pixels, the person's own pixels."""
    rendered = raw[:, :3].sigmoid()
    alpha, beta = raw[:, 3:4].sigmoid(), raw[:, 4:5].sigmoid()
    gain = (0.8 * raw[:, 5:6].tanh()).exp().expand(-1, 3, -1, -1)
    dressed = (warped * gain).clamp(0, 1)
    image = alpha * dressed + (1 - alpha) * (beta * rendered + (1 - beta) * person)
    return TryOnOutput(image, flow, alpha, beta, rendered, gain, warped, flows, pose, parsing)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def _resized(position: Tensor, like: Tensor) -> Tensor:
    """Position embedding at the size of a map."""
    if position.shape[2:] == like.shape[2:]:
        return position
    return F.interpolate(position, size=like.shape[2:], mode="bilinear", align_corners=False)
