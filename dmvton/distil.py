"""What the student learns from a trained teacher.

Three ways, all on samples whose truth is known:

- Redressing: the teacher dresses the person of a photographed target in some other garment of the
  batch, and the student has to undo it. So the input is a network's picture and the target a real
  one (appearance flow without parsers, Ge et al. 2021).
- Distillation: flow and picture of the teacher, weighted for each sample by how much nearer to the
  truth the teacher is (the adjustable factor of DM-VTON): a teacher that is worse teaches nothing.
- Module to module: one half of the student is trained in the place of the teacher's, between the
  frozen modules of the teacher, then the other half, then both together.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from dmvton.batch import Batch
from dmvton.errors import UsageError
from dmvton.losses import masked_mean
from dmvton.networks import load_network
from dmvton.student.encoders import GarmentCode
from dmvton.student.generator import TryOnOutput
from dmvton.student.model import Student
from dmvton.teacher.model import Teacher
from dmvton.teacher.sight import Sight, sight_of, sight_of_target


@dataclass(frozen=True)
class DistilConfig:
    """How a teacher is used."""

    teacher: Path | None = None
    """Checkpoint folder of the teacher; without one nothing is distilled."""
    redress: float = 0.4
    """Share of the batches in which the teacher makes the inputs of product D."""
    flow: float = 1.0
    """Weight of the distance to the teacher's flow."""
    image: float = 1.0
    """Weight of the distance to the teacher's picture."""
    half: Literal["both", "warp", "generator"] = "both"
    """What is trained: all of the student, its encoders and warp module before the teacher's
    generator, or its generator behind the teacher's warp module. The rest stays as it is."""


class Tutor:
    """A frozen teacher."""

    def __init__(self, cfg: DistilConfig, device: torch.device | str = "cpu"):
        assert cfg.teacher is not None
        self.cfg = cfg
        self.teacher = load_network("teacher", cfg.teacher).requires_grad_(False).to(device)

    @torch.no_grad()
    def redressed(self, batch: Batch) -> Batch:
        """The batch, each photographed target dressed in the next sample's garment as its input."""
        out, _ = self.teacher(
            sight_of_target(batch), batch.garment.roll(1, 0), batch.garment_fill.roll(1, 0)
        )
        # Only inputs that were made anyway: from a photo in its own clothes the student learns what
        # real ones look like, and takes them off.
        valid = batch.photo * batch.tryon > 0
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


class Grafted(nn.Module):
    """A student with one half in use, the other one lent by the frozen teacher.

    Both halves speak `Warp`, and teacher and student have maps of the same width. What the student
    does not use is frozen, so that a later stage finds it as it was.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module, half: Literal["warp", "generator"]):
        """Freezes the teacher, and what `half` does not name of the student.

        Raises:
            UsageError: the maps of the two differ in width.
        """
        super().__init__()
        assert isinstance(student, Student) and isinstance(teacher, Teacher)
        if student.cfg.width != teacher.cfg.width:
            raise UsageError(
                f"distil.half: the student's width is {student.cfg.width}, the teacher's "
                f"{teacher.cfg.width}; expected the same"
            )
        self.student, self.teacher, self.trained = student, teacher, half
        teacher.requires_grad_(False)
        for name, module in student.named_children():
            if (name == "generator") != (half == "generator"):
                module.requires_grad_(False)

    def train(self, mode: bool = True) -> "Grafted":
        """Training mode for what is trained; the frozen modules keep their statistics."""
        super().train(mode)
        self.teacher.eval()
        for name, module in self.student.named_children():
            if (name == "generator") != (self.trained == "generator"):
                module.eval()
        return self

    def forward(
        self, person: Tensor, sight: Sight, garment: Tensor, fill: Tensor | None = None
    ) -> tuple[TryOnOutput, GarmentCode]:
        """The person (N, 3, H, W) in [0, 1], what the teacher sees of it, and the garment."""
        student, teacher = self.student, self.teacher
        code = student.garment(garment)
        maps, pose = student.person(person)
        if self.trained == "warp":
            warped = student.warper(maps, code)
            known, seen = teacher.garment(garment), teacher.maps(sight)[0]
            out = teacher.generator(sight.agnostic, garment, known, seen, warped, pose, fill)
        else:
            warped = teacher.warper(teacher.maps(sight)[0], teacher.garment(garment))
            out = student.generator(person, garment, code, maps, warped, pose, fill)
        return out, code


def _error(image: Tensor, target: Tensor, area: Tensor) -> Tensor:
    """L1 inside an area, for each sample: (N, 3, H, W), (N, 1, H, W) -> (N, 1, 1, 1)."""
    error = (image - target).abs().mean(1, keepdim=True) * area
    return error.sum((1, 2, 3), keepdim=True) / (area.sum((1, 2, 3), keepdim=True) + 1)
