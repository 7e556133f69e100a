"""Losses as named terms; their weights live in the configuration."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmvton.batch import Batch
from dmvton.student.encoders import GarmentCode
from dmvton.student.generator import TryOnOutput
from dmvton.student.trunk import Trunk


@dataclass(frozen=True)
class LossWeights:
    """Weight of each named term; 0 leaves the term out."""

    flow: float = 4.0
    """Distance of the flows to the truth inside the garment, all scales, in half pictures."""
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
    alpha: float = 0.6
    """Cross-entropy of alpha with the new garment's mask."""
    rest: float = 0.4
    """Keeps pixels outside both garments as they are; renders what the old garment leaves bare."""
    mask: float = 0.5
    """Cross-entropy of the garment photo's mask."""
    parsing: float = 0.15
    """Cross-entropy of the target's parsing."""
    keypoints: float = 1.5
    """Distance of visible keypoints, in half pictures."""
    visibility: float = 0.2
    """Cross-entropy of visibility and presence."""


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean; 0 where nothing has weight."""
    weight = weight.expand_as(values)
    return (values * weight).sum() / (weight.sum() + 1.0)


def _total(terms: Iterable[Tensor]) -> Tensor:
    return reduce(add, terms)


def _smoothness(flow: Tensor) -> Tensor:
    dx = (2 * flow[..., 1:-1] - flow[..., 2:] - flow[..., :-2]).abs().mean()
    dy = (2 * flow[..., 1:-1, :] - flow[..., 2:, :] - flow[..., :-2, :]).abs().mean()
    return dx + dy


def _laplacian(x: Tensor, levels: int = 3) -> list[Tensor]:
    bands = []
    for _ in range(levels):
        low = F.avg_pool2d(x, 2)
        bands.append(x - F.interpolate(low, scale_factor=2.0, mode="bilinear", align_corners=False))
        x = low
    return bands


def _dilate(mask: Tensor, radius: int) -> Tensor:
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
        total = out.image.new_zeros(())
        for flow, weight in zip(out.flows, (0.5, 0.7, 0.9, 1.2), strict=True):
            size = flow.shape[2:]
            inside = F.interpolate(batch.target_mask * batch.tryon, size=size, mode="area")
            truth = F.interpolate(batch.flow, size=size, mode="area")
            distance = (flow - truth).square().sum(1, keepdim=True).add(1e-6).sqrt()
            total = total + weight * _mean(distance, (inside > 0.7).float())
        return {"flow": total, "smooth": _total(_smoothness(f) for f in out.flows[1:])}

    def _image_terms(self, out: TryOnOutput, batch: Batch) -> dict[str, Tensor]:
        valid = batch.tryon
        changed = _dilate(torch.maximum(batch.person_mask, batch.target_mask), 2) * valid
        error = (out.image - batch.target).abs()
        bands = zip(_laplacian(out.image), _laplacian(batch.target), strict=True)
        detail = _total(
            _mean((a - b).abs(), F.interpolate(changed, size=a.shape[2:], mode="area"))
            for a, b in bands
        )
        terms = {
            "image": _mean(error, valid.expand_as(out.alpha)),
            "region": _mean(error, changed),
            "detail": detail,
            "warped": _mean((out.warped - batch.target).abs(), batch.target_mask * valid),
        }
        if self.features is not None:
            with torch.no_grad():
                truth = self.features(batch.target)
            terms["perceptual"] = _total(
                _mean((a - b).abs(), valid.expand(-1, 1, *a.shape[2:]))
                for a, b in zip(self.features(out.image), truth, strict=True)
            )
        return terms

    def _mask_terms(self, out: TryOnOutput, code: GarmentCode, batch: Batch) -> dict[str, Tensor]:
        valid = batch.tryon
        alpha = F.binary_cross_entropy(
            out.alpha.clamp(1e-4, 1 - 1e-4), batch.target_mask, reduction="none"
        )
        kept = 1 - _dilate(torch.maximum(batch.person_mask, batch.target_mask), 3)
        bare = (batch.person_mask > 0.9) & (_dilate(batch.target_mask, 1) < 0.1)
        change = out.alpha + (1 - out.alpha) * out.beta
        mask = F.binary_cross_entropy_with_logits(code.mask, batch.garment_mask, reduction="none")
        parsing = F.cross_entropy(out.parsing, batch.parsing, reduction="none")[:, None]
        return {
            "alpha": _mean(alpha, valid.expand_as(alpha)),
            "rest": _mean(change, kept * valid) + _mean(1 - out.beta, bare.float() * valid),
            "mask": _mean(mask, valid.expand_as(mask)),
            "parsing": _mean(parsing, valid.expand_as(parsing)),
        }

    def _pose_terms(self, out: TryOnOutput, batch: Batch) -> dict[str, Tensor]:
        xy, seen = batch.keypoints[..., :2], batch.keypoints[..., 2]
        distance = (out.pose.xy - xy).square().sum(2).add(1e-6).sqrt()
        person = batch.presence  # (N, 1)
        visible = F.binary_cross_entropy_with_logits(out.pose.visibility, seen, reduction="none")
        presence = F.binary_cross_entropy_with_logits(out.pose.presence, person)
        return {
            "keypoints": _mean(distance, seen * person),
            "visibility": _mean(visible, person) + presence,
        }
