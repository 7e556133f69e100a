"""The teacher: a parser-based try-on network, for training only.

It sees the person without the clothes, so that nothing of the old garment can shine through:

agnostic person ─ PersonEncoder ─┐
parsing, body map ─ Conditions ──┴─> maps ─> Warper ─> Generator ─> picture
garment ───────── GarmentEncoder ───────────────┘

Warper and generator have the student's interface (`Warp`, `TryOnOutput`).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dmvton.student.config import StudentConfig
from dmvton.student.encoders import GarmentCode, GarmentEncoder, PersonEncoder, PersonMaps, Pose
from dmvton.student.generator import Generator, TryOnOutput
from dmvton.student.layers import fuse
from dmvton.student.warper import Warper
from dmvton.teacher.sight import CLASSES, PARTS, Sight


@dataclass(frozen=True)
class TeacherConfig(StudentConfig):
    """Sizes of the teacher; `width` is the student's, so that their modules can be swapped."""

    decoder: tuple[int, int, int, int, int] = (160, 112, 80, 48, 32)
    """Decoder channels at strides 16, 8, 4, 2, 1."""
    tokens: int = 4
    """Transformer layers over the person's stride-16 tokens."""
    rounds: int = 2
    """Flow refinements at each scale."""
    conditions: int = 64
    """Channels of the encoder of parsing and body map."""


class Conditions(nn.Module):
    """Parsing and body map to additions to the person maps at strides 4, 8 and 16."""

    def __init__(self, cfg: TeacherConfig):
        super().__init__()
        c = cfg.conditions
        self.stem = fuse(CLASSES + 1 + PARTS + 1, c, 5)
        self.down = nn.ModuleList(
            nn.Sequential(nn.AvgPool2d(2), fuse(c, c, 5), fuse(c, c, 5)) for _ in range(2)
        )
        self.heads = nn.ModuleList(nn.Conv2d(c, cfg.width, 1) for _ in range(3))

    def forward(self, sight: Sight) -> tuple[Tensor, Tensor, Tensor]:
        """Conditions at stride 4 -> maps (N, width, H/s, W/s) for s in 4, 8, 16."""
        known = nn.functional.avg_pool2d(sight.known, 4)
        x = self.stem(torch.cat([sight.parsing, sight.body, known], 1))
        maps = [self.heads[0](x)]
        for down, head in zip(self.down, list(self.heads)[1:], strict=True):
            x = down(x)
            maps.append(head(x))
        return tuple(maps)


class Teacher(nn.Module):
    """Garment photo and a person without clothes to try-on picture."""

    def __init__(self, cfg: TeacherConfig | None = None):
        super().__init__()
        self.cfg = cfg = cfg or TeacherConfig()
        self.garment = GarmentEncoder(cfg)
        self.person = PersonEncoder(cfg)
        self.conditions = Conditions(cfg)
        self.warper = Warper(cfg.width, cfg.thin, cfg.rounds)
        self.generator = Generator(cfg)

    def forward(
        self, sight: Sight, garment: Tensor, fill: Tensor | None = None
    ) -> tuple[TryOnOutput, GarmentCode]:
        """What is seen of the person, and the garment picture (N, 3, H, W) in [0, 1]."""
        code = self.garment(garment)
        maps, pose = self.maps(sight)
        warped = self.warper(maps, code)
        return self.generator(sight.agnostic, garment, code, maps, warped, pose, fill), code

    def maps(self, sight: Sight) -> tuple[PersonMaps, Pose]:
        """Features and pose of what is seen of the person."""
        maps, pose = self.person(sight.agnostic)
        c4, c8, c16 = self.conditions(sight)
        return PersonMaps(maps.p2, maps.p4 + c4, maps.p8 + c8, maps.p16 + c16), pose
