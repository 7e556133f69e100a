"""What hangs on an old top and goes with it: scarves, ties, badges, buttons, pockets, zips.

A photo whose target is the same photo keeps them all, so a network that has seen only such pairs
leaves them lying on the new garment. Here inputs get them and targets don't.
"""

import cv2
import numpy as np

from dmvton.parsing import Parsing
from dmvton.patterns import random_colour
from pose_synth.borrowed import WornTop, anchors_of, mirrored, put_over
from pose_synth.garments import Garment
from pose_synth.outfit import Outfit, below_shoulders
from pose_synth.persons import square
from pose_synth.products import soft_mask
from pose_synth.worn import torso_frame

ZOOM = 4  # small things are drawn this much larger and averaged
MIN_NECKWEAR = 0.015  # in squared torso lengths; a necklace has less
LOWEST, WIDEST = 0.55, 0.35  # torso lengths from the neck; further away are belts and bracelets


def neckwear(outfit: Outfit) -> np.ndarray:
    """Mask (H, W) bool of a scarf or a tie; empty where somebody wears neither."""
    down, across = below_shoulders(outfit)
    length = torso_frame(outfit.points[:, :2]).length
    worn = (outfit.parsing == Parsing.ACCESSORY).astype(np.uint8)
    # Chains and straps are thin.
    thick = cv2.morphologyEx(worn, cv2.MORPH_OPEN, square(5, outfit.scale)) > 0
    near = thick & (down > -0.3) & (down < LOWEST) & (np.abs(across) < WIDEST * length)
    if near.sum() < MIN_NECKWEAR * length**2:
        return np.zeros_like(thick)
    _, parts = cv2.connectedComponents(worn)
    return np.isin(parts, np.unique(parts[near])) & (worn > 0)


def neckwear_of(outfits: list[Outfit]) -> list[WornTop]:
    """Scarves and ties cut out of photos, each also mirrored."""
    found = [(o, neckwear(o)) for o in outfits]
    cut = [WornTop(o.key, o.image, soft_mask(m), anchors_of(o)) for o, m in found if m.any()]
    return cut + [mirrored(one) for one in cut]


def with_neckwear(
    rng: np.random.Generator, worn: WornTop, cloth: Garment | None, outfit: Outfit,
    image: np.ndarray, mask: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """A picture of the person with somebody's scarf or tie, and the mask of top and neckwear.

    Args:
        rng: for what is drawn at random.
        worn: the scarf or tie.
        cloth: a garment whose cloth it is made of; None keeps its own.
        outfit: the person, for pose and parsing.
        image: (H, W, 3) uint8, the person.
        mask: (H, W) float32, the top in `image`.

    Returns:
        Picture and mask; both as they were where the scarf can't be laid on this person.
    """
    made = worn if cloth is None else worn._replace(image=_woven(rng, worn, cloth))
    over = put_over(made, outfit, image, cover=0.0)
    if over is None:
        return image, mask
    return over[0], np.maximum(mask, over[1])


def _woven(rng: np.random.Generator, worn: WornTop, cloth: Garment) -> np.ndarray:
    """The picture of the neckwear in another cloth, with its own folds."""
    light = cv2.cvtColor(worn.image, cv2.COLOR_BGR2GRAY).astype(np.float32) + 20
    shade = np.clip(light / np.median(light[worn.alpha > 0.5]), 0.5, 1.4)[..., None]
    height, width = worn.alpha.shape
    turn, zoom = rng.uniform(0, 360), rng.uniform(0.5, 1.5)
    middle = (cloth.mesh.torso.reshape(-1, 2).mean(0)).astype(float)
    matrix = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), turn, zoom)
    matrix[:, 2] += np.array([width, height]) / 2 - middle
    drawn = cv2.warpAffine(cloth.extended, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    return np.clip(drawn * shade, 0, 255).astype(np.uint8)


class _Ink:
    """A canvas for small things, drawn large: colours and where they cover."""

    def __init__(self, rng: np.random.Generator, outfit: Outfit):
        self.rng, self.frame = rng, torso_frame(outfit.points[:, :2])
        height, width = outfit.region.shape
        self.paint = np.zeros((height * ZOOM, width * ZOOM, 3), np.uint8)
        self.cover = np.zeros((height * ZOOM, width * ZOOM), np.uint8)

    def at(self, down: float, across: float) -> np.ndarray:
        """Canvas pixels of a place on the torso, in torso lengths from the neck."""
        f = self.frame
        return (f.neck + (f.down * down + f.across * across) * f.length + 0.5) * ZOOM

    def size(self, share: float) -> int:
        """Canvas pixels of a length in torso lengths."""
        return max(ZOOM // 2, round(share * self.frame.length * ZOOM))

    def shape(self, corners: np.ndarray, colour, opacity: float = 1.0) -> None:
        """A filled polygon (N, 2) in canvas pixels."""
        points = [np.round(corners).astype(np.int32)]
        cv2.fillPoly(self.paint, points, colour)
        cv2.fillPoly(self.cover, points, round(255 * opacity))

    def line(self, points: np.ndarray, colour, width: int, opacity: float = 1.0) -> None:
        """An open line through points (N, 2) in canvas pixels."""
        path = [np.round(points).astype(np.int32)]
        cv2.polylines(self.paint, path, False, colour, width)
        cv2.polylines(self.cover, path, False, round(255 * opacity), width)


def _outline(rng: np.random.Generator, centre: np.ndarray, size: float) -> np.ndarray:
    """Corners (N, 2) of a disc, a plate or a star about a centre."""
    kind, turn = rng.random(), rng.uniform(0, 2 * np.pi)
    count = 24 if kind < 0.5 else int(rng.choice([3, 4, 4, 5, 6]))
    angle = turn + np.arange(count) * 2 * np.pi / count
    radius = np.full(count, float(size))
    if kind > 0.85:
        radius[::2] *= rng.uniform(0.4, 0.8)
    squash = np.array([1.0, rng.uniform(0.5, 1.0)])
    return centre + np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None] * squash


def _badge(ink: _Ink) -> None:
    """A badge, a brooch or a patch, with something smaller on it."""
    rng = ink.rng
    centre = ink.at(rng.uniform(0.08, 0.8), rng.uniform(-0.32, 0.32))
    size = ink.size(rng.uniform(0.025, 0.11))
    ink.shape(_outline(rng, centre, size), random_colour(rng))
    for _ in range(int(rng.integers(0, 3))):
        inner = centre + rng.normal(0, 0.2 * size, 2)
        ink.shape(_outline(rng, inner, size * rng.uniform(0.2, 0.7)), random_colour(rng))


def _buttons(ink: _Ink) -> None:
    """A row of buttons, on a placket or not."""
    rng = ink.rng
    across, first, last = rng.normal(0, 0.05), rng.uniform(0, 0.35), rng.uniform(0.6, 1.1)
    colour, size = random_colour(rng), ink.size(rng.uniform(0.009, 0.024))
    rows = np.linspace(first, last, int(rng.integers(3, 9)))
    if rng.random() < 0.5:
        dark = float(rng.uniform(0, 90))
        path = np.stack([ink.at(first - 0.1, across), ink.at(last + 0.2, across)])
        ink.line(path + size * rng.choice([-2, 2]), (dark, dark, dark), ink.size(0.006), 0.6)
    twin = rng.uniform(0.1, 0.2) if rng.random() < 0.2 else 0.0  # double-breasted
    for row in rows:
        for side in {across - twin, across + twin}:
            ink.shape(_disc(ink.at(row, side), size), colour)
            light = tuple(min(255.0, c + 70) for c in colour)
            ink.shape(_disc(ink.at(row, side) - 0.3 * size, 0.4 * size), light)


def _disc(centre: np.ndarray, size: float) -> np.ndarray:
    angle = np.arange(16) * np.pi / 8
    return centre + np.stack([np.cos(angle), np.sin(angle)], 1) * size


def _pocket(ink: _Ink) -> None:
    """A breast pocket: its seam, and cloth a little darker or lighter."""
    rng = ink.rng
    side, top = rng.choice([-1, 1]) * rng.uniform(0.12, 0.24), rng.uniform(0.15, 0.4)
    wide, high = rng.uniform(0.06, 0.11), rng.uniform(0.12, 0.22)
    corners = np.stack([ink.at(top + d * high, side + a * wide)
                        for d, a in ((0, -1), (0, 1), (0.8, 1), (1, 0), (0.8, -1))])  # fmt: skip
    grey = float(rng.uniform(0, 255))
    ink.shape(corners, (grey, grey, grey), rng.uniform(0.05, 0.3))
    ink.line(np.vstack([corners, corners[:1]]), random_colour(rng), ink.size(0.006), 0.7)


def _zip(ink: _Ink) -> None:
    """A zip, or the edge of an open front."""
    rng = ink.rng
    across = rng.normal(0, 0.06)
    path = np.stack([ink.at(d, across + rng.normal(0, 0.01)) for d in (-0.05, 0.3, 0.7, 1.2)])
    ink.line(path, random_colour(rng), ink.size(rng.uniform(0.008, 0.03)), rng.uniform(0.6, 1))


_THINGS = (_badge, _badge, _buttons, _pocket, _zip)


def pinned(
    rng: np.random.Generator, outfit: Outfit, image: np.ndarray, mask: np.ndarray
) -> np.ndarray:
    """The picture (H, W, 3) uint8 with one to three small things on the top of `mask` (H, W)."""
    ink = _Ink(rng, outfit)
    for _ in range(int(rng.integers(1, 4))):
        _THINGS[rng.integers(len(_THINGS))](ink)
    size = mask.shape[::-1]
    cover = cv2.resize(ink.cover, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    # Averaged with what is not painted, colours at the rim would turn black.
    weight = cv2.resize((ink.cover > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    paint = cv2.resize(ink.paint, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    paint /= np.maximum(weight, 1e-3)[..., None]
    alpha = (cover * np.clip(2 * mask - 1, 0, 1))[..., None]
    return np.round(image + (np.clip(paint, 0, 255) - image) * alpha).astype(np.uint8)
