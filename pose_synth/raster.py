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
    normal: np.ndarray  # (V, 3) float32, in camera axes
    pattern: np.ndarray  # (V, 3) float32: pattern x, y, and 1 at the back
    tile: np.ndarray  # (V, 2) float32 position in the material's texture
    colour: np.ndarray  # (V, 3) float32, the skin's
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
def _inside(p, keep):
    """Whether a vertex of pattern position (x, y, back) lies where `keep` is 1."""
    x, y = int(p[0] + 0.5), int(p[1] + 0.5)
    side = 1 if p[2] > 0.5 else 0
    return 0 <= x < keep.shape[2] and 0 <= y < keep.shape[1] and keep[side, y, x] > 0


@njit(cache=True, fastmath=True)
def _cut_off(l0, l1, l2, pa, pb, pc, keep, what):
    """Whether the point is on the wrong side of the cut."""
    x = int(l0 * pa[0] + l1 * pb[0] + l2 * pc[0] + 0.5)
    y = int(l0 * pa[1] + l1 * pb[1] + l2 * pc[1] + 0.5)
    side = 1 if l0 * pa[2] + l1 * pb[2] + l2 * pc[2] > 0.5 else 0
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
        pa, pb, pc = pattern[a], pattern[b], pattern[c]
        test = what != EVERYTHING
        if test:  # faces that lie on one side of the cut need no test by pixel
            count = _inside(pa, keep) + _inside(pb, keep) + _inside(pc, keep)
            if count == (3 if what == BODY else 0):
                continue
            test = 0 < count < 3
        inverse = 1 / area
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                l0 = ((by - cy) * (x - cx) + (cx - bx) * (y - cy)) * inverse
                l1 = ((cy - ay) * (x - cx) + (ax - cx) * (y - cy)) * inverse
                l2 = 1 - l0 - l1
                if l0 < 0 or l1 < 0 or l2 < 0:
                    continue
                z = l0 * az + l1 * bz + l2 * cz
                if z >= depth[y, x]:
                    continue
                if test and _cut_off(l0, l1, l2, pa, pb, pc, keep, what):
                    continue
                depth[y, x], face[y, x] = z, f
                corner[y, x, 0], corner[y, x, 1] = l0, l1


@njit(cache=True, fastmath=True)
def _blend(image, ix, iy, fx, fy, c):
    top = image[iy, ix, c] * (1 - fx) + image[iy, ix + 1, c] * fx
    low = image[iy + 1, ix, c] * (1 - fx) + image[iy + 1, ix + 1, c] * fx
    return top * (1 - fy) + low * fy


@njit(cache=True, fastmath=True)
def _cell(image, x, y):
    """Corner of the cell that holds a position, the border repeated, and the place in it."""
    x = min(max(x, 0.0), image.shape[1] - 1.001)
    y = min(max(y, 0.0), image.shape[0] - 1.001)
    ix, iy = int(x), int(y)
    return ix, iy, x - ix, y - iy


@njit(cache=True, fastmath=True)
def _light(nx, ny, nz, light, flipped):
    """Brightness of a surface: ambient from above and the front, one lamp, a soft terminator.

    `light` is direction x, y, z, the ambient share, 1 for shaded or 0 for flat light, exposure.
    """
    size = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
    lamp = max(0.0, ((nx * light[0] + ny * light[1] + nz * light[2]) / size + 0.3) / 1.3)
    ambient = (0.8 + 0.2 * nz / size) * (0.6 - 0.4 * ny / size)
    value = light[3] * ambient + (1 - light[3]) * 1.25 * lamp
    if flipped:
        value *= 0.45
    return 1 + light[4] * (light[5] * value - 1)


@njit(cache=True, fastmath=True)
def _mix(values, a, b, c, l0, l1, i):
    """Column `i` of a vertex's values (V, C) at barycentric weights."""
    return l0 * values[a, i] + l1 * values[b, i] + (1 - l0 - l1) * values[c, i]


@njit(cache=True, fastmath=True)
def _cloth(field, cloth, x, y):
    """Garment position and colour at a pattern position: u, v, and three channels."""
    ix, iy, fx, fy = _cell(field, (x + 0.5) / FIELD_STEP - 0.5, (y + 0.5) / FIELD_STEP - 0.5)
    u, v = _blend(field, ix, iy, fx, fy, 0), _blend(field, ix, iy, fx, fy, 1)
    jx, jy, gx, gy = _cell(cloth, u, v)
    return (u, v, _blend(cloth, jx, jy, gx, gy, 0), _blend(cloth, jx, jy, gx, gy, 1),
            _blend(cloth, jx, jy, gx, gy, 2))  # fmt: skip


@njit(cache=True, fastmath=True)
def shade(buffers, done, mesh, looks, dress, out, flow):
    """Colours `out` (H, W, 3) float32 over what is there; fills `flow` (H, W, 2) with garment.

    `buffers` are face and corner; pixels whose face is that of `done` (H, W) are left as they are.
    `mesh` is faces, material, normal, pattern, tile and colour of Mesh; `looks` textures (6, N, N,
    3) by material, normal disturbance (M, M, 2) by pattern position, and light as in `_light`;
    `dress` garment position (Hp / 4, Wp / 4, 2) by pattern position, and its picture (Hg, Wg, 3).
    """
    (face, corner), (faces, material, normal, pattern, tile, colour) = buffers, mesh
    (tiles, folds, light), (field, cloth) = looks, dress
    size, period = tiles.shape[1], folds.shape[0]
    for y in range(face.shape[0]):
        for x in range(face.shape[1]):
            f = face[y, x]
            if f < 0 or f == done[y, x]:
                continue
            a, b, c, m = faces[f, 0], faces[f, 1], faces[f, 2], material[f]
            l0, l1 = corner[y, x, 0], corner[y, x, 1]
            nx, ny = _mix(normal, a, b, c, l0, l1, 0), _mix(normal, a, b, c, l0, l1, 1)
            nz = _mix(normal, a, b, c, l0, l1, 2)
            flipped = ny > 0.02 and m != HAIR
            if ny > 0:
                nx, ny, nz = -nx, -ny, -nz
            if m == GARMENT:
                u, v = _mix(pattern, a, b, c, l0, l1, 0), _mix(pattern, a, b, c, l0, l1, 1)
                row, column = int(v) % period, int(u) % period
                nx, nz = nx + folds[row, column, 0], nz + folds[row, column, 1]
                flow[y, x, 0], flow[y, x, 1], out[y, x, 0], out[y, x, 1], out[y, x, 2] = _cloth(
                    field, cloth, u, v
                )
            else:
                u, v = _mix(tile, a, b, c, l0, l1, 0), _mix(tile, a, b, c, l0, l1, 1)
                row, column = int(np.floor(v * size)) % size, int(np.floor(u * size)) % size
                own = m == SKIN or m == EYES
                for i in range(3):
                    tint = _mix(colour, a, b, c, l0, l1, i) if own else 1.0
                    out[y, x, i] = tiles[m, row, column, i] * tint
            bright = _light(nx, ny, nz, light, flipped)
            for i in range(3):
                out[y, x, i] = min(255.0, out[y, x, i] * bright)


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
