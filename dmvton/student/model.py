"""The student: a parser-free try-on network in two graphs, one a garment and one a frame.

garment ── GarmentEncoder ──> mask, features (cached)
person ─── PersonEncoder ──┬─> Warper: matching (1/16), refinement (1/16, 1/8, 1/4) ─> flow
                           └─> Generator ─> alpha, beta, rendered, gain ─> composite
"""

import torch.nn.functional as F
from torch import Tensor, nn

from dmvton.flow import upsample
from dmvton.student.config import StudentConfig
from dmvton.student.encoders import GarmentCode, GarmentEncoder, PersonEncoder
from dmvton.student.generator import Generator, Large, TryOnOutput
from dmvton.student.warper import Warper


class Student(nn.Module):
    """Garment photo and person crop to try-on picture; no parser, no pose input, no user mask."""

    def __init__(self, cfg: StudentConfig | None = None):
        super().__init__()
        self.cfg = cfg = cfg or StudentConfig()
        self.garment = GarmentEncoder(cfg)
        self.person = PersonEncoder(cfg)
        self.warper = Warper(cfg.width, cfg.thin)
        self.generator = Generator(cfg)

    def forward(
        self, person: Tensor, garment: Tensor, fill: Tensor | None = None
    ) -> tuple[TryOnOutput, GarmentCode]:
        """Pictures (N, 3, H, W) in [0, 1], H and W multiples of 16; for `fill` see `Generator`.

        With a finer level (`StudentConfig.fine`) multiples of 32.
        """
        code = self.encode(garment)
        return self.frame(person, garment, code, fill), code

    def encode(self, garment: Tensor) -> GarmentCode:
        """What is cached of a garment picture; the mask has the picture's size."""
        if not self.cfg.fine:
            return self.garment(garment)
        code = self.garment(F.avg_pool2d(garment, 2))
        return code._replace(mask=upsample(code.mask, 2))

    def frame(
        self, person: Tensor, garment: Tensor, code: GarmentCode, fill: Tensor | None = None
    ) -> TryOnOutput:
        """One frame with a cached garment."""
        large = None
        if self.cfg.fine:
            large = Large(person, garment, self.person.trunk.detail(person))
            person, garment = F.avg_pool2d(person, 2), F.avg_pool2d(garment, 2)
            code = code._replace(mask=F.avg_pool2d(code.mask, 2))
        maps, pose = self.person(person)
        warped = self.warper(maps, code)
        return self.generator(person, garment, code, maps, warped, pose, fill, large)
