"""A network that parses street photos, trained on the labelled ones; needs torch.

Half of Clothing Co-Parsing has no pixel labels, but tags: which clothes are to be seen. The network
learns from the labelled half and reads the other one, the tags ruling out what is not there.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmvton.parsing import Parsing
from dmvton.student.layers import Junction, Pyramid, TokenBlock, separable
from dmvton.student.trunk import CHANNELS, Trunk
from pose_synth.fit import fit
from pose_synth.labels import TOPS

WIDTH = 64
STRIDE = 2


class Canvas(NamedTuple):
    """A photo about the person's torso, and its labels where there are any."""

    image: np.ndarray  # (336, 256, 3) uint8 BGR
    labels: np.ndarray  # (336, 256) uint8 of Parsing


class ParserNet(nn.Module):
    """An ImageNet trunk and a small decoder."""

    def __init__(self):
        super().__init__()
        self.trunk = Trunk()
        self.pyramid = Pyramid(WIDTH)
        self.tokens = nn.Sequential(TokenBlock(WIDTH), TokenBlock(WIDTH))
        self.d8 = Junction(WIDTH, WIDTH, WIDTH, 5, mode="bilinear")
        self.d4 = Junction(WIDTH, WIDTH, WIDTH, 5, mode="bilinear")
        self.d2 = Junction(WIDTH, CHANNELS[0], WIDTH // 2, mode="bilinear")
        self.head = nn.Sequential(
            separable(WIDTH // 2, WIDTH // 2, 5), nn.Conv2d(WIDTH // 2, len(Parsing), 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) RGB in [0, 1] -> logits (N, 11, H / 2, W / 2)."""
        f = self.trunk(image)
        p4, p8, p16 = self.pyramid(f)
        tokens = self.tokens(p16.flatten(2).transpose(1, 2))
        x = tokens.transpose(1, 2).reshape(p16.shape)
        x = self.d4(self.d8(x, [p8]), [p4])
        return self.head(self.d2(x, [f.s2]))


def as_input(image: np.ndarray) -> Tensor:
    """(3, H, W) float32 RGB in [0, 1] of a BGR picture (H, W, 3) uint8."""
    return torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1).float() / 255


def _view(rng: np.random.Generator, canvas: Canvas) -> tuple[Tensor, Tensor]:
    """The canvas turned, scaled, shifted, mirrored and in another light."""
    height, width = canvas.labels.shape
    zoom, turn = np.exp(rng.uniform(-0.3, 0.3)), rng.normal(0, 7)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, zoom)
    matrix[:, 2] += rng.normal(0, 0.06, 2) * (width, height)
    image = cv2.warpAffine(canvas.image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    labels = cv2.warpAffine(canvas.labels, matrix, (width, height), flags=cv2.INTER_NEAREST,
                            borderMode=cv2.BORDER_REFLECT)  # fmt: skip
    if rng.random() < 0.5:
        image, labels = image[:, ::-1], labels[:, ::-1]
    light = np.float32(np.exp(rng.normal(0, 0.25)))
    lit = as_input(image) ** light * torch.from_numpy(rng.normal(1, 0.08, (3, 1, 1))).float()
    half = np.ascontiguousarray(labels[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE])
    return lit.clamp(0, 1), torch.from_numpy(half).long()


def train(net: ParserNet, canvases: Sequence[Canvas], steps: int, seed: int = 0,
          rate: float = 2e-3, batch: int = 8) -> None:  # fmt: skip
    """Trains in place; about a second of one core a step. The learning rate falls to nothing."""
    rng = np.random.default_rng(seed)
    trunk = [p for n, p in net.named_parameters() if "trunk." in n and p.requires_grad]
    rest = [p for n, p in net.named_parameters() if "trunk." not in n]
    groups = [{"params": rest, "lr": rate, "weight_decay": 1e-3},
              {"params": trunk, "lr": rate / 4, "weight_decay": 1e-3}]  # fmt: skip

    def losses() -> dict[str, Tensor]:
        views = [_view(rng, canvases[i]) for i in rng.integers(len(canvases), size=batch)]
        pictures, labels = (torch.stack(x) for x in zip(*views, strict=True))
        logits = net(pictures.to(memory_format=torch.channels_last))
        return {"labels": F.cross_entropy(logits, labels)}

    fit(net, groups, steps, 0.1, losses)


class Parsed(NamedTuple):
    """What the network reads off one canvas."""

    labels: np.ndarray  # (H, W) uint8 of Parsing
    agreement: float  # IoU of the top between the canvas and its mirror image
    certainty: float  # mean chance of the chosen class, where the top is


_TAGGED = (*TOPS, Parsing.LOWER, Parsing.SHOES, Parsing.BAG)  # of other classes, tags are few


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two masks; 1 for two empty ones."""
    union = (one | other).sum()
    return float((one & other).sum() / union) if union else 1.0


@torch.no_grad()
def parse(net: ParserNet, image: np.ndarray, present: set[Parsing]) -> Parsed:
    """Labels of a canvas (H, W, 3) uint8 BGR on which the clothes of `present` are to be seen."""
    seen = as_input(image)
    views = torch.stack([seen, seen.flip(2)]).to(memory_format=torch.channels_last)
    logits = F.interpolate(net(views), scale_factor=float(STRIDE), mode="bilinear",
                           align_corners=False)  # fmt: skip
    absent = [c for c in _TAGGED if c not in present]
    logits[:, absent] = -torch.inf
    chance = logits.softmax(1)
    chance[1] = chance[1].flip(2)
    both = [np.isin(c.argmax(0).numpy(), TOPS) for c in chance]
    mean = chance.mean(0)
    best, labels = mean.max(0)
    found = labels.numpy().astype(np.uint8)
    top = np.isin(found, TOPS)
    certainty = float(best.numpy()[top].mean()) if top.any() else 0.0
    return Parsed(found, iou(*both), certainty)
