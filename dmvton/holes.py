"""Holes in the new garment through which a button, a badge or a piece of a scarf still shows.

The network keeps what lies in front of the garment: hair, bags, hands. Now and then it keeps a
thing of the old garment as well, or part of one. It leaves a small hole then, all around which
there is new cloth; what is really in front is larger, reaches beyond the garment or is near a hand.
Of what it paints, skin and the like, an island in the garment is a hole as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from dmvton.crop import TORSO, Box
from dmvton.hem import Torso
from dmvton.keypoints import Keypoint
from dmvton.runtime import Layers

_WRISTS = (Keypoint.LEFT_WRIST, Keypoint.RIGHT_WRIST)


@dataclass(frozen=True)
class HoleRule:
    """Which holes are closed."""

    area: float = 0.07
    """Of a hole at most, in squared torso lengths: a pocket's; a hand has more."""
    hand: float = 0.4
    """Torso lengths from a wrist that is seen, within which a hole may be a hand or what it has."""
    seen: float = 0.85
    """From this visibility on a wrist is seen."""
    aside: float = 0.9
    """Share of the garment's half width that a hole may lie off its middle: between an arm and the
    torso there is none of it."""
    neck: int = 2
    """Network pixels: holes are also looked at without what is no wider than twice that, by which a
    badge hangs together with what is below the hem."""
    grow: int = 3
    """Network pixels about a hole that are covered with it: the rim of what shows through."""


HOLES = HoleRule()


def without_holes(
    alpha: np.ndarray, layers: Layers, torso: Torso | None, rule: HoleRule = HOLES
) -> np.ndarray:
    """Alpha with small holes closed.

    Args:
        alpha: (h, w) float32 in [0, 1], weight of the warped garment.
        layers: the network's answer.
        torso: of the garment in its letterbox at (h, w).
        rule: which holes.

    Returns:
        (h, w) float32 in [0, 1]; `alpha` itself where there is no such hole.
    """
    if torso is None:
        return alpha
    box = Box(0, 0, alpha.shape[1], alpha.shape[0])
    points = box.to_pixels(layers.keypoints[:, :2])
    a, b, c, d = (points[k] for k in TORSO)
    length = float(np.linalg.norm((c + d - a - b) / 2))
    hands = [points[k] for k in _WRISTS if layers.keypoints[k, 2] >= rule.seen]
    open_ = (alpha + (1 - alpha) * layers.beta < 0.5).astype(np.uint8)
    square = np.ones((2 * rule.neck + 1,) * 2, np.uint8)
    wide = cv2.dilate(cv2.morphologyEx(open_, cv2.MORPH_OPEN, square), square) & open_
    closed = np.zeros(alpha.shape, np.uint8)
    for area in (open_, wide, (alpha < 0.5).astype(np.uint8)):
        for part, hole in _small(area, rule.area * length**2):
            rows, columns = np.nonzero(hole)
            away = [np.hypot(columns + part[1].start - x, rows + part[0].start - y).min()
                    for x, y in hands]  # fmt: skip
            at = box.to_pixels(layers.flow[part][hole])
            on_torso = np.abs(at[:, 0] - torso.middle) <= rule.aside * torso.half
            on_torso &= (at[:, 1] >= torso.top) & (at[:, 1] <= torso.bottom)
            if on_torso.all() and min(away, default=np.inf) > rule.hand * length:
                closed[part][hole] = 1
    if not closed.any():
        return alpha
    size = 2 * rule.grow + 1
    grown = cv2.dilate(closed, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    return np.where(grown > 0, np.float32(1), alpha)


def _small(area: np.ndarray, most: float) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Connected parts of at most so many pixels within the picture: where, and (h', w') bool."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(area, connectivity=8)
    for label in range(1, count):
        x, y, wide, high, pixels = stats[label]
        inside = x > 0 and y > 0 and x + wide < area.shape[1] and y + high < area.shape[0]
        if inside and pixels <= most:
            part = slice(y, y + high), slice(x, x + wide)
            yield part, labels[part] == label
