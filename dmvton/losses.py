"""Losses as named terms; their weights live in the configuration."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmvton.batch import Batch
from dmvton.flow import warp
from dmvton.parallel import mean_of_processes, processes
from dmvton.parsing import Parsing
from dmvton.student.encoders import GarmentCode
from dmvton.student.generator import TryOnOutput
from dmvton.student.trunk import Trunk

# What lies before a garment, or is skin that none covers. Not accessories: among them are belts,
# and a student that was to keep those left pieces of them on longer garments.
FRONT = (Parsing.SKIN, Parsing.HAIR, Parsing.HEADWEAR, Parsing.BAG)


@dataclass(frozen=True)
class LossWeights:
    """Weight of each named term; 0 leaves the term out."""

    flow: float = 4.0
    """Distance of the flows to the truth inside the garment, all scales, in half pictures."""
    shape: float = 2.0
    """Difference of the flow's slopes to the truth's: a print may lie off, but not in waves."""
    smooth: float = 1.0
    """Second differences of the flows."""
    image: float = 3.0
    """L1 over the whole picture."""
    region: float = 3.0
    """L1 where old or new garment is."""
    detail: float = 2.0
    """L1 of Laplacian pyramids in the region."""
    perceptual: float = 0.0
    """L1 of ImageNet features."""
    warped: float = 0.5
    """L1 of the warped garment, without gain, inside the new garment."""
    light: float = 2.0
    """L1 of the garment under the true flow and the gain, inside the new garment; a gain of 1
    outside."""
    alpha: float = 1.5
    """Cross-entropy of alpha with the new garment's mask."""
    rest: float = 0.4
    """Keeps pixels outside both garments as they are; renders what the old garment leaves bare."""
    front: float = 0.0
    """Keeps hands, hair and bags, up to where they touch a garment: `rest` leaves out what is near
    one, and in the whole picture they are too few pixels to matter."""
    mask: float = 0.5
    """Cross-entropy of the garment photo's mask."""
    parsing: float = 0.15
    """Cross-entropy of the target's parsing."""
    keypoints: float = 1.5
    """Distance of visible keypoints, in half pictures."""
    visibility: float = 0.2
    """Cross-entropy of visibility and presence."""


def masked_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over the batch of all processes; 0 where nothing has weight."""
    weight = weight.expand_as(values)
    return (values * weight).sum() / mean_of_processes(weight.sum() + 1 / processes())


def _total(terms: Iterable[Tensor]) -> Tensor:
    return reduce(add, terms)


def _smoothness(flow: Tensor) -> Tensor:
    dx = (2 * flow[..., 1:-1] - flow[..., 2:] - flow[..., :-2]).abs().mean()
    dy = (2 * flow[..., 1:-1, :] - flow[..., 2:, :] - flow[..., :-2, :]).abs().mean()
    return dx + dy


def _length(vectors: Tensor) -> Tensor:
    """(N, 2, h, w) -> (N, 1, h, w)."""
    return vectors.square().sum(1, keepdim=True).add(1e-8).sqrt()


def _slope(error: Tensor, inside: Tensor) -> Tensor:
    """Mean change of a flow error from place to place, over one and over three places.

    Nothing is lost by an offset; a fold that the truth has, as between sleeve and torso, is not an
    error, unlike for `_smoothness`.
    """
    total = error.new_zeros(())
    for axis in (2, 3):
        for step in (1, 3):
            count = error.shape[axis] - step
            if count < 1:
                continue
            change = error.narrow(axis, step, count) - error.narrow(axis, 0, count)
            both = inside.narrow(axis, step, count) * inside.narrow(axis, 0, count)
            total = total + masked_mean(_length(change), both) / step
    return total


def _laplacian(x: Tensor, levels: int = 3) -> list[Tensor]:
    bands = []
    for _ in range(levels):
        low = F.avg_pool2d(x, 2)
        bands.append(x - F.interpolate(low, scale_factor=2.0, mode="bilinear", align_corners=False))
        x = low
    return bands


def dilate(mask: Tensor, radius: int) -> Tensor:
    """Mask (N, C, H, W) grown by `radius` pixels."""
    return F.max_pool2d(mask, 2 * radius + 1, 1, radius)


class StudentLoss(nn.Module):
    """All terms of the student's training."""

    def __init__(self, weights: LossWeights):
        super().__init__()
        self.weights = weights
        self.features: Trunk | None = None
        if weights.perceptual:
            self.features = Trunk(frozen_stages=5).eval()

    def forward(self, out: TryOnOutput, code: GarmentCode, batch: Batch) -> dict[str, Tensor]:
        """Weighted terms by name; their sum is the loss."""
        terms = {
            **self._flow_terms(out, batch),
            **self._image_terms(out, batch),
            **self._mask_terms(out, code, batch),
            **self._pose_terms(out, batch),
        }
        weights = self.weights
        return {k: v * getattr(weights, k) for k, v in terms.items() if getattr(weights, k)}

    def _flow_terms(self, out: TryOnOutput, batch: Batch) -> dict[str, Tensor]:
        total = shape = out.image.new_zeros(())
        for flow, weight in zip(out.flows, (0.5, 0.7, 0.9, 1.2), strict=True):
            size = flow.shape[2:]
            inside = F.interpolate(batch.target_mask * batch.tryon, size=size, mode="area")
            inside = (inside > 0.7).float()
            error = flow - F.interpolate(batch.flow, size=size, mode="area")
            total = total + weight * masked_mean(_length(error), inside)
            shape = shape + weight * _slope(error, inside)
        smooth = _total(_smoothness(f) for f in out.flows[1:])
        return {"flow": total, "shape": shape, "smooth": smooth}

    def _image_terms(self, out: TryOnOutput, batch: Batch) -> dict[str, Tensor]:
        valid = batch.tryon
        changed = dilate(torch.maximum(batch.person_mask, batch.target_mask), 2) * valid
        error = (out.image - batch.target).abs()
        bands = zip(_laplacian(out.image), _laplacian(batch.target), strict=True)
        detail = _total(
            masked_mean((a - b).abs(), F.interpolate(changed, size=a.shape[2:], mode="area"))
            for a, b in bands
        )
        terms = {
            "image": masked_mean(error, valid.expand_as(out.alpha)),
            "region": masked_mean(error, changed),
            "detail": detail,
            "warped": masked_mean((out.warped - batch.target).abs(), batch.target_mask * valid),
            "light": self._light(out, batch),
        }
        if self.features is not None:
            with torch.no_grad():
                truth = self.features(batch.target)
            terms["perceptual"] = _total(
                masked_mean((a - b).abs(), valid.expand(-1, 1, *a.shape[2:]))
                for a, b in zip(self.features(out.image), truth, strict=True)
            )
        return terms

    def _light(self, out: TryOnOutput, batch: Batch) -> Tensor:
        inside = (batch.target_mask > 0.9).float()
        valid = batch.tryon
        lit = (warp(batch.garment_fill, batch.flow) * out.gain).clamp(0, 1)
        shone = masked_mean((lit - batch.target).abs(), inside * valid)
        return shone + 0.1 * masked_mean(out.gain.log().abs(), (1 - inside) * valid)

    def _mask_terms(self, out: TryOnOutput, code: GarmentCode, batch: Batch) -> dict[str, Tensor]:
        valid = batch.tryon
        alpha = F.binary_cross_entropy(
            out.alpha.clamp(1e-4, 1 - 1e-4), batch.target_mask, reduction="none"
        )
        kept = 1 - dilate(torch.maximum(batch.person_mask, batch.target_mask), 3)
        bare = (batch.person_mask > 0.9) & (dilate(batch.target_mask, 1) < 0.1)
        change = out.alpha + (1 - out.alpha) * out.beta
        bare = bare.float() * valid
        front = torch.isin(batch.parsing, batch.parsing.new_tensor(FRONT))[:, None].float()
        front = F.interpolate(front, size=change.shape[2:], mode="nearest")
        front = front * (batch.person_mask < 0.1) * (batch.target_mask < 0.1)
        mask = F.binary_cross_entropy(
            code.mask.clamp(1e-4, 1 - 1e-4), batch.garment_mask, reduction="none"
        )
        parsing = F.cross_entropy(out.parsing, batch.parsing, reduction="none")[:, None]
        return {
            "alpha": masked_mean(alpha, valid.expand_as(alpha)),
            "rest": masked_mean(change, kept * valid) + masked_mean(1 - out.beta, bare),
            "front": masked_mean(change, front * valid),
            "mask": masked_mean(mask, valid.expand_as(mask)),
            "parsing": masked_mean(parsing, valid.expand_as(parsing)),
        }

    def _pose_terms(self, out: TryOnOutput, batch: Batch) -> dict[str, Tensor]:
        xy, seen = batch.keypoints[..., :2], batch.keypoints[..., 2]
        distance = (out.pose.xy - xy).square().sum(2).add(1e-6).sqrt()
        person = batch.presence  # (N, 1)
        visible = F.binary_cross_entropy_with_logits(out.pose.visibility, seen, reduction="none")
        presence = F.binary_cross_entropy_with_logits(out.pose.presence, person)
        return {
            "keypoints": masked_mean(distance, seen * person),
            "visibility": masked_mean(visible, person) + presence,
        }
