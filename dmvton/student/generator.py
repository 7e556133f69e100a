"""The generator: composite weights and pixels from person maps and a warp."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmvton.flow import upsample, warp
from dmvton.parsing import Parsing
from dmvton.student.config import StudentConfig
from dmvton.student.encoders import GarmentCode, PersonMaps, Pose
from dmvton.student.fine import Fine
from dmvton.student.layers import Junction, fuse, separable
from dmvton.student.trunk import CHANNELS
from dmvton.student.warper import Warp

OUTPUTS = 8  # of the last layer, see `layers_of`
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


class Large(NamedTuple):
    """What the level at twice the size looks at, and its trunk features."""

    person: Tensor  # (N, 3, 2H, 2W) in [0, 1]
    garment: Tensor  # (N, 3, 2H, 2W) in [0, 1]
    detail: Tensor  # (N, CHANNELS[0], H, W)


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
        self.out = nn.Conv2d(c1, OUTPUTS, 1)
        self.fine = Fine(cfg, OUTPUTS) if cfg.fine else None
        self.parsing = nn.Conv2d(c4, cfg.parsing_classes, 1)

    def forward(
        self, person: Tensor, garment: Tensor, code: GarmentCode, maps: PersonMaps, warped: Warp,
        pose: Pose, fill: Tensor | None = None, large: Large | None = None,
    ) -> TryOnOutput:  # fmt: skip
        """Crop and garment picture (N, 3, H, W) in [0, 1], and what was made of them.

        `fill` is the picture to warp, as in `Batch.garment_fill`; the garment's own by default.
        With a level at twice the size, `large` is what that looks at.
        """
        # At half the size: sampling costs by the pixel, and the flow has no finer detail.
        source = torch.cat([F.avg_pool2d(garment, 2), F.avg_pool2d(code.mask, 2)], 1)
        half = warp(source, upsample(warped.flow, 2))  # (N, 4, H/2, W/2)
        small = F.avg_pool2d(person, 2)
        x = self.d16(torch.cat([maps.p16, warped.h16, warped.seen], 1))
        x = self.s8(self.d8(x, [maps.p8, warped.h8]))
        x = self.s4(self.d4(x, [maps.p4, warped.h4]))
        parsing = self.parsing(x)  # (N, classes, H/4, W/4)
        x = self.s2(self.d2(x, [maps.p2, small, half]))
        hidden = self.d1(x, [person])
        raw = self.out(hidden)  # (N, OUTPUTS, H, W)
        if self.fine is not None and large is not None:
            picture = torch.cat([garment, code.mask], 1)
            cloth = warp(picture, upsample(warped.flow, 4))  # (N, 4, H, W)
            raw = self.fine(raw, hidden, large.detail, cloth, large.person)
            person, garment, small = large.person, large.garment, person
        skin = parsing.softmax(1)[:, Parsing.SKIN : Parsing.SKIN + 1].clamp(1e-3, 1 - 1e-3)
        # Enlarged together, which costs a runtime no more than one of them.
        zoom = raw.shape[2] // skin.shape[2]
        if zoom > 4:  # losses know it at a fourth of the size
            parsing = upsample(parsing, zoom // 4)
        both = upsample(torch.cat([warped.flow, (skin / (1 - skin)).log()], 1), zoom)
        flow, odds = both[:, :2].clamp(-1, 1), both[:, 2:]
        cloth = warp(garment if fill is None else fill, flow)
        alpha, beta, gain, rendered = layers_of(raw, small, skin, odds)
        # Alpha learns from the mask alone. From the picture it would learn to put the blurred mean
        # of `rendered` wherever a print may lie a pixel off: cheaper, and the print shows in the
        # mask.
        share = alpha.detach()
        # Nor may the light learn from a picture in which prints and folds lie a little off: it
        # would learn to wash them out. It has a term of its own, over the garment warped by the
        # true flow.
        dressed = (cloth * gain.detach()).clamp(0, 1)
        image = share * dressed + (1 - share) * (beta * rendered + (1 - beta) * person)
        return TryOnOutput(
            image, flow, alpha, beta, rendered, gain, cloth, warped.flows, pose, parsing
        )


def layers_of(raw: Tensor, person: Tensor, skin: Tensor, odds: Tensor) -> tuple[Tensor, ...]:
    """Alpha, beta, gain and rendered pixels from the last layer.

    Rendered is skin in the person's own tone, the rest as it comes. Left to itself, a network gives
    a bared arm the mean colour of all arms, mixed with that of the sleeve. Where skin will be, the
    parsing tells; its tone is read from the skin that is kept.

    Args:
        raw: (N, 8, H, W): colour, alpha, beta, light, a correction of `odds`, light on the skin.
        person: (N, 3, H/2, W/2), half the crop's size.
        skin: (N, 1, h, w) chance of skin in the target, within (0, 1); of a fourth of the size, or
            an eighth.
        odds: (N, 1, H, W) logit of it.

    Returns:
        (N, 1 or 3, H, W) each, see `TryOnOutput`.
    """
    # Planes one after the other can be parted without a copy. Maps cannot, where a runtime keeps
    # the channels of a pixel together: OpenVINO took a twentieth of the frame for it.
    zoom = raw.shape[2] // skin.shape[2]
    planes = raw.flatten(2).split([3, 1, 1, 1, 1, 1], 1)
    colour, a, b, light, doubt, tint = (p.unflatten(2, raw.shape[2:]) for p in planes)
    alpha, beta = a.sigmoid(), b.sigmoid()
    gain = (0.8 * light.tanh()).exp().expand(-1, 3, -1, -1)
    kept = (1 - alpha) * (1 - beta)
    shown = (skin * F.avg_pool2d(kept, zoom)).detach().square()
    amount = shown.sum((2, 3), keepdim=True)
    tone = (shown * F.avg_pool2d(person, zoom // 2)).sum((2, 3), keepdim=True) / (amount + 1e-3)
    here = (odds + doubt).sigmoid() * (amount / (amount + ENOUGH_SKIN))
    lit = (tone * (0.8 * tint.tanh()).exp()).clamp(0, 1)
    return alpha, beta, gain, here * lit + (1 - here) * colour.sigmoid()
