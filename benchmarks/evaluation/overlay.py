"""The classical contender: a thin-plate spline from landmarks of the garment to keypoints.

No learning: the garment's landmarks come from its outline (shoulders, armpits, hem, cuffs), the
body's from keypoints; the warped garment is laid over the photo. It cannot take anything off.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from scipy.interpolate import RBFInterpolator

from benchmarks.evaluation.contenders import Cloth, Frame, Known
from benchmarks.evaluation.regions import torso_length
from dmvton.keypoints import Keypoint as K
from pose_synth.flat import flat_mesh
from pose_synth.garments import extend_colours
from pose_synth.strips import ARMPIT_ROW, StripMesh

_LOOSE = 1.12  # garment's shoulder seam over the distance of the shoulder joints
_SLEEVE_ROWS = (0, 3, 6, 9)


def spline(
    at: np.ndarray, to: np.ndarray, smoothing: float = 1e-3
) -> Callable[[np.ndarray], np.ndarray]:
    """The thin-plate spline that takes each of `at` (n, 2) near its point of `to` (n, 2).

    `smoothing` is for points that lie about 1 from their centre, as they are scaled here.
    """
    centre = at.mean(0)
    scale = float(np.linalg.norm(at - centre, axis=1).mean())
    unit = RBFInterpolator((at - centre) / scale, to, smoothing=smoothing)
    return lambda points: unit((points - centre) / scale)


def _walk(path: np.ndarray, distance: float) -> np.ndarray:
    """The point at a distance along a polyline (n, 2); its end where that is farther."""
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    arc = np.r_[0, np.cumsum(steps)]
    return np.array([np.interp(distance, arc, path[:, i]) for i in (0, 1)])


class Part(NamedTuple):
    """A part of the garment with corresponding points; left is the picture's left."""

    outline: np.ndarray  # (m, 2) garment pixels
    flat: np.ndarray  # (n, 2) garment pixels
    body: np.ndarray  # (n, 2) picture pixels


def parts(mesh: StripMesh, points: np.ndarray) -> list[Part]:
    """Torso and sleeves, each with a spline of its own: one for all would fold at the armpits."""
    xy = points[:, :2].astype(np.float64)
    shoulder, torso = xy[[K.RIGHT_SHOULDER, K.LEFT_SHOULDER]], torso_length(points)
    middle = shoulder.mean(0)
    down = (xy[[K.RIGHT_HIP, K.LEFT_HIP]].mean(0) - middle) / (torso + 1e-6)
    half = shoulder[1] - middle  # half of the shoulders, towards the picture's right
    seam = middle + _LOOSE * (shoulder - middle) - 0.07 * torso * down
    rows = mesh.torso[[0, ARMPIT_ROW, -1]][:, [0, -1]]  # (3, 2, 2) seam, armpit, hem
    widths = np.linalg.norm(rows[:, 1] - rows[:, 0], axis=1)
    zoom = 0.95 * torso / float(widths[1] + 1e-6)  # a top's chest is about a torso length wide
    hem_at = min(zoom * np.linalg.norm(mesh.torso[0, 4] - mesh.torso[-1, 4]), 1.35 * torso)
    chest, hem = (np.clip(w / (widths[0] + 1e-6) * _LOOSE, 1.0, 1.25) for w in widths[1:])
    armpit = [middle + s * chest * half + 0.32 * torso * down for s in (-1, 1)]
    body = [*seam, middle - 0.04 * torso * down, *armpit]
    body += [middle + s * hem * half + hem_at * down for s in (-1, 1)]
    flat = [*rows[0], mesh.torso[0, 4], *rows[1], *rows[2]]
    out = [Part(_outline(mesh.torso), np.array(flat), np.array(body))]
    arms = ((K.RIGHT_ELBOW, K.RIGHT_WRIST), (K.LEFT_ELBOW, K.LEFT_WRIST))
    for side, sleeve in enumerate((mesh.left, mesh.right)):
        if sleeve is not None:
            root = 0.5 * (seam[side] + armpit[side])
            path = np.array([root, *xy[list(arms[side])]])
            out.append(_sleeve(sleeve, path, zoom, seam[side] - middle, 0.16 * torso))
    return out


def _sleeve(
    sleeve: np.ndarray, path: np.ndarray, zoom: float, away: np.ndarray, limit: float
) -> Part:
    """Both edges of a sleeve (10, 5, 2) along an arm (3, 2), at most `limit` from its middle."""
    body = []
    middle = sleeve.mean(1)  # (10, 2)
    reach = np.r_[0, np.cumsum(np.linalg.norm(np.diff(middle, axis=0), axis=1))] * zoom
    reach *= min(1.0, np.linalg.norm(np.diff(path, axis=0), axis=1).sum() / (reach[-1] + 1e-6))
    for row in _SLEEVE_ROWS:
        centre = _walk(path, reach[row])
        along = _walk(path, reach[row] + 2) - _walk(path, reach[row] - 2)
        along /= np.linalg.norm(along) + 1e-6
        outward = np.array([along[1], -along[0]])
        outward *= np.sign(outward @ away) or 1.0
        half = min(zoom * np.linalg.norm(sleeve[row, 0] - sleeve[row, -1]) / 2, limit)
        body += [centre + half * outward, centre - half * outward]
    flat = sleeve[list(_SLEEVE_ROWS)][:, [0, -1]].reshape(-1, 2)
    return Part(_outline(sleeve), flat, np.array(body))


def _outline(grid: np.ndarray) -> np.ndarray:
    """The rim (m, 2) of a grid (r, c, 2)."""
    return np.concatenate([grid[0], grid[1:, -1], grid[-1, ::-1], grid[::-1, 0]])


class Overlay:
    """Lays the garment over the photo; where its outline shows no top, the photo stays."""

    name = "overlay"

    def __init__(self) -> None:
        self._meshes: dict[str, tuple[StripMesh, np.ndarray] | None] = {}

    def _prepared(self, cloth: Cloth) -> tuple[StripMesh, np.ndarray] | None:
        if cloth.key not in self._meshes:
            found = flat_mesh(cloth.mask)
            colours = extend_colours(cloth.rgb, cloth.mask)
            self._meshes[cloth.key] = None if found is None else (found[0], colours)
        return self._meshes[cloth.key]

    def crop(self, person: np.ndarray, cloth: Cloth, known: Known) -> np.ndarray:
        """Warp and lay over, the sleeves last."""
        prepared = self._prepared(cloth)
        if prepared is None:
            return person
        mesh, colours = prepared
        out = person.astype(np.float32)
        for part in parts(mesh, known.points):
            own = np.zeros(cloth.mask.shape, np.uint8)
            cv2.fillPoly(own, [np.round(part.outline).astype(np.int32)], 1)
            own = cv2.dilate(own, np.ones((5, 5), np.uint8)) * cloth.mask
            at = _positions(spline(part.body, part.flat), person.shape[:2])
            warped = cv2.remap(colours, at[..., 0], at[..., 1], cv2.INTER_LINEAR)
            alpha = cv2.remap(own.astype(np.float32), at[..., 0], at[..., 1], cv2.INTER_LINEAR)
            alpha *= _reach(part.body, alpha.shape)
            out += (warped - out) * alpha[..., None]
        return np.rint(out).astype(np.uint8)

    photo = crop

    def stream(self, cloth: Cloth) -> Frame:
        """Frame by frame."""
        return lambda frame, known: self.crop(frame, cloth, known)


def _reach(body: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Where a spline can be trusted: (H, W) uint8, 1 in the hull of its points and a little on."""
    out = np.zeros(shape, np.uint8)
    hull = cv2.convexHull(np.round(body).astype(np.int32))
    cv2.fillConvexPoly(out, hull, 1)
    margin = max(3, round(0.08 * float(np.ptp(body, axis=0).max())))
    cv2.polylines(out, [hull], True, 1, 2 * margin)
    return out


def _positions(warp: Callable, shape: tuple[int, int], step: int = 4) -> np.ndarray:
    """The spline at every pixel (H, W, 2) float32; smooth, so a coarse grid is enlarged."""
    height, width = shape
    x, y = np.arange(0, width + step, step), np.arange(0, height + step, step)
    grid = np.stack(np.meshgrid(x, y), 2).astype(np.float64)
    coarse = warp(grid.reshape(-1, 2)).reshape(grid.shape).astype(np.float32)
    fine = np.meshgrid(np.arange(width) / step, np.arange(height) / step)
    return cv2.remap(coarse, *(v.astype(np.float32) for v in fine), cv2.INTER_LINEAR)
