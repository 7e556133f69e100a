"""Software rasteriser: z-buffer of triangles, and shading of what it found.

Convention: screen x right, y down, pixel centres at integers; depth grows away from the camera.
Pattern positions are those of `pose_synth.patterns`: cloth and the skin under it are told apart
pixel by pixel, so that a cut has a clean edge on any mesh.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

EVERYTHING, CLOTH, BODY = 0, 1, 2  # what `fill` draws: all, where `keep` is 1, where it is not
FIELD_STEP = 4  # pattern pixels a cell of a garment field
SKIN, HAIR, LOWER, SHOES, EYES, GARMENT = range(6)  # materials
# numba widens what meets a Python float, at a tenth of the time.
ZERO, HALF, ONE, WHITE = (np.float32(x) for x in (0, 0.5, 1, 255))


class Buffers(NamedTuple):
    """What lies nearest at each pixel."""

    depth: np.ndarray  # (H, W) float32
    face: np.ndarray  # (H, W) int32, -1 for the background
    corner: np.ndarray  # (H, W, 2) float32, barycentric weights of the first two corners

    def copy(self) -> "Buffers":
        """An independent copy to draw on."""
        return Buffers(*(a.copy() for a in self))


class Mesh(NamedTuple):
    """All geometry of one picture; faces refer to its vertices."""

    screen: np.ndarray  # (V, 3) float32: x, y, depth
    pattern: np.ndarray  # (V, 3) float32: pattern x, y, and 1 at the back
    surface: np.ndarray  # (V, 8) float32: normal in camera axes, position in the texture (that of
    # the garment is the pattern), colour of the skin; side by side, for shading reads all
    faces: np.ndarray  # (F, 3) int32
    material: np.ndarray  # (F,) uint8


def empty(height: int, width: int) -> Buffers:
    """Buffers that hold only background."""
    return Buffers(
        np.full((height, width), 1e9, np.float32),
        np.full((height, width), -1, np.int32),
        np.zeros((height, width, 2), np.float32),
    )


@njit(cache=True, fastmath=True)
def normals(points, faces):
    """Vertex normals (V, 3) float32, weighted by area."""
    out = np.zeros_like(points)
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ux, uy, uz = (points[b, 0] - points[a, 0], points[b, 1] - points[a, 1],
                      points[b, 2] - points[a, 2])  # fmt: skip
        wx, wy, wz = (points[c, 0] - points[a, 0], points[c, 1] - points[a, 1],
                      points[c, 2] - points[a, 2])  # fmt: skip
        nx, ny, nz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        for k in (a, b, c):
            out[k, 0] += nx
            out[k, 1] += ny
            out[k, 2] += nz
    for k in range(out.shape[0]):
        size = np.sqrt(out[k, 0] ** 2 + out[k, 1] ** 2 + out[k, 2] ** 2) + np.float32(1e-12)
        for i in range(3):
            out[k, i] /= size
    return out


@njit(cache=True, fastmath=True)
def _mix(values, a, b, c, l0, l1, i):
    """Column `i` of a vertex's values (V, C) at barycentric weights."""
    return l0 * values[a, i] + l1 * values[b, i] + (ONE - l0 - l1) * values[c, i]


@njit(cache=True, fastmath=True)
def _inside(pattern, k, keep):
    """Whether vertex `k`, of pattern position (x, y, back), lies where `keep` is 1."""
    x, y = int(pattern[k, 0] + HALF), int(pattern[k, 1] + HALF)
    side = 1 if pattern[k, 2] > HALF else 0
    return 0 <= x < keep.shape[2] and 0 <= y < keep.shape[1] and keep[side, y, x] > 0


@njit(cache=True, fastmath=True)
def _cut_off(pattern, a, b, c, l0, l1, keep, what):
    """Whether the point is on the wrong side of the cut."""
    x = int(_mix(pattern, a, b, c, l0, l1, 0) + HALF)
    y = int(_mix(pattern, a, b, c, l0, l1, 1) + HALF)
    side = 1 if _mix(pattern, a, b, c, l0, l1, 2) > HALF else 0
    inside = 0 <= x < keep.shape[2] and 0 <= y < keep.shape[1] and keep[side, y, x] > 0
    return inside == (what == BODY)


@njit(cache=True, fastmath=True)
def fill(depth, face, corner, first, last, screen, faces, pattern, keep, what, cull):
    """Draws faces[first:last] into the buffers; `cull` leaves out those that look away."""
    height, width = depth.shape
    for f in range(first, last):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, az = screen[a, 0], screen[a, 1], screen[a, 2]
        bx, by, bz = screen[b, 0], screen[b, 1], screen[b, 2]
        cx, cy, cz = screen[c, 0], screen[c, 1], screen[c, 2]
        area = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy)
        if abs(area) < 1e-9 or (cull and area > 0):
            continue
        x0, x1 = max(0, int(np.ceil(min(ax, bx, cx)))), min(width - 1, int(max(ax, bx, cx)))
        y0, y1 = max(0, int(np.ceil(min(ay, by, cy)))), min(height - 1, int(max(ay, by, cy)))
        if x1 < x0 or y1 < y0:
            continue
        test = what != EVERYTHING
        if test:  # faces that lie on one side of the cut need no test by pixel
            count = _inside(pattern, a, keep) + _inside(pattern, b, keep)
            count += _inside(pattern, c, keep)
            if count == (3 if what == BODY else 0):
                continue
            test = 0 < count < 3
        inverse = ONE / area
        right0, down0 = (by - cy) * inverse, (cx - bx) * inverse
        right1, down1 = (cy - ay) * inverse, (ax - cx) * inverse
        for y in range(y0, y1 + 1):
            dx, dy = np.float32(x0) - cx, np.float32(y) - cy
            l0, l1 = right0 * dx + down0 * dy, right1 * dx + down1 * dy
            for x in range(x0, x1 + 1):
                l2 = ONE - l0 - l1
                if l0 >= 0 and l1 >= 0 and l2 >= 0:
                    z = l0 * az + l1 * bz + l2 * cz
                    if z < depth[y, x] and not (
                        test and _cut_off(pattern, a, b, c, l0, l1, keep, what)
                    ):
                        depth[y, x], face[y, x] = z, f
                        corner[y, x, 0], corner[y, x, 1] = l0, l1
                l0 += right0
                l1 += right1


@njit(cache=True, fastmath=True)
def _blend(image, ix, iy, fx, fy, c):
    a, b = np.float32(image[iy, ix, c]), np.float32(image[iy, ix + 1, c])
    d, e = np.float32(image[iy + 1, ix, c]), np.float32(image[iy + 1, ix + 1, c])
    top, low = a + (b - a) * fx, d + (e - d) * fx
    return top + (low - top) * fy


@njit(cache=True, fastmath=True)
def _cell(image, x, y):
    """Corner of the cell that holds a position, the border repeated, and the place in it."""
    x = min(max(x, ZERO), np.float32(image.shape[1] - 1.001))
    y = min(max(y, ZERO), np.float32(image.shape[0] - 1.001))
    ix, iy = int(x), int(y)
    return ix, iy, x - np.float32(ix), y - np.float32(iy)


@njit(cache=True, fastmath=True)
def _light(nx, ny, nz, light, flipped):
    """Brightness of a surface: ambient from above and the front, one lamp, a soft terminator.

    `light` is direction x, y, z, the ambient share, 1 for shaded or 0 for flat light, exposure.
    """
    inverse = ONE / np.sqrt(nx * nx + ny * ny + nz * nz + np.float32(1e-12))
    towards = (nx * light[0] + ny * light[1] + nz * light[2]) * inverse
    lamp = max(ZERO, (towards + np.float32(0.3)) * np.float32(1 / 1.3))
    ambient = (np.float32(0.8) + np.float32(0.2) * nz * inverse) * (
        np.float32(0.6) - np.float32(0.4) * ny * inverse
    )
    value = light[3] * ambient + (ONE - light[3]) * np.float32(1.25) * lamp
    if flipped:
        value *= np.float32(0.45)
    return ONE + light[4] * (light[5] * value - ONE)


@njit(cache=True, fastmath=True)
def _cloth(field, cloth, x, y):
    """Garment position and colour at a pattern position: u, v, and three channels."""
    zoom = np.float32(1 / FIELD_STEP)
    ix, iy, fx, fy = _cell(field, (x + HALF) * zoom - HALF, (y + HALF) * zoom - HALF)
    u, v = _blend(field, ix, iy, fx, fy, 0), _blend(field, ix, iy, fx, fy, 1)
    jx, jy, gx, gy = _cell(cloth, u, v)
    return (u, v, _blend(cloth, jx, jy, gx, gy, 0), _blend(cloth, jx, jy, gx, gy, 1),
            _blend(cloth, jx, jy, gx, gy, 2))  # fmt: skip


@njit(cache=True, fastmath=True)
def shade(buffers, done, mesh, looks, dress, out, flow):
    """Colours `out` (H, W, 3) float32 over what is there; fills `flow` (H, W, 2) with garment.

    `buffers` are face and corner; pixels whose face is that of `done` (H, W) are left as they are.
    `mesh` is faces, material and surface of Mesh; `looks` textures (6, N, N, 3) by material,
    normal disturbance (M, M, 2) by pattern position, N and M powers of two, and light as in
    `_light`; `dress` garment position (Hp / 4, Wp / 4, 2) by pattern position, and its picture
    (Hg, Wg, 3).
    """
    (face, corner), (faces, material, surface) = buffers, mesh
    (tiles, folds, light), (field, cloth) = looks, dress
    size, last, fold = np.float32(tiles.shape[1]), tiles.shape[1] - 1, folds.shape[0] - 1
    for y in range(face.shape[0]):
        for x in range(face.shape[1]):
            f = face[y, x]
            if f < 0 or f == done[y, x]:
                continue
            a, b, c, m = faces[f, 0], faces[f, 1], faces[f, 2], material[f]
            l0, l1 = corner[y, x, 0], corner[y, x, 1]
            nx, ny = _mix(surface, a, b, c, l0, l1, 0), _mix(surface, a, b, c, l0, l1, 1)
            nz = _mix(surface, a, b, c, l0, l1, 2)
            u, v = _mix(surface, a, b, c, l0, l1, 3), _mix(surface, a, b, c, l0, l1, 4)
            flipped = ny > np.float32(0.02) and m != HAIR
            if ny > 0:
                nx, ny, nz = -nx, -ny, -nz
            if m == GARMENT:
                row, column = int(v) & fold, int(u) & fold
                nx, nz = nx + folds[row, column, 0], nz + folds[row, column, 1]
                flow[y, x, 0], flow[y, x, 1], red, green, blue = _cloth(field, cloth, u, v)
            else:
                row, column = int(np.floor(v * size)) & last, int(np.floor(u * size)) & last
                red, green, blue = (tiles[m, row, column, 0], tiles[m, row, column, 1],
                                    tiles[m, row, column, 2])  # fmt: skip
                if m == SKIN or m == EYES:
                    red *= _mix(surface, a, b, c, l0, l1, 5)
                    green *= _mix(surface, a, b, c, l0, l1, 6)
                    blue *= _mix(surface, a, b, c, l0, l1, 7)
            bright = _light(nx, ny, nz, light, flipped)
            out[y, x, 0] = min(WHITE, red * bright)
            out[y, x, 1] = min(WHITE, green * bright)
            out[y, x, 2] = min(WHITE, blue * bright)


@njit(cache=True, fastmath=False)
def gather(image, buffers, flow, labels, zoom):
    """Brings samples to pixels, `zoom` to each side: (H, W, ...) -> (H / zoom, W / zoom, ...).

    `buffers` are depth and face, `labels` (F,) the class of each face; 0 is the background's.
    Returns the mean colour (..., 3) float32, the share of samples with garment, float32, and of
    the middle sample the class, uint8, and the depth, float32.
    """
    depth, face = buffers
    height, width = face.shape[0] // zoom, face.shape[1] // zoom
    mean = np.empty((height, width, 3), np.float32)
    cover, near = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    label = np.empty((height, width), np.uint8)
    share, middle = np.float32(1 / zoom**2), zoom // 2
    for y in range(height):
        for x in range(width):
            red, green, blue, count = ZERO, ZERO, ZERO, ZERO
            for i in range(y * zoom, (y + 1) * zoom):
                for j in range(x * zoom, (x + 1) * zoom):
                    red += image[i, j, 0]
                    green += image[i, j, 1]
                    blue += image[i, j, 2]
                    if not np.isnan(flow[i, j, 0]):
                        count += ONE
            mean[y, x, 0], mean[y, x, 1], mean[y, x, 2] = red * share, green * share, blue * share
            cover[y, x] = count * share
            near[y, x] = depth[y * zoom + middle, x * zoom + middle]
            f = face[y * zoom + middle, x * zoom + middle]
            label[y, x] = 0 if f < 0 else labels[f]
    return mean, cover, label, near


@njit(cache=True, fastmath=False)
def block_flow(flow, block, tolerance):
    """Mean position of each block of samples: (H, W, 2) -> (H / block, W / block, 2), NaN outside.

    Where two layers of cloth meet in a block, only the larger one counts: a mean of both would
    point at neither.
    """
    height, width = flow.shape[0] // block, flow.shape[1] // block
    out = np.full((height, width, 2), np.nan, np.float32)
    near, far = np.zeros(3), np.zeros(3)
    for y in range(height):
        for x in range(width):
            found, fx, fy = False, 0.0, 0.0
            near[:] = 0
            far[:] = 0
            for i in range(y * block, (y + 1) * block):
                for j in range(x * block, (x + 1) * block):
                    u, v = flow[i, j]
                    if np.isnan(u):
                        continue
                    if not found:
                        found, fx, fy = True, u, v
                    group = near if abs(u - fx) + abs(v - fy) < tolerance else far
                    group[0] += u
                    group[1] += v
                    group[2] += 1
            if found:
                group = near if near[2] >= far[2] else far
                out[y, x, 0], out[y, x, 1] = group[0] / group[2], group[1] / group[2]
    return out
