"""A finer answer: composite weights and pixels at twice the size that the rest of the student sees.

Where a garment goes is decided by matching, 16 by 12 places of a crop of 256x192, and no larger
picture tells more of it (docs/MODEL_CARD.md). What does need pixels is where the garment ends: at
hair, fingers, a collar. So a student of 512x384 is that of 256x192, unchanged, with one level more
in its decoder, that alone is trained and starts by changing nothing.
"""

import torch
from torch import Tensor, nn

from dmvton.student.config import StudentConfig
from dmvton.student.layers import Junction, double, fuse
from dmvton.student.trunk import CHANNELS


class Fine(nn.Module):
    """The level of the decoder at twice the size."""

    def __init__(self, cfg: StudentConfig, outputs: int):
        """`outputs` are the channels of the last layer."""
        super().__init__()
        self.near = fuse(cfg.decoder[-1] + CHANNELS[0] + 4, 2 * cfg.fine, 5)
        self.top = Junction(2 * cfg.fine, 3, cfg.fine)
        self.out = nn.Conv2d(cfg.fine, outputs, 1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, raw: Tensor, hidden: Tensor, detail: Tensor, cloth: Tensor, person: Tensor
    ) -> Tensor:
        """The last layer's answer, enlarged and corrected.

        Args:
            raw: (N, outputs, H/2, W/2), that of the decoder below.
            hidden: (N, C, H/2, W/2), what it was read from.
            detail: (N, 16, H/2, W/2), the trunk's stride-2 features of the large crop.
            cloth: (N, 4, H/2, W/2), the warped garment and its mask.
            person: (N, 3, H, W) in [0, 1], the large crop.

        Returns:
            (N, outputs, H, W).
        """
        x = self.near(torch.cat([hidden, detail, cloth], 1))
        return double(raw, "bilinear") + self.out(self.top(x, [person]))
