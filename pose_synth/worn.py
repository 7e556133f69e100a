"""Worn garments: the strip mesh of the top that a photographed person wears.

Keypoints are BlazePose's 33, in pixels. `left` and `right` are sides of the picture, so the
person's right arm is `left`.
"""

from typing import NamedTuple

import numpy as np

from pose_synth.strips import (
    ARMPIT_ROW,
    SLEEVE_COLS,
    SLEEVE_ROWS,
    TORSO_COLS,
    TORSO_ROWS,
    StripMesh,
    bridge,
)

# BlazePose indices: (shoulder, elbow, wrist, hip) of the person's right and left side.
RIGHT_SIDE, LEFT_SIDE = (12, 14, 16, 24), (11, 13, 15, 23)
# Expected half width of the torso in shoulder widths, by depth in torso lengths.
_DEPTHS = (0, 0.2, 0.6, 1.0, 1.6)
_WIDTHS = (0.56, 0.52, 0.47, 0.52, 0.6)
SLEEVE_HALF_WIDTH = 0.115  # in torso lengths


class TorsoFrame(NamedTuple):
    """Axes of the torso in pixels."""

    neck: np.ndarray  # (2,) middle of the shoulders
    down: np.ndarray  # (2,) unit vector to the middle of the hips
    across: np.ndarray  # (2,) unit vector to picture right, perpendicular to `down`
    length: float  # shoulders to hips
    shoulders: float  # shoulder width


class WornMesh(NamedTuple):
    """Mesh of a worn top and what was measured on the way."""

    mesh: StripMesh
    hem: float  # depth of the hem in torso lengths
    sleeves: tuple[float, float]  # share of each arm (picture left, right) that is covered


def torso_frame(points: np.ndarray) -> TorsoFrame:
    """Axes from keypoints (33, 2)."""
    a, b = points[RIGHT_SIDE[0]], points[LEFT_SIDE[0]]
    neck, hips = (a + b) / 2, (points[RIGHT_SIDE[3]] + points[LEFT_SIDE[3]]) / 2
    length = float(np.linalg.norm(hips - neck)) + 1e-6
    down = (hips - neck) / length
    across = np.array([down[1], -down[0]])
    across = across if across @ (b - a) > 0 else -across
    return TorsoFrame(neck, down, across, length, float(np.linalg.norm(b - a)))


def _sample(mask: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Nearest values of a (H, W) mask at points (..., 2), clamped to the picture."""
    x = np.clip(points[..., 0], 0, mask.shape[1] - 1).astype(int)
    y = np.clip(points[..., 1], 0, mask.shape[0] - 1).astype(int)
    return mask[y, x]


def _extent(mask, occluder, origin, direction, expected, low, high) -> float:
    """Distance along a ray to the garment's edge; `expected` where something hides the edge."""
    steps = np.arange(low * expected, high * expected, 1.0)
    at = origin + direction * steps[:, None]
    outside = np.flatnonzero(~_sample(mask, at))
    if not len(outside):
        return expected
    first = outside[0]
    return expected if _sample(occluder, at[first]) else float(steps[first])


def hem_depth(mask: np.ndarray, frame: TorsoFrame) -> float:
    """Depth of the hem in torso lengths: the last garment row along three vertical lines."""
    depth = np.arange(0.1, 2.2, 0.01)
    ends = []
    for offset in (-0.22, 0, 0.22):
        at = frame.neck + np.outer(depth, frame.down) * frame.length
        at = at + frame.across * frame.shoulders * offset
        inside = _sample(mask, at) & (at[:, 1] < mask.shape[0])
        ends.append(depth[inside][-1] if inside.any() else 0.0)
    return max(float(np.median(ends)), 0.5)


def _smooth_columns(values: np.ndarray, kernel) -> np.ndarray:
    pad = len(kernel) // 2
    columns = [np.convolve(np.pad(c, pad, "edge"), kernel, "valid") for c in values.T]
    return np.stack(columns, 1)


def _torso(mask, occluder, points, frame: TorsoFrame, hem: float) -> np.ndarray:
    depth = np.linspace(-0.08, hem, TORSO_ROWS)
    centre = frame.neck + np.outer(depth, frame.down) * frame.length
    widths = np.interp(depth, _DEPTHS, np.array(_WIDTHS) * frame.shoulders)
    hips = np.linalg.norm(points[RIGHT_SIDE[3]] - points[LEFT_SIDE[3]])
    widths = np.where((depth > 0.8) & (depth < 1.3), np.maximum(widths, 0.85 * hips), widths)
    half = np.zeros((TORSO_ROWS, 2))
    for row, (c, w, t) in enumerate(zip(centre, widths, depth, strict=True)):
        for side, sign in enumerate((-1, 1)):
            edge = _extent(mask, occluder, c, sign * frame.across, w, 0.75, 1.3)
            half[row, side] = w if t < 0.28 else edge  # above, the arm hides the flank
    half = _smooth_columns(half, (0.1, 0.2, 0.4, 0.2, 0.1))
    u = np.linspace(-1, 1, TORSO_COLS)
    reach = np.where(u < 0, half[:, :1], half[:, 1:]) * u
    grid = centre[:, None] + frame.across * reach[..., None]
    top = _top_row(mask, points, frame, u)
    fade = np.clip(1 - 4 * np.linspace(0, 1, TORSO_ROWS), 0, 1)[:, None, None]
    return grid + (top - grid[0]) * fade


def _top_row(mask, points, frame: TorsoFrame, u: np.ndarray) -> np.ndarray:
    """Shoulder line lifted to the garment's upper edge, column by column."""
    span = points[LEFT_SIDE[0]] - points[RIGHT_SIDE[0]]
    row = frame.neck + u[:, None] * span * 0.53
    steps = np.arange(0, 0.22 * frame.length, 1.0)
    for i in range(len(row)):
        inside = _sample(mask, row[i] - frame.down * steps[:, None])
        row[i] -= frame.down * (steps[inside][-1] if inside.any() else 0)
    return row


class _Arm:
    """A two-segment arm, parametrised by arc length in pixels."""

    def __init__(self, points: np.ndarray, side: tuple[int, int, int, int]):
        self.joints = points[list(side[:3])]
        self.upper, self.lower = np.linalg.norm(np.diff(self.joints, axis=0), axis=1) + 1e-6
        self.total = self.upper + self.lower

    def at(self, s: float) -> np.ndarray:
        shoulder, elbow, wrist = self.joints
        if s <= self.upper:
            return shoulder + (elbow - shoulder) * s / self.upper
        return elbow + (wrist - elbow) * (s - self.upper) / self.lower

    def tangent(self, s: float) -> np.ndarray:
        step = 0.12 * self.upper
        d = self.at(s + step) - self.at(max(0.0, s - step))
        return d / (np.linalg.norm(d) + 1e-6)


def _sleeve_end(mask, occluder, arm: _Arm, length: float, step: float) -> float:
    """Arc length at which the sleeve ends; hidden stretches do not end it."""
    end, misses = 0.0, 0
    window = np.linspace(-0.06, 0.06, 5) * length
    for s in np.arange(0.15 * arm.upper, arm.total * 1.05, step):
        t = arm.tangent(s)
        at = arm.at(s) + np.outer(window, (-t[1], t[0]))
        if _sample(mask, at).mean() > 0.5:
            end, misses = s, 0
        elif _sample(occluder, at).mean() <= 0.5:
            misses += 1
            if misses > 5:
                break
    return end


def _sleeve(mask, arm: _Arm, frame: TorsoFrame, end: float, torso: np.ndarray, sign: int):
    """Sleeve grid along the arm; column 0 is the outer edge, row 0 lies on the torso's seam."""
    expected = SLEEVE_HALF_WIDTH * frame.length
    centre, normal, half = [], [], []
    previous = frame.across * sign - frame.down
    nothing = np.zeros_like(mask)
    for s in np.linspace(0, end, SLEEVE_ROWS):
        t = arm.tangent(s)
        n = np.array([-t[1], t[0]])
        n = n if n @ previous > 0 else -n
        previous = n
        edges = [_extent(mask, nothing, arm.at(s), k * n, expected, 0.35, 1.7) for k in (1, -1)]
        centre.append(arm.at(s))
        normal.append(n)
        half.append(edges)
    half = _smooth_columns(np.array(half), (0.15, 0.2, 0.3, 0.2, 0.15))
    centre, normal = np.array(centre), np.array(normal)
    grid = bridge(centre + normal * half[:, :1], centre - normal * half[:, 1:], SLEEVE_COLS)
    column = 0 if sign < 0 else -1
    seam = bridge(torso[0, column][None], torso[ARMPIT_ROW, column][None], SLEEVE_COLS)[0]
    blend = np.zeros((SLEEVE_ROWS, 1, 1))
    blend[:3, 0, 0] = 1, 0.6, 0.25
    return grid * (1 - blend) + seam * blend


def worn_mesh(
    points: np.ndarray, mask: np.ndarray, occluder: np.ndarray, step: float = 2.0
) -> WornMesh:
    """Fits the strip mesh to a worn top.

    Args:
        points: (33, 2) keypoints in pixels.
        mask: (H, W) bool, the top.
        occluder: (H, W) bool, what may lie in front of it (hair, hands, bags).
        step: pixels along an arm from one look to the next; a sleeve has ended after six without.
    """
    frame = torso_frame(points)
    hem = hem_depth(mask, frame)
    torso = _torso(mask, occluder, points, frame, hem)
    sleeves, covered = [], []
    for side, sign in ((RIGHT_SIDE, -1), (LEFT_SIDE, 1)):
        arm = _Arm(points, side)
        end = _sleeve_end(mask, occluder, arm, frame.length, step)
        covered.append(end / arm.total)
        bare = end < 0.12 * arm.upper
        sleeves.append(None if bare else _sleeve(mask, arm, frame, end, torso, sign))
    return WornMesh(StripMesh(torso, *sleeves), hem, (covered[0], covered[1]))
