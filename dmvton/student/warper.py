"""The warp module: where each pixel of the crop finds its place in the garment picture."""

from functools import reduce
from operator import add
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmvton.flow import identity, upsample, warp
from dmvton.student.encoders import GarmentCode, PersonMaps
from dmvton.student.layers import fuse, separable


class Warp(NamedTuple):
    """What a warp module hands to a generator; student and teacher share it."""

    flow: Tensor  # (N, 2, H/4, W/4) crop -> garment picture, see dmvton.flow
    flows: tuple[Tensor, ...]  # at strides 16, 16, 8, 4, coarse to fine
    h4: Tensor  # (N, width, H/4, W/4)
    h8: Tensor  # (N, width, H/8, W/8)
    h16: Tensor  # (N, width, H/16, W/16)
    seen: Tensor  # (N, width, H/16, W/16) the garment features attended to


class Matcher(nn.Module):
    """Global matching at stride 16: soft-argmax of person tokens over garment tokens."""

    def __init__(self, width: int):
        super().__init__()
        self.query = nn.Sequential(separable(width, width, 5), nn.Conv2d(width, width, 1))
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


class Warper(nn.Module):
    """Global matching at stride 16, then residual refinement at 16, 8 and 4."""

    def __init__(self, width: int, thin: int, rounds: int = 1):
        """`rounds` refinements at each scale, each with weights of its own."""
        super().__init__()
        self.matcher = Matcher(width)
        garment = (width, width, thin)  # channels at strides 16, 8, 4
        self.refiners = nn.ModuleList(Refiner(width, g) for _ in range(rounds) for g in garment)

    def forward(self, maps: PersonMaps, code: GarmentCode) -> Warp:
        """Person maps and a garment's code -> `Warp`."""
        flow, seen = self.matcher(maps.p16, code)
        flows, hidden = [flow], []
        scales = ((maps.p16, code.feat16), (maps.p8, code.feat8), (maps.p4, code.feat4))
        for scale, (person, garment) in enumerate(scales):
            flow = flow if scale == 0 else upsample(flow, 2)
            states = []
            for refiner in self.refiners[scale :: len(scales)]:
                flow, state = refiner(person, garment, flow)
                states.append(state)
            flows.append(flow)
            hidden.append(reduce(add, states))
        h16, h8, h4 = hidden
        return Warp(flow, tuple(flows), h4, h8, h16, seen)
