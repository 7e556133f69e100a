"""The generator: composite weights and pixels from person maps and a warp."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmvton.flow import upsample, warp
from dmvton.parsing import Parsing
from dmvton.student.config import StudentConfig
from dmvton.student.encoders import GarmentCode, PersonMaps, Pose
from dmvton.student.layers import Junction, fuse, separable
from dmvton.student.trunk import CHANNELS
from dmvton.student.warper import Warp

ENOUGH_SKIN = 1.0  # pixels at stride 4 that tell the tone as well as not


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


class Generator(nn.Module):
    """A decoder on the person trunk's own features, and the three-way composite."""

    def __init__(self, cfg: StudentConfig):
        super().__init__()
        w, (c16, c8, c4, c2, c1) = cfg.width, cfg.decoder
        self.d16 = nn.Sequential(fuse(3 * w, c16, 5), separable(c16, c16))
        self.d8, self.s8 = Junction(c16, 2 * w, c8, 5), separable(c8, c8)
        self.d4, self.s4 = Junction(c8, 2 * w, c4), separable(c4, c4)
        self.d2, self.s2 = Junction(c4, CHANNELS[0] + 7, c2), separable(c2, c2)
        self.d1 = Junction(c2, 3, c1)
        self.out = nn.Conv2d(c1, 8, 1)
        self.parsing = nn.Conv2d(c4, cfg.parsing_classes, 1)

    def forward(
        self, person: Tensor, garment: Tensor, code: GarmentCode, maps: PersonMaps, warped: Warp,
        pose: Pose, fill: Tensor | None = None,
    ) -> TryOnOutput:  # fmt: skip
        """Crop and garment picture (N, 3, H, W) in [0, 1], and what was made of them.

        `fill` is the picture to warp, as in `Batch.garment_fill`; the garment's own by default.
        """
        # At half the size: sampling costs by the pixel, and the flow has no finer detail.
        source = F.avg_pool2d(torch.cat([garment, code.mask.sigmoid()], 1), 2)
        half = warp(source, upsample(warped.flow, 2).clamp(-1, 1))  # (N, 4, H/2, W/2)
        x = self.d16(torch.cat([maps.p16, warped.h16, warped.seen], 1))
        x = self.s8(self.d8(x, [maps.p8, warped.h8]))
        x = self.s4(self.d4(x, [maps.p4, warped.h4]))
        parsing = self.parsing(x)  # (N, classes, H/4, W/4)
        x = self.s2(self.d2(x, [maps.p2, F.avg_pool2d(person, 2), half]))
        raw = self.out(self.d1(x, [person]))  # (N, 8, H, W)
        flow = upsample(warped.flow, 4).clamp(-1, 1)
        cloth = warp(garment if fill is None else fill, flow)
        return composite(raw, person, cloth, flow, warped.flows, pose, parsing)


def composite(raw, person, warped, flow, flows, pose: Pose, parsing) -> TryOnOutput:
    """Three-way composite: warped garment, rendered pixels, the person's own pixels."""
    alpha, beta = raw[:, 3:4].sigmoid(), raw[:, 4:5].sigmoid()
    gain = (0.8 * raw[:, 5:6].tanh()).exp().expand(-1, 3, -1, -1)
    rendered = _with_skin(raw, person, (1 - alpha) * (1 - beta), parsing)
    # Alpha learns from the mask alone. From the picture it would learn to put the blurred mean of
    # `rendered` wherever a print may lie a pixel off: cheaper, and the print shows in the mask.
    share = alpha.detach()
    # Nor may the light learn from a picture in which prints and folds lie a little off: it would
    # learn to wash them out. It has a term of its own, over the garment warped by the true flow.
    dressed = (warped * gain.detach()).clamp(0, 1)
    image = share * dressed + (1 - share) * (beta * rendered + (1 - beta) * person)
    return TryOnOutput(image, flow, alpha, beta, rendered, gain, warped, flows, pose, parsing)


def _with_skin(raw: Tensor, person: Tensor, kept: Tensor, parsing: Tensor) -> Tensor:
    """Rendered pixels (N, 3, H, W): skin in the person's own tone, the rest as it comes.

    Left to itself, a network gives a bared arm the mean colour of all arms, mixed with that of the
    sleeve. Where skin will be, the parsing tells; its tone is read from the skin that is kept.

    Args:
        raw: (N, 8, H, W), the last two a correction of "skin" and the light on it.
        person: (N, 3, H, W).
        kept: (N, 1, H, W) share of the person's own pixels in the picture.
        parsing: (N, classes, H/4, W/4) logits.
    """
    skin = parsing.softmax(1)[:, Parsing.SKIN : Parsing.SKIN + 1].clamp(1e-3, 1 - 1e-3)
    shown = (skin * F.avg_pool2d(kept, 4)).detach().square()
    amount = shown.sum((2, 3), keepdim=True)
    tone = (shown * F.avg_pool2d(person, 4)).sum((2, 3), keepdim=True) / (amount + 1e-3)
    certain = amount / (amount + ENOUGH_SKIN)
    here = (upsample((skin / (1 - skin)).log(), 4) + raw[:, 6:7]).sigmoid() * certain
    lit = (tone * (0.8 * raw[:, 7:8].tanh()).exp()).clamp(0, 1)
    return here * lit + (1 - here) * raw[:, :3].sigmoid()
