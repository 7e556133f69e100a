"""What the student learns from a trained teacher.

Two ways, both on samples whose truth is known:

- Redressing: the teacher dresses the person of the target in some other garment of the batch, and
  the student has to undo it. So the input is a network's picture and the target a real one
  (appearance flow without parsers, Ge et al. 2021).
- Distillation: flow and picture of the teacher, weighted for each sample by how much nearer to the
  truth the teacher is (the adjustable factor of DM-VTON): a teacher that is worse teaches nothing.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dmvton.batch import Batch
from dmvton.losses import masked_mean
from dmvton.networks import load_network
from dmvton.student.generator import TryOnOutput
from dmvton.teacher.sight import sight_of, sight_of_target


@dataclass(frozen=True)
class DistilConfig:
    """How a teacher is used."""

    teacher: Path | None = None
    """Checkpoint folder of the teacher; without one nothing is distilled."""
    redress: float = 0.4
    """Share of the batches whose inputs the teacher makes."""
    flow: float = 1.0
    """Weight of the distance to the teacher's flow."""
    image: float = 1.0
    """Weight of the distance to the teacher's picture."""


class Tutor:
    """A frozen teacher."""

    def __init__(self, cfg: DistilConfig, device: torch.device | str = "cpu"):
        assert cfg.teacher is not None
        self.cfg = cfg
        self.teacher = load_network("teacher", cfg.teacher).requires_grad_(False).to(device)

    @torch.no_grad()
    def redressed(self, batch: Batch) -> Batch:
        """The batch with the person of each target dressed in the next sample's garment."""
        out, _ = self.teacher(
            sight_of_target(batch), batch.garment.roll(1, 0), batch.garment_fill.roll(1, 0)
        )
        valid = batch.tryon > 0
        mask = (out.alpha > 0.5).to(out.alpha)
        return batch._replace(
            person=torch.where(valid, out.image, batch.person),
            person_mask=torch.where(valid, mask, batch.person_mask),
        )

    def terms(self, out: TryOnOutput, batch: Batch) -> dict[str, Tensor]:
        """Weighted terms that draw the student to the teacher where the teacher is better."""
        with torch.no_grad():
            lesson, _ = self.teacher(sight_of(batch), batch.garment, batch.garment_fill)
            area = torch.maximum(batch.person_mask, batch.target_mask)
            student, teacher = (_error(o.image, batch.target, area) for o in (out, lesson))
            factor = ((student - teacher) / (student + 1e-4)).clamp(0, 1) * batch.tryon
        weight = factor * lesson.alpha
        distance = (out.flow - lesson.flow).square().sum(1, keepdim=True).add(1e-6).sqrt()
        difference = (out.image - lesson.image).abs().mean(1, keepdim=True)
        return {
            "distil_flow": self.cfg.flow * masked_mean(distance, weight),
            "distil_image": self.cfg.image * masked_mean(difference, factor * area),
        }


def _error(image: Tensor, target: Tensor, area: Tensor) -> Tensor:
    """L1 inside an area, for each sample: (N, 3, H, W), (N, 1, H, W) -> (N, 1, 1, 1)."""
    error = (image - target).abs().mean(1, keepdim=True) * area
    return error.sum((1, 2, 3), keepdim=True) / (area.sum((1, 2, 3), keepdim=True) + 1)
