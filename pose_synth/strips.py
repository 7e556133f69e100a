"""Strip meshes: a garment as a torso grid and two sleeve grids, and dense maps between two of them.

Convention: coordinates are pixels `(x, y)`, x right, y down, pixel centres at integers (as in
`cv2.remap`). `left` and `right` are sides of the picture. Grids of two meshes correspond vertex by
vertex, so a map between a flat and a worn garment is exact in both directions.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numba import njit

TORSO_ROWS, TORSO_COLS = 14, 9
SLEEVE_ROWS, SLEEVE_COLS = 10, 5
ARMPIT_ROW = 4  # torso row at which the sleeve's lower seam is sewn on
ARMPIT = ARMPIT_ROW / (TORSO_ROWS - 1)  # the same in shares of the torso's length


class StripMesh(NamedTuple):
    """Garment mesh; a sleeveless side has no sleeve grid."""

    torso: np.ndarray  # (14, 9, 2), row 0 shoulders and neck, last row hem
    left: np.ndarray | None  # (10, 5, 2), row 0 shoulder seam, column 0 the outer edge
    right: np.ndarray | None  # (10, 5, 2)

    def transform(self, matrix: np.ndarray) -> "StripMesh":
        """Applies a (2, 3) affine matrix to every vertex."""
        return StripMesh(*(None if g is None else g @ matrix[:, :2].T + matrix[:, 2] for g in self))

    def sleeve_length(self) -> float:
        """Mean length of the sleeves along their middle, in pixels; 0 without sleeves."""
        lengths = [
            np.linalg.norm(np.diff(s.mean(1), axis=0), axis=1).sum()
            for s in (self.left, self.right)
            if s is not None
        ]
        return float(np.mean(lengths)) if lengths else 0.0

    def sleeve_ratio(self) -> float:
        """Mean sleeve length over torso length; 0 without sleeves, about 0.9 when long."""
        torso = np.linalg.norm(self.torso[0, 4] - self.torso[-1, 4]) + 1e-6
        return float(self.sleeve_length() / torso)


def resample(path: np.ndarray, count: int) -> np.ndarray:
    """`count` points at equal arc length along a polyline (n, 2)."""
    step = np.linalg.norm(np.diff(path, axis=0), axis=1)
    arc = np.r_[0, np.cumsum(step)]
    at = np.linspace(0, arc[-1], count)
    return np.stack([np.interp(at, arc, path[:, i]) for i in (0, 1)], 1)


def bridge(a: np.ndarray, b: np.ndarray, count: int) -> np.ndarray:
    """Rows of `count` points from each a[i] to b[i]: (n, 2), (n, 2) -> (n, count, 2)."""
    u = np.linspace(0, 1, count)[None, :, None]
    return a[:, None] * (1 - u) + b[:, None] * u


@njit(cache=True, fastmath=True)
def _paint(out: np.ndarray, dst: np.ndarray, src: np.ndarray) -> None:
    """Fills `out` (H, W, 2) with source positions over the quads of `dst`; later quads win."""
    height, width = out.shape[0], out.shape[1]
    corners = np.array([[[0, 0], [0, 1], [1, 1]], [[0, 0], [1, 1], [1, 0]]])
    for i in range(dst.shape[0] - 1):
        for j in range(dst.shape[1] - 1):
            for k in range(2):
                ia, ja = i + corners[k, 0, 0], j + corners[k, 0, 1]
                ib, jb = i + corners[k, 1, 0], j + corners[k, 1, 1]
                ic, jc = i + corners[k, 2, 0], j + corners[k, 2, 1]
                ax, ay = dst[ia, ja]
                bx, by = dst[ib, jb]
                cx, cy = dst[ic, jc]
                area = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy)
                if abs(area) < 1e-6:
                    continue
                x0 = max(0, int(np.ceil(min(ax, bx, cx))))
                x1 = min(width - 1, int(np.floor(max(ax, bx, cx))))
                y0 = max(0, int(np.ceil(min(ay, by, cy))))
                y1 = min(height - 1, int(np.floor(max(ay, by, cy))))
                for y in range(y0, y1 + 1):
                    for x in range(x0, x1 + 1):
                        l0 = ((by - cy) * (x - cx) + (cx - bx) * (y - cy)) / area
                        l1 = ((cy - ay) * (x - cx) + (ax - cx) * (y - cy)) / area
                        l2 = 1 - l0 - l1
                        if l0 >= -1e-3 and l1 >= -1e-3 and l2 >= -1e-3:
                            for c in range(2):
                                out[y, x, c] = (
                                    l0 * src[ia, ja, c] + l1 * src[ib, jb, c] + l2 * src[ic, jc, c]
                                )


def _refine(grid: np.ndarray, factor: int = 3) -> np.ndarray:
    """Bilinear subdivision, so that two triangles a quad do not show as creases."""
    rows, cols = grid.shape[:2]
    y = np.linspace(0, rows - 1, (rows - 1) * factor + 1, dtype=np.float32)
    x = np.linspace(0, cols - 1, (cols - 1) * factor + 1, dtype=np.float32)
    return cv2.remap(grid.astype(np.float32), *np.meshgrid(x, y), cv2.INTER_LINEAR)


def dense_map(
    dst: StripMesh, src: StripMesh, size: tuple[int, int], order: str = "torso left right"
) -> np.ndarray:
    """Backward map (H, W, 2) float32 from pixels of `dst` to positions in `src`; NaN outside.

    Args:
        dst: mesh in the output picture.
        src: mesh in the source picture.
        size: (height, width) of the output.
        order: painting order; the last part lies on top.
    """
    out = np.full((*size, 2), np.nan, np.float32)
    for part in order.split():
        a, b = getattr(dst, part), getattr(src, part)
        if a is not None and b is not None:
            _paint(out, _refine(a), _refine(b))
    return out


def torso_coordinates(mesh: StripMesh, size: tuple[int, int]) -> np.ndarray:
    """Where pixels lie on the torso: (H, W, 2) float32, NaN outside of it.

    Shares of its width from the left side and of its length from the shoulders, 0 to 1.
    """
    u, v = np.meshgrid(np.linspace(0, 1, TORSO_COLS), np.linspace(0, 1, TORSO_ROWS))
    unit = StripMesh(np.stack([u, v], 2), None, None)
    return dense_map(mesh, unit, size, "torso")


def fill_nearest(field: np.ndarray) -> np.ndarray:
    """Replaces NaN in (H, W, C) by the value of the nearest finite pixel."""
    hole = np.isnan(field[..., 0])
    if not hole.any() or hole.all():
        return field
    _, label = cv2.distanceTransformWithLabels(
        hole.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    values = np.zeros((label.max() + 1, field.shape[2]), field.dtype)
    values[label[~hole]] = field[~hole]
    return values[label]
