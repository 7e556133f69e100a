"""A small network that finds the landmarks and the mask of a top in a photo; needs torch.

It learns from the garments whose outline tells the landmarks, laid anew with hanging sleeves, and
then reads the photos whose outline does not.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pose_synth.fit import fit
from pose_synth.laid import SIZE, Source, draw_laid, random_affine
from pose_synth.landmarks import mirrored

POINTS = 12
WIDTHS = (16, 32, 64, 96)
SIGMA = 0.8  # of a landmark's heat, in heat pixels
STRIDE = 4
HEAT = (SIZE[1] // STRIDE, SIZE[0] // STRIDE)  # (rows, columns) of the heat maps


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
                         nn.BatchNorm2d(outputs), nn.ReLU())  # fmt: skip


class LandmarkNet(nn.Module):
    """A U-Net of a third of a million weights."""

    def __init__(self):
        super().__init__()
        self.stem = _conv(4, WIDTHS[0], 2)
        self.down = nn.ModuleList(
            nn.Sequential(_conv(a, b, 2), _conv(b, b))
            for a, b in zip(WIDTHS, [*WIDTHS[1:], WIDTHS[-1]], strict=True)
        )
        above = WIDTHS[-1]
        up = []
        for width in reversed(WIDTHS[1:]):
            up.append(_conv(above + width, width))
            above = width
        self.up = nn.ModuleList(up)
        self.head = nn.Conv2d(WIDTHS[1], POINTS + 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 4, 96, 72) colours and guessed mask in [0, 1] -> (B, 13, 24, 18) logits."""
        x = self.stem(x - 0.5)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)
        for up, skip in zip(self.up, reversed(skips[1:]), strict=True):
            x = F.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=False)
            x = up(torch.cat([x, skip], 1))
        return self.head(x)


def as_input(image: np.ndarray, guess: np.ndarray) -> Tensor:
    """(4, H, W) float32 of a BGR picture and a mask, both uint8."""
    return torch.from_numpy(np.dstack([image, guess])).permute(2, 0, 1).float() / 255


def heat(points: np.ndarray) -> Tensor:
    """(12, 24 * 18) distributions about the landmarks (12, 2) in picture pixels."""
    y, x = np.mgrid[: HEAT[0], : HEAT[1]]
    at = (points + 0.5) / STRIDE - 0.5
    away = (x[None] - at[:, 0, None, None]) ** 2 + (y[None] - at[:, 1, None, None]) ** 2
    value = np.exp(-away / (2 * SIGMA**2)).reshape(POINTS, -1) + 1e-12
    return torch.from_numpy((value / value.sum(1, keepdims=True)).astype(np.float32))


def loss(logits: Tensor, target: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Cross-entropies of landmarks (B, 12, N) and mask (B, 24, 18)."""
    flat = F.log_softmax(logits[:, :POINTS].flatten(2), 2)
    return {"points": -(target * flat).sum(2).mean(),
            "mask": 4 * F.binary_cross_entropy_with_logits(logits[:, POINTS], mask)}  # fmt: skip


def read_points(logits: Tensor) -> np.ndarray:
    """Landmarks (B, 12, 2) in picture pixels: the heat's mean about its peak."""
    chance = F.softmax(logits[:, :POINTS].flatten(2), 2)
    peak = chance.argmax(2)  # (B, 12)
    y, x = torch.meshgrid(torch.arange(HEAT[0]), torch.arange(HEAT[1]), indexing="ij")
    at = torch.stack([x, y], 2).reshape(-1, 2).float()
    near = (at[None, None] - at[peak][:, :, None]).norm(dim=3) < 2.5
    weight = chance * near
    mean = (weight[..., None] * at).sum(2) / weight.sum(2, keepdim=True)
    return ((mean + 0.5) * STRIDE - 0.5).numpy()


def _batch(rng: np.random.Generator, sources: Sequence[Source], size: int, as_is: float):
    pictures, targets, masks = [], [], []
    for i in rng.integers(len(sources), size=size):
        one = draw_laid(rng, sources[i], as_is)
        image, guess, mask, points = one
        if rng.random() < 0.5:
            image, guess, mask = image[:, ::-1], guess[:, ::-1], mask[:, ::-1]
            points = mirrored(points, SIZE[0])
        pictures.append(as_input(np.ascontiguousarray(image), guess))
        targets.append(heat(points))
        small = cv2.resize(mask.astype(np.float32), HEAT[::-1], interpolation=cv2.INTER_AREA)
        masks.append(torch.from_numpy(small))
    return torch.stack(pictures), torch.stack(targets), torch.stack(masks)


def train(net: LandmarkNet, sources: Sequence[Source], steps: int, seed: int = 0,
          rate: float = 3e-3, as_is: float = 0.3, batch: int = 24) -> None:  # fmt: skip
    """Trains in place; half a second of one core a step. The learning rate falls to nothing."""
    rng = np.random.default_rng(seed)

    def losses() -> dict[str, Tensor]:
        pictures, targets, masks = _batch(rng, sources, batch, as_is)
        return loss(net(pictures.to(memory_format=torch.channels_last)), targets, masks)

    groups = [{"params": net.parameters(), "lr": rate, "weight_decay": 1e-4}]
    fit(net, groups, steps, 0.05, losses)


class Found(NamedTuple):
    """What the network reads off one picture."""

    points: np.ndarray  # (12, 2) picture pixels, mean of all views
    spread: float  # how far the views disagree about the worst landmark, in torso lengths
    mask: np.ndarray  # (96, 72) float32, chance that a pixel is garment


@torch.no_grad()
def find(net: LandmarkNet, image: np.ndarray, guess: np.ndarray, views: int = 6) -> Found:
    """Landmarks of a picture (96, 72, 3) uint8 with a guessed mask (96, 72) uint8.

    Half of the views are seen in a mirror, two of them without the guess.
    """
    rng = np.random.default_rng(0)
    corners = np.array([(4, 4), (SIZE[0] - 5, SIZE[1] - 5)], float)
    pictures, matrices = [], []
    for k in range(views):
        matrix = np.eye(3)
        if k >= 2:
            matrix[:2] = random_affine(rng, corners)
        if k % 2:
            matrix = np.array([[-1, 0, SIZE[0] - 1], [0, 1, 0], [0, 0, 1]]) @ matrix
        seen = guess if k not in (2, 3) else np.zeros_like(guess)
        warped = cv2.warpAffine(image, matrix[:2], SIZE, borderMode=cv2.BORDER_REFLECT)
        pictures.append(as_input(warped, cv2.warpAffine(seen, matrix[:2], SIZE)))
        matrices.append(np.linalg.inv(matrix))
    logits = net(torch.stack(pictures))
    points = []
    for k, (found, back) in enumerate(zip(read_points(logits), matrices, strict=True)):
        found = found @ back[:2, :2].T + back[:2, 2]
        points.append(np.concatenate([found[6:], found[:6]]) if k % 2 else found)
    stack = np.stack(points)
    centre = np.median(stack, 0)
    torso = np.linalg.norm(centre[[0, 6]].mean(0) - centre[[5, 11]].mean(0)) + 1e-6
    away = np.linalg.norm(stack - centre, axis=2).mean(0)  # (12,)
    chance = torch.sigmoid(logits[0, POINTS]).numpy()
    return Found(centre, float(away.max() / torso),
                 cv2.resize(chance, SIZE, interpolation=cv2.INTER_LINEAR))  # fmt: skip
