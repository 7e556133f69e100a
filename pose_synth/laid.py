"""Garments laid anew: pictures with known landmarks, to train the network that finds landmarks.

The sleeves of a garment whose mesh is known are turned, bent and stretched until they hang beside
or on the torso. That hides the armpits from the outline, and keeps the truth.
"""

from typing import NamedTuple

import cv2
import numpy as np

from pose_synth.garments import CANVAS, Garment
from pose_synth.landmarks import from_mesh
from pose_synth.strips import SLEEVE_ROWS, StripMesh, dense_map

SIZE = (72, 96)  # (width, height) of a picture
SCALE = SIZE[0] / CANVAS[0]
TO_PICTURE = np.array([[SCALE, 0, (SCALE - 1) / 2], [0, SCALE, (SCALE - 1) / 2]])  # from the canvas


class Laid(NamedTuple):
    """One training picture."""

    image: np.ndarray  # (96, 72, 3) uint8 BGR
    guess: np.ndarray  # (96, 72) uint8, 255 inside: the mask as a segmentation would find it
    mask: np.ndarray  # (96, 72) uint8, 1 inside: the true one
    points: np.ndarray  # (12, 2) landmarks in picture pixels


class Source(NamedTuple):
    """A garment reduced to SIZE."""

    image: np.ndarray  # (96, 72, 3) uint8
    extended: np.ndarray  # (96, 72, 3) uint8
    ground: np.ndarray  # (96, 72, 3) uint8, what lies around the garment, continued under it
    mask: np.ndarray  # (96, 72) uint8
    mesh: StripMesh | None
    points: np.ndarray  # (12, 2)


def source(garment: Garment, points: np.ndarray | None = None) -> Source:
    """What the pictures of one garment are made from.

    Args:
        garment: on a canvas of scale 1.
        points: landmarks (12, 2) in canvas pixels; from the mesh if not given.
    """
    small = [cv2.resize(x, SIZE, interpolation=cv2.INTER_AREA)
             for x in (garment.image, garment.extended, garment.mask)]  # fmt: skip
    mask = (small[2] > 0.5).astype(np.uint8)
    inside = cv2.dilate(mask, np.ones((7, 7), np.uint8))
    ground = cv2.inpaint(small[0], inside, 3, cv2.INPAINT_TELEA) if inside.min() == 0 else small[0]
    points = from_mesh(garment.mesh) if points is None else points
    return Source(small[0], small[1], ground, mask, garment.mesh.transform(TO_PICTURE),
                  points @ TO_PICTURE[:, :2].T + TO_PICTURE[:, 2])  # fmt: skip


def turn_sleeve(rng: np.random.Generator, sleeve: np.ndarray, outward: float, down: float,
                length: float) -> np.ndarray:  # fmt: skip
    """A sleeve grid (10, 5, 2) that leaves the shoulder in another direction.

    Args:
        rng: source of everything random.
        sleeve: the grid; its first row stays where it is.
        outward: -1 where outwards is left in the picture, 1 where it is right.
        down: angle from straight down in radians, positive outwards.
        length: new length in pixels.
    """
    centre = sleeve.mean(1)
    old = centre[-1] - centre[0]
    wanted = np.arctan2(np.cos(down), outward * np.sin(down))
    change = (wanted - np.arctan2(old[1], old[0]) + np.pi) % (2 * np.pi) - np.pi
    rows = np.arange(SLEEVE_ROWS)
    ramp = np.clip(rows / 3, 0, 1)
    bend = rng.normal(0, 0.1) + (outward * rng.uniform(0, 0.9) if rng.random() < 0.2 else 0)
    angle = change * ramp**2 * (3 - 2 * ramp) + bend * np.clip((rows - 4) / 2, 0, 1)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.stack([np.stack([cos, -sin], 1), np.stack([sin, cos], 1)], 1)  # (10, 2, 2)
    width = np.einsum("nij,nkj->nki", matrix, sleeve - centre[:, None])
    way = np.einsum("nij,j->ni", matrix, old / (np.linalg.norm(old) + 1e-6))
    step = way * length / (SLEEVE_ROWS - 1)
    line = centre[0] + np.concatenate([np.zeros((1, 2)), np.cumsum(step[1:], 0)])
    return line[:, None] + width


def lay(rng: np.random.Generator, mesh: StripMesh) -> StripMesh:
    """The mesh with both sleeves hanging, of any length, on a torso of another shape."""
    torso = np.linalg.norm(mesh.torso[0, 4] - mesh.torso[-1, 4])
    share = rng.uniform(0.55, 1.05) if rng.random() < 0.75 else rng.uniform(0.15, 0.5)
    both = rng.normal(0.12, 0.2)
    sleeves = [turn_sleeve(rng, s, side, both + rng.normal(0, 0.1), share * torso)
               for s, side in ((mesh.left, -1), (mesh.right, 1))]  # fmt: skip
    return StripMesh(mesh.torso, *sleeves)


def random_affine(rng: np.random.Generator, points: np.ndarray) -> np.ndarray:
    """(2, 3): turns, stretches and shifts points (n, 2) so that they fill most of a picture."""
    a, stretch = rng.normal(0, 0.08), rng.uniform(0.88, 1.14)
    shear = rng.normal(0, 0.03)
    linear = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    linear = linear @ np.array([[stretch, shear], [0, 1 / stretch]])
    moved = points @ linear.T
    low, high = moved.min(0), moved.max(0)
    zoom = rng.uniform(0.55, 0.97) * min(np.array(SIZE) / (high - low))
    room = np.array(SIZE) - 1 - zoom * (high - low)
    shift = room * rng.uniform(0.2, 0.8, 2) - zoom * low
    return np.concatenate([zoom * linear, shift[:, None]], 1)


def _shade(rng: np.random.Generator, alpha: np.ndarray) -> np.ndarray:
    """Factors (H, W, 1): a part's edges are darker than its middle."""
    soft = cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.6, 1.5))
    return (1 - rng.uniform(0.1, 0.45) * np.clip(2 * (1 - soft), 0, 1))[..., None]


def _draw(rng: np.random.Generator, one: Source, mesh: StripMesh) -> tuple[np.ndarray, np.ndarray]:
    """The garment in a new shape on its own ground: picture (H, W, 3) float32 and mask uint8."""
    out = one.ground.astype(np.float32)
    union = np.zeros(SIZE[::-1], np.uint8)
    order = "torso left right" if rng.random() < 0.85 else "left right torso"
    for part in order.split():
        alone = StripMesh(*(g if n == part else None for g, n in
                            zip(mesh, StripMesh._fields, strict=True)))  # fmt: skip
        field = dense_map(alone, one.mesh, SIZE[::-1])
        inside = ~np.isnan(field[..., 0])
        at = np.nan_to_num(field)
        cloth = cv2.remap(one.extended, at[..., 0], at[..., 1], cv2.INTER_LINEAR)
        alpha = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 0.5)
        shadow = cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.6, 1.8))
        out *= 1 - rng.uniform(0, 0.4) * shadow[..., None]
        lit = cloth * _shade(rng, alpha) * rng.uniform(0.93, 1.05)
        out = out * (1 - alpha[..., None]) + lit * alpha[..., None]
        union |= inside
    return out, union


def _guess(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """A mask with the faults of a segmentation: filled gaps, a soft rim, a lump, nothing at all."""
    if rng.random() < 0.15:
        return np.zeros_like(mask)
    size = int(rng.integers(1, 7))
    out = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
    if rng.random() < 0.2:
        k = np.ones((3, 3), np.uint8)
        out = cv2.dilate(out, k) if rng.random() < 0.5 else cv2.erode(out, k)
    if rng.random() < 0.15:
        x, y = rng.integers(SIZE[0]), rng.integers(SIZE[1])
        size = rng.integers(3, 15, 2)
        cv2.ellipse(out, (int(x), int(y)), size.tolist(), 0, 0, 360, int(rng.random() < 0.6), -1)
    return out * 255


def _colours(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Another exposure and white balance, and noise."""
    image = image * rng.uniform(0.75, 1.2) * rng.uniform(0.9, 1.1, 3)
    if rng.random() < 0.3:
        image = image[..., rng.permutation(3)]
    image += rng.normal(0, rng.uniform(0, 5), image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def draw_laid(rng: np.random.Generator, one: Source, as_is: float = 0.3) -> Laid:
    """One training picture; a share `as_is` of them keeps its shape."""
    if one.mesh is None or rng.random() < as_is:
        matrix = random_affine(rng, one.points)
        warp = dict(dsize=SIZE, flags=cv2.INTER_LINEAR)
        image = cv2.warpAffine(one.image, matrix, borderMode=cv2.BORDER_REFLECT, **warp)
        mask = cv2.warpAffine(one.mask, matrix, **warp)
        image, points = image.astype(np.float32), one.points
    else:
        mesh = lay(rng, one.mesh)
        ends = np.concatenate([g.reshape(-1, 2) for g in mesh])
        matrix = random_affine(rng, ends)
        image, mask = _draw(rng, one, mesh.transform(matrix))
        points = from_mesh(mesh)
    points = points @ matrix[:, :2].T + matrix[:, 2]
    return Laid(_colours(rng, image), _guess(rng, mask), mask, points)
