"""Drawn pictures for augmentation: prints for garments, backgrounds for photos."""

import cv2
import numpy as np


def random_colour(rng: np.random.Generator) -> tuple[float, float, float]:
    """A colour in [0, 255]; greys and strong colours alike."""
    grey = rng.uniform(0, 255)
    colour = rng.uniform(0, 255, 3) if rng.random() < 0.7 else np.full(3, grey)
    return float(colour[0]), float(colour[1]), float(colour[2])


def _stripes(size, rng, ink: np.ndarray) -> None:
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.choice([0, 0, 90, 45, rng.uniform(0, 180)])
    along = x * np.sin(np.deg2rad(angle)) + y * np.cos(np.deg2rad(angle))
    period = rng.uniform(8, 45)
    wave = np.sin(along * 2 * np.pi / period + rng.uniform(0, 6))
    if rng.random() < 0.35:  # a check
        across = x * np.cos(np.deg2rad(angle)) - y * np.sin(np.deg2rad(angle))
        wave = np.maximum(wave, np.sin(across * 2 * np.pi / period))
    np.maximum(ink, np.clip(wave * period / 4 - rng.uniform(-1, 3), 0, 1), out=ink)


def _dots(size, rng, ink: np.ndarray) -> None:
    drawn = np.zeros(size, np.uint8)
    step = int(rng.integers(12, 40))
    radius = max(2, int(step * rng.uniform(0.15, 0.4)))
    for row, y in enumerate(range(step // 2, size[0], step)):
        for x in range(step // 2 + (row % 2) * step // 2, size[1], step):
            cv2.circle(drawn, (x, y), radius, 255, -1, cv2.LINE_AA)
    ink[:] = drawn / np.float32(255)


def _motif(size, rng, ink: np.ndarray, colours: np.ndarray) -> None:
    """A chest print: a few coloured shapes and a line of text."""
    height, width = size
    drawn, paint = np.zeros(size, np.uint8), colours.astype(np.uint8)  # OpenCV's text needs bytes
    centre = np.array([width * rng.uniform(0.4, 0.6), height * rng.uniform(0.35, 0.6)])
    spread = width * rng.uniform(0.06, 0.16)
    for _ in range(int(rng.integers(1, 7))):
        at = tuple(int(v) for v in centre + rng.normal(0, spread, 2))
        radius = int(rng.uniform(4, 0.16 * width))
        colour = random_colour(rng)
        kind = rng.integers(3)
        for canvas, value in ((drawn, 255), (paint, colour)):
            if kind == 0:
                cv2.circle(canvas, at, radius, value, -1, cv2.LINE_AA)
            elif kind == 1:
                corner = (at[0] + radius, at[1] + int(radius * 0.6))
                cv2.rectangle(canvas, at, corner, value, -1)
            else:
                axes = (radius, max(3, radius // 2))
                cv2.ellipse(canvas, at, axes, int(at[0] * 7 % 180), 0, 360, value, -1, cv2.LINE_AA)
    if rng.random() < 0.6:
        letters = "".join(rng.choice(list("ABCDEFGHKLMNOPRSTUVXYZ0123456789"), rng.integers(2, 7)))
        font, scale = int(rng.integers(0, 5)), rng.uniform(0.7, 1.8)
        at = (int(centre[0] - 10 * scale * len(letters)), int(centre[1]))
        colour = random_colour(rng)
        cv2.putText(drawn, letters, at, font, scale, 255, 3, cv2.LINE_AA)
        cv2.putText(paint, letters, at, font, scale, colour, 3, cv2.LINE_AA)
    ink[:] = drawn / np.float32(255)
    colours[:] = paint


def print_pattern(size: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A print for a garment photo: colours (H, W, 3) in [0, 255] and ink (H, W) in [0, 1]."""
    ink = np.zeros(size, np.float32)
    colours = np.empty((*size, 3), np.float32)
    colours[:] = random_colour(rng)
    kind = rng.random()
    if kind < 0.35:
        _stripes(size, rng, ink)
    elif kind < 0.5:
        _dots(size, rng, ink)
    else:
        _motif(size, rng, ink, colours)
    return colours, ink * np.float32(rng.uniform(0.75, 1.0))


def background(
    size: tuple[int, int], rng: np.random.Generator, photo: np.ndarray | None = None
) -> np.ndarray:
    """A background (H, W, 3) float32 in [0, 255]: white, plain, shaded, noisy or out of a photo."""
    height, width = size
    kind = rng.random()
    if kind < 0.35:
        return np.full((height, width, 3), rng.uniform(235, 255), np.float32)
    if photo is not None and kind < 0.55:
        rows = int(rng.integers(20, max(21, photo.shape[0] // 2)))
        strip = photo[:rows, : max(8, photo.shape[1] // 4)]
        return cv2.resize(strip, (width, height), interpolation=cv2.INTER_LINEAR)
    plain = np.empty((height, width, 3), np.float32)
    plain[:] = random_colour(rng)
    if kind < 0.75:
        return plain
    y, x = np.mgrid[:height, :width].astype(np.float32)
    slope = (x / width - 0.5) * rng.normal(0, 60) + (y / height - 0.5) * rng.normal(0, 60)
    cell = int(rng.integers(3, 24))
    grain = rng.normal(0, rng.uniform(2, 20), (height // cell + 2, width // cell + 2, 3))
    noise = cv2.resize(grain.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(plain + slope[..., None] + noise, 0, 255)


def surface(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """What people lay a garment on (H, W, 3) float32 in [0, 255]: cloth, boards, tiles, a rug.

    None of them is plain, and cloth is the very stuff that the garment is made of: a network that
    knows only walls takes the towel under the shirt for a part of it.
    """
    height, width = size
    out = np.empty((height, width, 3), np.float32)
    out[:] = random_colour(rng)
    kind = rng.random()
    if kind < 0.25:
        _boards(out, rng)
    elif kind < 0.4:
        _tiles(out, rng)
    elif kind < 0.6:
        colours, ink = print_pattern(size, rng)
        out += (colours - out) * cv2.GaussianBlur(ink, (0, 0), rng.uniform(0.3, 1.5))[..., None]
    out *= _folds(size, rng, rng.uniform(0.02, 0.06 if kind < 0.4 else 0.22))[..., None]
    weave = smooth_noise(size, rng, rng.uniform(0.7, 3), rng.uniform(1, 14))
    out += weave[..., None]
    return np.clip(out, 0, 255)


def smooth_noise(size, rng, cell, strength: float) -> np.ndarray:
    """Smooth noise (H, W) of a standard deviation; `cell` is its grain in pixels, y and x."""
    cells = np.maximum(2, np.array(size) / cell).astype(int)
    grain = rng.normal(0, strength, cells).astype(np.float32)
    return cv2.resize(grain, size[::-1], interpolation=cv2.INTER_CUBIC)


def _folds(size, rng, strength: float) -> np.ndarray:
    """Light (H, W) about 1 on a creased surface, lit from one side."""
    relief = np.zeros(size, np.float32)
    for cell in rng.uniform(12, 90, 3):
        wave = smooth_noise(size, rng, cell * np.array([rng.uniform(0.5, 2), 1]), cell)
        relief += np.abs(wave) if rng.random() < 0.5 else wave  # a crease, or a soft fold
    slope_y, slope_x = np.gradient(relief)
    angle = rng.uniform(0, 2 * np.pi)
    light = slope_x * np.float32(np.cos(angle)) + slope_y * np.float32(np.sin(angle))
    return 1 + light * np.float32(strength / (light.std() + 1e-3))


def _boards(out: np.ndarray, rng) -> None:
    upright = rng.random() < 0.5
    view = out if upright else out.transpose(1, 0, 2)
    grain = smooth_noise(view.shape[:2], rng, np.array([rng.uniform(20, 80), rng.uniform(1, 4)]), 9)
    view += grain[..., None]
    step = int(rng.integers(10, 60))
    for x in range(int(rng.integers(0, step)), view.shape[1], step):
        view[:, x:] += rng.normal(0, 8)
        view[:, x : x + int(rng.integers(1, 3))] *= rng.uniform(0.3, 0.9)


def _tiles(out: np.ndarray, rng) -> None:
    step, seam = int(rng.integers(18, 90)), rng.normal(0, 40)
    for axis in (0, 1):
        lines = np.arange(int(rng.integers(0, step)), out.shape[axis], step)
        view = out if axis == 0 else out.transpose(1, 0, 2)
        view[lines] += seam
