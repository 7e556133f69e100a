"""The student: a parser-free try-on network in two graphs, one a garment and one a frame.

garment ── GarmentEncoder ──> mask, features (cached)
person ─── PersonEncoder ──┬─> Warper: matching (1/16), refinement (1/16, 1/8, 1/4) ─> flow
                           └─> Generator ─> alpha, beta, rendered, gain ─> composite
"""

from torch import Tensor, nn

from dmvton.student.config import StudentConfig
from dmvton.student.encoders import GarmentCode, GarmentEncoder, PersonEncoder
from dmvton.student.generator import Generator, TryOnOutput
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
        """Pictures (N, 3, H, W) in [0, 1], H and W multiples of 16; for `fill` see `Generator`."""
        code = self.garment(garment)
        return self.frame(person, garment, code, fill), code

    def frame(
        self, person: Tensor, garment: Tensor, code: GarmentCode, fill: Tensor | None = None
    ) -> TryOnOutput:
        """One frame with a cached garment."""
        maps, pose = self.person(person)
        return self.generator(person, garment, code, maps, self.warper(maps, code), pose, fill)
