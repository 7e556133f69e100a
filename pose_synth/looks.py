"""Procedural looks of rendered people: skin, hair, cloth of trousers, folds, light, backgrounds."""

from typing import NamedTuple

import cv2
import numpy as np

from pose_synth.raster import EYES, HAIR, LOWER, SHOES, SKIN

TILE = 128
# Skin from light to dark, RGB.
_TONES = np.array([(240, 208, 184), (230, 192, 162), (220, 172, 138), (192, 140, 104),
                   (150, 102, 70), (104, 68, 48), (70, 45, 34)], np.float32)  # fmt: skip
_HAIR = np.array([(24, 20, 20), (46, 32, 26), (84, 56, 36), (134, 92, 54), (200, 164, 110),
                  (150, 150, 150), (120, 48, 26)], np.float32)  # fmt: skip
_JEANS = np.array([(52, 68, 104), (96, 118, 156), (30, 32, 40), (150, 134, 108), (70, 72, 62),
                   (210, 205, 195)], np.float32)  # fmt: skip


class Face(NamedTuple):
    """Where the face is on the mean person, metres."""

    eye: np.ndarray  # (3,) front of one eye, x > 0
    nose: np.ndarray  # (3,)


class Looks(NamedTuple):
    """Everything random about colours."""

    skin: np.ndarray  # (V, 3) float32 BGR of every body vertex
    tiles: np.ndarray  # (6, TILE, TILE, 3) float32 by material
    folds: np.ndarray  # (256, 256, 2) float32
    light: np.ndarray  # (6,) float32, see raster._light


def _noise(rng: np.random.Generator, size: int, sigma: float, stretch: float = 1.0) -> np.ndarray:
    """Smooth periodic noise (size, size) of unit deviation; stretched downwards."""
    raw = np.tile(rng.standard_normal((size, size)).astype(np.float32), (3, 3))
    soft = cv2.GaussianBlur(raw, (0, 0), sigma, sigmaY=sigma * stretch)[size:-size, size:-size]
    return soft / (soft.std() + 1e-9)


def _pick(rng: np.random.Generator, table: np.ndarray, spread: float) -> np.ndarray:
    """A colour (3,) BGR between two neighbours of a table."""
    at = rng.uniform(0, len(table) - 1.001)
    i = int(at)
    mixed = table[i] * (1 - at + i) + table[i + 1] * (at - i)
    return np.clip(mixed * rng.uniform(1 - spread, 1 + spread, 3), 8, 255)[::-1]


def skin_colours(rng: np.random.Generator, rest: np.ndarray, eye: np.ndarray, face: Face):
    """(V, 3) float32: skin with lips, brows and eyes."""
    tone = _pick(rng, _TONES, 0.04)
    colour = np.repeat(tone[None], len(rest), 0)
    front = rest[:, 1] < face.nose[1] + 0.06
    x, up = np.abs(rest[:, 0]), rest[:, 2]
    mouth = np.hypot(x / 0.026, (up - face.nose[2] + 0.037) / 0.009) < 1
    colour[front & mouth] = tone * (0.78, 0.68, 0.9)
    arch = up - face.eye[2] - 0.021 + 12 * (x - face.eye[0]) ** 2
    brow = (np.abs(arch) < 0.005) & (np.abs(x - face.eye[0]) < 0.021)
    colour[front & brow] = tone * 0.45
    cheek = np.hypot((x - 0.045) / 0.025, (up - face.nose[2]) / 0.02) < 1
    colour[front & cheek] *= (0.95, 0.94, 1.0)
    colour[eye] = 235
    iris = eye & (np.hypot(x - face.eye[0], up - face.eye[2]) < 0.0075)
    colour[iris] = _pick(rng, _HAIR[:4], 0.3)
    return np.ascontiguousarray(colour, np.float32)


def _trousers(rng: np.random.Generator) -> np.ndarray:
    """Denim, plain, striped, checked or flowered cloth (TILE, TILE, 3)."""
    base = _pick(rng, _JEANS, 0.15)
    if rng.random() < 0.25:
        base = rng.uniform(20, 240, 3)
    tile = np.repeat(np.repeat(base[None, None], TILE, 0), TILE, 1)
    kind = rng.integers(8)
    y, x = np.mgrid[:TILE, :TILE]
    period = int(rng.choice([8, 16, 32]))
    other = rng.uniform(20, 240, 3)
    if kind == 0:
        tile[x % period < period // 3] = other
    elif kind == 1:
        tile[(x % period < period // 2) ^ (y % period < period // 2)] = other
    elif kind == 2:
        tile[_noise(rng, TILE, 5) > 0.8] = other
    grain = 0.05 * _noise(rng, TILE, 0.8, 2) + rng.uniform(0, 0.1) * _noise(rng, TILE, 12)
    return tile * (1 + grain[..., None])


def _fold_field(rng: np.random.Generator) -> np.ndarray:
    """Creases as normal disturbance (256, 256, 2): ridges of warped noise."""
    ridge = sum(a * np.exp(-4 * _noise(rng, 256, s, q) ** 2)
                for s, q, a in ((9, 2.0, 1.0), (16, 0.6, 0.7), (5, 1.5, 0.4)))  # fmt: skip
    ridge = cv2.GaussianBlur(np.tile(ridge, (3, 3)), (0, 0), 2.0)[256:-256, 256:-256]
    slope = np.stack([np.gradient(ridge, axis=1), -np.gradient(ridge, axis=0)], 2)
    return np.clip(slope / slope.std(), -3, 3).astype(np.float32)


class FoldBank:
    """A few crease fields and tiles, drawn once: they are slow to make."""

    def __init__(self, seed: int = 0, count: int = 8):
        rng = np.random.default_rng(seed)
        self.folds = [_fold_field(rng) for _ in range(count)]
        self.trousers = [_trousers(rng) for _ in range(24)]
        self.skin = [1 + 0.02 * _noise(rng, TILE, 3) for _ in range(3)]
        self.strands = [1 + 0.16 * _noise(rng, TILE, 1.8, 16) for _ in range(6)]
        self.clouds = [_noise(rng, 192, s) for s in (16, 24, 32, 40)]

    def draw(self, rng, rest: np.ndarray, eye: np.ndarray, face: Face) -> Looks:
        """Random looks for the body of rest vertices `rest`."""
        tiles = np.ones((6, TILE, TILE, 3), np.float32)
        tiles[SKIN] *= self.skin[rng.integers(len(self.skin))][..., None]
        tiles[HAIR] = self.strands[rng.integers(len(self.strands))][..., None] * _pick(
            rng, _HAIR, 0.15
        )
        tiles[LOWER] = self.trousers[rng.integers(len(self.trousers))] * rng.uniform(0.8, 1.15, 3)
        tiles[SHOES] *= rng.uniform(20, 230, 3).astype(np.float32)
        tiles[EYES] = 1
        folds = self.folds[rng.integers(len(self.folds))] * np.float32(rng.uniform(0.03, 0.16))
        lamp = np.array([rng.normal(0, 0.6), -1.0, rng.uniform(0.0, 0.9)])
        lamp /= np.linalg.norm(lamp)
        light = np.array([*lamp, rng.uniform(0.35, 0.75), 1.0, rng.uniform(0.95, 1.25)], np.float32)
        return Looks(skin_colours(rng, rest, eye, face), tiles, folds, light)

    def background(self, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
        """(H, W, 3) float32: a plain wall, a graded one, or blurred shapes of a room or street."""
        size, small = (width, height), (width // 4, height // 4)
        ramp = np.linspace(rng.uniform(-0.25, 0.1), rng.uniform(-0.1, 0.25), small[1])
        base = np.full(3, rng.uniform(90, 250)) + rng.normal(0, 12, 3)
        out = np.empty((small[1], small[0], 3), np.float32)
        out[:] = base * (1 + ramp[:, None, None])
        if rng.random() < 0.6:
            for _ in range(rng.integers(3, 14)):
                x, y = (rng.uniform(-0.1, 1, 2) * small).astype(int)
                w, h = (rng.uniform(0.05, 0.6, 2) * small).astype(int)
                colour = rng.uniform(20, 245, 3)
                if rng.random() < 0.6:  # most things are not bright
                    colour = colour.mean() + 0.3 * (colour - colour.mean())
                cv2.rectangle(out, (int(x), int(y)), (int(x + w), int(y + h)), colour.tolist(), -1)
            out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.6, 5.0))
        cloud = self.clouds[rng.integers(len(self.clouds))]
        cloud = cv2.resize(cloud, small, interpolation=cv2.INTER_LINEAR)
        out *= 1 + np.float32(rng.uniform(0, 0.1)) * cloud[..., None]
        return cv2.resize(np.clip(out, 0, 255), size, interpolation=cv2.INTER_LINEAR)
