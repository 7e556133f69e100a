"""Flat garment photos: mask, landmarks on the outline, strip mesh."""

from typing import NamedTuple

import cv2
import numpy as np

from pose_synth.outlines import largest_contour
from pose_synth.strips import (
    ARMPIT_ROW,
    SLEEVE_COLS,
    SLEEVE_ROWS,
    TORSO_COLS,
    TORSO_ROWS,
    StripMesh,
    bridge,
    resample,
)

CONTOUR_POINTS = 400
SLOPING = 0.2  # height of a sloping cuff's corner over the line from armpit to cuff, of its length


def outline(mask: np.ndarray) -> np.ndarray:
    """Smoothed outline (400, 2) of the largest part, equal arc length, OpenCV's orientation."""
    points = largest_contour(mask.astype(np.uint8))[:, 0].astype(np.float64)
    k = 15
    kernel = cv2.getGaussianKernel(2 * k + 1, 3)[:, 0]
    padded = np.vstack([points[-k:], points, points[:k]])
    smooth = np.stack([np.convolve(padded[:, i], kernel, "valid") for i in (0, 1)], 1)
    return resample(np.vstack([smooth, smooth[:1]]), CONTOUR_POINTS + 1)[:-1]


class _Outline:
    """Walks on a closed contour by index."""

    def __init__(self, points: np.ndarray):
        self.points, self.count = points, len(points)

    def indices(self, start: int, end: int, step: int) -> list[int]:
        span = (end - start) * step % self.count
        return [(start + step * i) % self.count for i in range(span + 1)]

    def path(self, start: int, end: int, step: int) -> np.ndarray:
        return self.points[self.indices(start, end, step)]


def _armpits(points: np.ndarray, centre_x: float) -> list[tuple[int, int, int]] | None:
    """Per side (armpit, hem corner, cuff corner) as outline indices, from convexity defects."""
    (x0, y0), (x1, y1) = points.min(0), points.max(0)
    width, height = x1 - x0, y1 - y0
    rounded = np.round(points).astype(np.int32)
    hull = np.sort(cv2.convexHull(rounded, returnPoints=False), axis=0)[::-1]
    defects = cv2.convexityDefects(rounded, hull)
    sides: list[tuple[float, int, int, int] | None] = [None, None]
    for start, end, far, depth in defects.reshape(-1, 4) if defects is not None else []:
        y = (points[far, 1] - y0) / height
        low = max(points[start, 1], points[end, 1])
        if not 0.1 < y < 0.84 or low < y0 + 0.55 * height:
            continue
        side = int(points[far, 0] >= centre_x)
        if sides[side] is None or depth > sides[side][0]:
            sides[side] = (depth, far, start, end)
    if any(s is None or s[0] / 256 < 0.035 * width for s in sides):
        return None
    return [(far, *_hem_first(points, a, b, centre_x, height)) for _, far, a, b in sides]


def _hem_first(points: np.ndarray, a: int, b: int, centre_x: float, height: float):
    """Orders the two ends of an armpit's defect as (hem, cuff)."""
    drop = (points[a, 1] - points[b, 1]) / height
    if abs(drop) > 0.25:  # a short sleeve: the hem is clearly the lower end
        return (a, b) if drop > 0 else (b, a)
    nearer = abs(points[a, 0] - centre_x) < abs(points[b, 0] - centre_x)
    return (a, b) if nearer else (b, a)


def _polyline_vertices(path: np.ndarray) -> tuple[int, int, float]:
    """Best two interior vertices of a three-segment polyline through `path`, and its rms error."""

    def cost(i: int, j: int) -> float:
        d = path[j] - path[i]
        w = path[i : j + 1] - path[i]
        return float(((d[0] * w[:, 1] - d[1] * w[:, 0]) ** 2).sum() / (d @ d + 1e-9))

    last = len(path) - 1
    index = np.arange(0, len(path), max(1, len(path) // 40))
    tail = {j: cost(j, last) for j in index}
    best = (np.inf, 0, 0)
    for a, i in enumerate(index[1:-2], 1):
        head = cost(0, i)
        for j in index[a + 1 : -1]:
            best = min(best, (head + cost(i, j) + tail[j], i, j))
    return int(best[1]), int(best[2]), float(np.sqrt(best[0] / len(path)))


def _side_landmarks(line: _Outline, armpits, side: int, mid: float, chest: float) -> dict | None:
    points = line.points
    armpit, hem, cuff = armpits[side]
    step = 1 if (armpit - hem) % line.count < line.count / 2 else -1
    walk = []
    for i in range(line.count // 2):  # from the cuff over the shoulder towards the neck
        at = (cuff + step * i) % line.count
        walk.append(at)
        crossed = points[at, 0] > mid if side == 0 else points[at, 0] < mid
        if crossed and points[at, 1] < points[armpit, 1]:
            break
    path = points[walk]
    off = np.abs(path[:, 0] - mid)
    near = np.flatnonzero(
        (off > 0.08 * chest) & (off < 0.42 * chest) & (path[:, 1] < points[armpit, 1])
    )
    if len(near) < 2:
        return None
    neck = near[np.argmin(path[near, 1] - 0.15 * off[near])]
    if neck < 8:
        return None
    outer, shoulder, error = _polyline_vertices(path[: neck + 1])
    return dict(armpit=armpit, hem=hem, cuff_in=cuff, cuff_out=walk[outer], shoulder=walk[shoulder],
                neck=walk[neck], step=step, error=error)  # fmt: skip


def _inner_corner(line: _Outline, armpit: int, hem: int, cuff: int) -> int:
    """The cuff's inner corner, which a sloping cuff hides inside the hull; else `cuff` itself."""
    step = 1 if (armpit - hem) % line.count < line.count / 2 else -1
    path = line.path(armpit, cuff, step)
    chord = path[-1] - path[0]
    length = np.linalg.norm(chord)
    off = np.abs(chord[0] * (path - path[0])[:, 1] - chord[1] * (path - path[0])[:, 0])
    corner = int(off.argmax())
    # A bend further up is an elbow, and a small one a fold.
    if corner < 0.4 * len(path) or off[corner] < SLOPING * length**2:
        return cuff
    return int(line.indices(armpit, cuff, step)[corner])


def landmarks(mask: np.ndarray, sloping: bool = False) -> tuple[_Outline, list[dict]] | None:
    """Outline and, per side, the indices of its landmarks; None where the shape is not a top.

    `sloping` looks for the inner corner of cuffs that slope; without it the hull's corner counts,
    as in the garments of the evaluation's protocols.
    """
    points = outline(mask)
    armpits = _armpits(points, float(points[:, 0].mean()))
    if armpits is None:
        return None
    left, right = points[armpits[0][0]], points[armpits[1][0]]
    chest = right[0] - left[0]
    if chest < 0.2 * np.ptp(points[:, 0]):
        return None
    line = _Outline(points)
    if sloping:
        armpits = [(a, h, _inner_corner(line, a, h, c)) for a, h, c in armpits]
    sides = [_side_landmarks(line, armpits, s, (left[0] + right[0]) / 2, chest) for s in (0, 1)]
    return None if None in sides else (line, sides)


class Seams(NamedTuple):
    """The lines of one half of a top, each a polyline (n, 2)."""

    yoke: np.ndarray  # shoulder to neck
    flank: np.ndarray  # armpit to hem
    outer: np.ndarray  # shoulder to the cuff's outer corner
    inner: np.ndarray  # armpit to the cuff's inner corner


def mesh_of_seams(
    sides: list[Seams], collar: np.ndarray, hem: np.ndarray, neckline_drop: float
) -> StripMesh:
    """Fills the lines of a left and a right half, collar (n, 2) and hem (n, 2) with grids."""
    edges = []
    for side in sides:
        seam = bridge(side.yoke[:1], side.flank[:1], ARMPIT_ROW + 1)[0]
        edges.append(np.vstack([seam[:-1], resample(side.flank, TORSO_ROWS - ARMPIT_ROW)]))
    grid = bridge(edges[0], edges[1], TORSO_COLS)
    shoulders = [resample(side.yoke, 4) for side in sides]
    collar = resample(collar, 3)
    # The outline's top is the back collar; the front neckline lies lower by a share of the chest.
    collar[1, 1] += neckline_drop * np.linalg.norm(grid[ARMPIT_ROW, -1] - grid[ARMPIT_ROW, 0])
    top = np.vstack([shoulders[0], collar[1:2], shoulders[1][::-1]])
    v = np.linspace(0, 1, TORSO_ROWS)[:, None, None]
    top_shift, hem_shift = top - grid[0], resample(hem, TORSO_COLS) - grid[-1]
    torso = grid + top_shift * np.clip(1 - 3 * v, 0, 1) + hem_shift * np.clip(4 * v - 3, 0, 1)
    sleeves = [bridge(resample(side.outer, SLEEVE_ROWS), resample(side.inner, SLEEVE_ROWS),
                      SLEEVE_COLS) for side in sides]  # fmt: skip
    return StripMesh(torso, *sleeves)


def flat_mesh(
    mask: np.ndarray, neckline_drop: float = 0.08, sloping: bool = False
) -> tuple[StripMesh, float] | None:
    """Mesh of a flat garment and its misfit; None where no top can be read from the outline.

    Args:
        mask: (H, W) bool.
        neckline_drop: how far the front neckline lies under the back collar, in chest widths.
        sloping: see `landmarks`.

    Returns:
        The mesh in the mask's pixels, and 1 - IoU between the mesh's area and the mask.
    """
    found = landmarks(mask, sloping)
    if found is None:
        return None
    line, sides = found
    seams = [Seams(line.path(k["shoulder"], k["neck"], k["step"]),
                   line.path(k["armpit"], k["hem"], -k["step"]),
                   line.path(k["shoulder"], k["cuff_out"], -k["step"]),
                   line.path(k["armpit"], k["cuff_in"], k["step"])) for k in sides]  # fmt: skip
    collar = line.path(sides[0]["neck"], sides[1]["neck"], sides[0]["step"])
    hem = line.path(sides[0]["hem"], sides[1]["hem"], -sides[0]["step"])
    mesh = mesh_of_seams(seams, collar, hem, neckline_drop)
    return mesh, 1 - mesh_iou(mesh, mask)


def mesh_iou(mesh: StripMesh, mask: np.ndarray) -> float:
    """Intersection over union of the mesh's area and a mask (H, W) bool."""
    area = np.zeros(mask.shape, np.uint8)
    for grid in mesh:
        if grid is None:
            continue
        g = np.round(grid).astype(np.int32)
        for i in range(g.shape[0] - 1):
            for j in range(g.shape[1] - 1):
                quad = np.array([g[i, j], g[i, j + 1], g[i + 1, j + 1], g[i + 1, j]])
                cv2.fillConvexPoly(area, cv2.convexHull(quad), 1)
    area = area.astype(bool)
    return float((area & mask).sum() / max(1, (area | mask).sum()))
