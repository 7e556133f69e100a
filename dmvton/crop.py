"""Where to look: crop boxes from keypoints, letterboxes, and a box that follows a person.

Convention: points in pixels count from the centre of the first pixel, so pixel ``i`` covers
[i - 0.5, i + 0.5]. Points in a box are normalised to [-1, 1] from edge to edge of the box
(``align_corners=False``): the centre of its pixel ``i`` of ``n`` is ``(2 i + 1) / n - 1``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from dmvton.keypoints import Keypoint

LEFT_SHOULDER, RIGHT_SHOULDER = Keypoint.LEFT_SHOULDER, Keypoint.RIGHT_SHOULDER
LEFT_HIP, RIGHT_HIP = Keypoint.LEFT_HIP, Keypoint.RIGHT_HIP
TORSO = (LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP)

# Boxes of more pixels are shrunk before they are padded: letterboxing a strip of 30,000 x 1,000
# pixels would otherwise allocate a picture forty times its size.
_MAX_PADDED = 24_000_000


@dataclass(frozen=True)
class CropRule:
    """The hips-up crop that the network is trained on, in torso lengths."""

    height: float = 2.35
    """Crop height over the distance from mid shoulder to mid hip."""
    above: float = 0.78
    """Part of the crop above the mid shoulder, in torso lengths."""
    hip_visibility: float = 0.2
    """Below this the hips are a guess and the shoulders give the scale."""
    torso_of_shoulders: float = 1.4
    """Torso length over shoulder width, where only the shoulders are seen."""
    least_of_shoulders: float = 0.8
    """Lower bound of the torso length over shoulder width: someone leaning to the camera."""


RULE = CropRule()


class Box(NamedTuple):
    """A rectangle of whole pixels; it may reach outside of the picture."""

    x: int  # left edge: its first column
    y: int  # top edge: its first row
    width: int
    height: int

    @property
    def right(self) -> int:
        """First column after the box."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """First row after the box."""
        return self.y + self.height

    def inside(self, height: int, width: int) -> "Box":
        """The part of the box within a picture of this size; its sides may be 0."""
        x, y = min(max(self.x, 0), width), min(max(self.y, 0), height)
        right, bottom = max(min(self.right, width), x), max(min(self.bottom, height), y)
        return Box(x, y, right - x, bottom - y)

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) normalised in the box to pixels of the picture."""
        size = np.array([self.width, self.height], np.float32)
        origin = np.array([self.x, self.y], np.float32)
        return origin + (points + 1) * (size / 2) - np.float32(0.5)


def letterbox(height: int, width: int, size: tuple[int, int]) -> Box:
    """The smallest centred box of the shape of ``size`` (h, w) that holds a whole picture."""
    box_height = max(height, round(width * size[0] / size[1]))
    box_width = max(width, round(height * size[1] / size[0]))
    return Box((width - box_width) // 2, (height - box_height) // 2, box_width, box_height)


def search_boxes(height: int, width: int, size: tuple[int, int]) -> Iterator[Box]:
    """Boxes to look for a person in: the whole picture first, then parts of it.

    The parts fill the shorter way of the picture and share half of it along the longer one, so that
    somebody small in a wide photo is seen larger; the middle comes first.
    """
    yield letterbox(height, width, size)
    part_height = min(height, round(width * size[0] / size[1]))
    part_width = min(width, round(height * size[1] / size[0]))
    spare_x, spare_y = width - part_width, height - part_height
    steps = min(4, round(2 * max(spare_x / part_width, spare_y / part_height)))
    for step in sorted(range(steps + 1), key=lambda k: (abs(2 * k - steps), k)):
        at = step / steps if steps else 0.5
        if steps:
            yield Box(round(spare_x * at), round(spare_y * at), part_width, part_height)


def torso_box(
    keypoints: np.ndarray, size: tuple[int, int], limit: int, rule: CropRule = RULE
) -> Box | None:
    """The hips-up crop of a person.

    Args:
        keypoints: (13, 3) x and y in pixels, visibility in [0, 1].
        size: (h, w) of the network; the box has its shape.
        limit: largest height of the box in pixels.
        rule: the proportions.

    Returns:
        The box, or None where the torso is too small to be one.
    """
    shoulders = (
        keypoints[[LEFT_SHOULDER, RIGHT_SHOULDER], :2] + 0.5
    )  # from here on edges, not centres
    hips = keypoints[[LEFT_HIP, RIGHT_HIP], :2] + 0.5
    mid_shoulder, mid_hip = shoulders.mean(0), hips.mean(0)
    across = float(np.hypot(*(shoulders[0] - shoulders[1])))
    if keypoints[[LEFT_HIP, RIGHT_HIP], 2].max() < rule.hip_visibility:
        torso, mid_hip = rule.torso_of_shoulders * across, mid_shoulder
    else:
        along = float(np.hypot(*(mid_shoulder - mid_hip)))
        torso = max(along, rule.least_of_shoulders * across)
    height = min(rule.height * torso, limit)
    if height < 16:
        return None
    width = height * size[1] / size[0]
    x = (mid_shoulder[0] + mid_hip[0]) / 2 - width / 2
    y = mid_shoulder[1] - rule.above / rule.height * height
    return Box(round(float(x)), round(float(y)), round(width), round(height))


def movement(a: Box, b: Box) -> float:
    """How far apart two boxes are: the largest move of an edge, over the height of the larger."""
    edges_a = np.array([a.x, a.y, a.right, a.bottom])
    edges_b = np.array([b.x, b.y, b.right, b.bottom])
    return float(np.abs(edges_a - edges_b).max() / max(a.height, b.height))


def centre_crop(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle of a picture, as of a stored canvas, whose middle is the hips-up crop.

    Args:
        image: (H, W) or (H, W, C).
        size: (h, w), at most that of the picture; an odd pixel is left at the bottom or right.

    Returns:
        (h, w) or (h, w, C), contiguous.
    """
    y, x = ((full - part) // 2 for full, part in zip(image.shape, size, strict=False))
    return np.ascontiguousarray(image[y : y + size[0], x : x + size[1]])


def sample(
    image: np.ndarray, box: Box, size: tuple[int, int], fill: np.ndarray | None = None
) -> np.ndarray:
    """Cut a box out of a picture and bring it to network size.

    Args:
        image: (H, W, 3) or (H, W) uint8.
        box: overlaps the picture; what lies outside repeats the border, or is ``fill``.
        size: (h, w) of the result.
        fill: (3,) or (1,) colour for what lies outside.

    Returns:
        (h, w, 3) or (h, w) uint8; area average when shrinking, bilinear when enlarging.
    """
    part = box.inside(*image.shape[:2])
    cut = image[part.y : part.bottom, part.x : part.right]
    if box.width * box.height > _MAX_PADDED and part != box:
        shrink = (_MAX_PADDED / (box.width * box.height)) ** 0.5
        small = [max(1, round(side * shrink)) for side in cut.shape[1::-1]]
        cut = cv2.resize(cut, small, interpolation=cv2.INTER_AREA)
    else:
        shrink = 1.0
    edges = (part.y - box.y, box.bottom - part.bottom, part.x - box.x, box.right - part.right)
    if any(edges):
        top, bottom, left, right = (round(edge * shrink) for edge in edges)
        mode = cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT
        value = [] if fill is None else [int(channel) for channel in fill]
        cut = cv2.copyMakeBorder(cut, top, bottom, left, right, mode, value=value)
    shrinking = cut.shape[0] > size[0]
    kind = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return cv2.resize(cut, (size[1], size[0]), interpolation=kind)


@dataclass(frozen=True)
class Smoothing:
    """How the box of a video follows the person."""

    still: float = 0.2
    """Share of a tiny move that is followed at once: keypoints tremble, the box should not."""
    quick: float = 0.12
    """A move of this many box heights a frame is followed wholly."""
    jump: float = 0.5
    """A larger one is another person or another shot: the box starts afresh."""


class Tracker:
    """Smooths the box from frame to frame: slow for a tremble, prompt for a real move."""

    def __init__(self, smoothing: Smoothing | None = None):
        """Start without a box."""
        self.smoothing = smoothing or Smoothing()
        self._state: np.ndarray | None = None  # centre x, centre y, width, height
        self._box: Box | None = None

    @property
    def box(self) -> Box | None:
        """Where to look next; None before the first update and after a reset."""
        return self._box

    def reset(self) -> None:
        """Forget the person."""
        self._state = self._box = None

    def jumps_to(self, target: Box) -> bool:
        """Whether a box is too far off to be the same person in the same shot."""
        return self._box is not None and movement(self._box, target) > self.smoothing.jump

    def update(self, target: Box) -> Box:
        """Follow the box that the newest keypoints ask for.

        Returns:
            The smoothed box.
        """
        goal = np.array(
            [
                target.x + target.width / 2,
                target.y + target.height / 2,
                target.width,
                target.height,
            ]
        )
        if self._state is None or self._box is None or self.jumps_to(target):
            self._state = goal
        else:
            moved = movement(self._box, target)
            still, quick = self.smoothing.still, self.smoothing.quick
            share = min(1.0, still + (1 - still) * moved / quick)
            self._state = self._state + share * (goal - self._state)
        x, y, width, height = self._state
        self._box = Box(round(x - width / 2), round(y - height / 2), round(width), round(height))
        return self._box
