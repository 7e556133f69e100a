"""An adversarial term: a critic that tells rendered pixels from photographed ones.

Means over what might be there (an arm, or the wall behind it) are cheapest under every other term,
and look like neither. The critic judges features of a frozen trunk (projected GAN, Sauer et al.
2021), so that only its small heads have to be trained, and these learn in a few hundred steps.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from dmvton.batch import Batch
from dmvton.losses import dilate, masked_mean
from dmvton.student.generator import TryOnOutput
from dmvton.student.trunk import CHANNELS, Trunk


@dataclass(frozen=True)
class CriticConfig:
    """How a critic is used."""

    weight: float = 0.0
    """Weight of the adversarial term; 0 leaves the critic out."""
    lr: float = 0.3
    """Learning rate of the critic as a share of the network's."""
    width: int = 64
    """Channels of the heads."""


class Critic(nn.Module):
    """Scores of places at strides 4, 8 and 16: high for photographed, low for rendered."""

    def __init__(self, cfg: CriticConfig):
        super().__init__()
        self.cfg = cfg
        self.trunk = Trunk(frozen_stages=5)
        self.heads = nn.ModuleList(_head(c, cfg.width) for c in CHANNELS[1:])

    def terms(self, out: TryOnOutput, batch: Batch) -> dict[str, Tensor]:
        """`adversarial`, weighted, for the network, and `critic` for the critic's own heads.

        Only samples whose target is a photo are judged, and only where it shows what the old
        garment hid: the flow has the truth to learn from, and must not bend to please a critic.
        """
        counts = batch.photo * batch.tryon
        chosen = counts.flatten() > 0
        if not chosen.any():  # of this process's part; the others wait for its share of the means
            chosen[0] = True
        worn = (out.warped * out.gain.detach()).clamp(0, 1)
        garment = out.alpha.detach() * (worn - worn.detach())  # zeros, but for the gradient
        drawn = self.trunk((out.image - garment)[chosen])[1:]
        with torch.no_grad():
            truth = self.trunk(batch.target[chosen])[1:]
        bared = dilate(batch.person_mask, 3) * (1 - batch.target_mask) * counts
        where = [F.interpolate(bared[chosen], size=f.shape[2:], mode="area") for f in truth]
        self.heads.requires_grad_(False)
        fooled = self._mean(self._scores(drawn), where, lambda s: -s)
        self.heads.requires_grad_(True)
        real, fake = self._scores(truth), self._scores([f.detach() for f in drawn])
        critic = self._mean(real, where, lambda s: F.relu(1 - s))
        critic = critic + self._mean(fake, where, lambda s: F.relu(1 + s))
        return {"adversarial": self.cfg.weight * fooled, "critic": critic}

    def _scores(self, features) -> list[Tensor]:
        return [head(f) for head, f in zip(self.heads, features, strict=True)]

    @staticmethod
    def _mean(scores, where, of) -> Tensor:
        means = [masked_mean(of(s), w) for s, w in zip(scores, where, strict=True)]
        return torch.stack(means).mean()


def _head(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        spectral_norm(nn.Conv2d(channels, width, 1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(width, width, 3, 1, 1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(width, 1, 1)),
    )
