"""Drawn garments: tops of random cut, colour and print, so that nothing needs a photo."""

import cv2
import numpy as np

from pose_synth.flat import flat_mesh
from pose_synth.garments import CANVAS, Garment, extend_colours
from pose_synth.products import soft_mask

OVERSAMPLING = 2


def _colour(rng: np.random.Generator) -> np.ndarray:
    """A cloth's colour (3,) BGR: white, black, grey or any hue."""
    if rng.random() < 0.35:
        return np.full(3, rng.choice([25, 40, 110, 200, 240])) + rng.normal(0, 4, 3)
    hsv = np.uint8([[[rng.integers(180), rng.integers(60, 235), rng.integers(60, 245)]]])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0].astype(np.float64)


def _outline(rng: np.random.Generator, sleeve: float) -> np.ndarray:
    """Closed outline (N, 2) in canvas widths; `sleeve` as a share of the arm."""
    chest, hem = rng.uniform(0.2, 0.24), rng.uniform(0.72, 1.12)
    neck, depth = rng.uniform(0.08, 0.13), rng.uniform(0.03, 0.16)
    bow = 1 if rng.random() < 0.4 else 0  # a V, or round
    top, shoulder = 0.12, np.array([chest - 0.01, 0.175])
    lean = rng.uniform(0.95, 1.2)
    arm = np.array([np.cos(lean), np.sin(lean)])
    length = 0.14 + 0.62 * sleeve
    cuff = shoulder + arm * length
    across = np.array([-arm[1], arm[0]]) * (rng.uniform(0.11, 0.13) - 0.045 * sleeve)
    half = [(0, top + depth), (neck * 0.6, top + depth * (0.45 if bow else 0.8)), (neck, top)]
    half += [tuple(shoulder), tuple(cuff), tuple(cuff + across), (chest, 0.37)]
    flare = rng.uniform(-0.015, 0.03)
    half += [(chest - 0.008, 0.6), (chest + flare, hem), (0, hem + 0.012)]
    half = np.array(half)
    points = np.concatenate([half, half[::-1][1:-1] * (-1, 1)])
    for _ in range(2):  # cut the corners
        after = np.roll(points, -1, 0)
        points = np.stack([0.85 * points + 0.15 * after, 0.15 * points + 0.85 * after], 1)
        points = points.reshape(-1, 2)
    low, high = points.min(0), points.max(0)
    fit = min(1 / np.ptp(points[:, 0]), CANVAS[1] / CANVAS[0] / np.ptp(points[:, 1]))
    middle = np.array([0.5, CANVAS[1] / CANVAS[0] / 2])
    return (points - (low + high) / 2) * fit * rng.uniform(0.78, 0.95) + middle


def _cloth(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Colours (H, W, 3) uint8 of stripes, checks, dots, blocks, a print, or nothing."""
    base, other = _colour(rng), _colour(rng)
    period = rng.uniform(0.03, 0.12)
    kind = rng.integers(7)
    mark = np.zeros(x.shape, bool)
    if kind in (1, 2):
        along = y if kind == 1 else x
        mark = along % period < period * rng.uniform(0.2, 0.6)
    elif kind == 3:
        mark = (x % period < period / 2) ^ (y % period < period / 2)
    elif kind == 4:
        row = np.floor(y / period)
        mark = np.hypot((x + period / 2 * (row % 2)) % period - period / 2,
                        y % period - period / 2) < 0.25 * period  # fmt: skip
    elif kind == 5:
        mark = y + 0.02 * np.sin(20 * x) > rng.uniform(0.35, 0.7)
    cloth = np.where(mark[..., None], other, base).clip(0, 255).astype(np.uint8)
    if kind in (0, 5, 6):
        _print(rng, cloth, other)
    return cloth


def _print(rng: np.random.Generator, cloth: np.ndarray, colour: np.ndarray) -> None:
    """A figure or a line of letters on the chest."""
    size = cloth.shape[1]
    centre = np.array([0.5 + rng.normal(0, 0.02), rng.uniform(0.38, 0.55)]) * size
    if rng.random() < 0.5:
        letters = "".join(rng.choice(list("AEHKLMNORSTVXZ"), rng.integers(3, 7)))
        scale = 0.3 * size / (22 * len(letters))
        start = (int(centre[0] - 0.15 * size), int(centre[1]))
        cv2.putText(cloth, letters, start, 0, scale, colour.tolist(), max(2, round(2.5 * scale)))
        return
    for _ in range(rng.integers(1, 5)):
        angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 9)))
        radius = rng.uniform(0.05, 0.16) * size * rng.uniform(0.5, 1, len(angle))
        shape = centre + np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None]
        cv2.fillPoly(cloth, [shape.astype(np.int32)], _colour(rng).tolist(), cv2.LINE_AA)


def draw_garment(rng: np.random.Generator, long: bool, key: str) -> Garment:
    """A drawn top on a garment canvas.

    Args:
        rng: source of everything random.
        long: whether its sleeves are long.
        key: its name.
    """
    width, height = (side * OVERSAMPLING for side in CANVAS)
    while True:
        outline = _outline(rng, rng.uniform(0.75, 1.0) if long else rng.uniform(0.0, 0.2))
        points = np.round(outline * width).astype(np.int32)
        mask = cv2.fillPoly(np.zeros((height, width), np.uint8), [points], 1)
        found = flat_mesh(mask > 0, neckline_drop=0.0)
        if found is not None and found[1] < 0.08:
            break
    y, x = np.mgrid[:height, :width].astype(np.float32) / width
    cloth = _cloth(rng, x, y)
    edge = np.clip(cv2.distanceTransform(mask, cv2.DIST_L2, 5) / (0.03 * width), 0, 1)
    relief = cv2.GaussianBlur(rng.standard_normal((height, width)), (0, 0), 0.03 * width, 0,
                              0.05 * width)  # fmt: skip
    cloth = cloth * (0.86 + 0.14 * np.sqrt(edge) + 0.03 * relief / relief.std())[..., None]
    ground = np.float32(rng.uniform(225, 255, 3) if rng.random() < 0.8 else rng.uniform(60, 220, 3))
    image = np.where(mask[..., None] > 0, cloth, ground).clip(0, 255)
    image = cv2.resize(image, CANVAS, interpolation=cv2.INTER_AREA).round().astype(np.uint8)
    small = cv2.resize(mask.astype(np.float32), CANVAS, interpolation=cv2.INTER_AREA)
    shrink = np.array([[1 / OVERSAMPLING, 0, 0.5 / OVERSAMPLING - 0.5],
                       [0, 1 / OVERSAMPLING, 0.5 / OVERSAMPLING - 0.5]])  # fmt: skip
    kind = "longsleeve" if long else "t-shirt"
    return Garment(key, kind, image, soft_mask(small), extend_colours(image, small > 0.5),
                   found[0].transform(shrink), found[1])  # fmt: skip


def draw_garments(count: int, seed: int = 0) -> list[Garment]:
    """A bank of drawn garments, the same for the same seed."""
    return [draw_garment(np.random.default_rng([seed, i]), i % 5 < 2, f"drawn/{seed}-{i:04d}")
            for i in range(count)]  # fmt: skip
