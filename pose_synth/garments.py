"""Garment bank: shop photos of tops with mask, mesh and a score that says whether to trust them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pose_synth.flat import flat_mesh, mesh_iou
from pose_synth.landmarks import landmark_mesh
from pose_synth.outlines import grabcut_mask, load_outlines, load_rejects, mask_outline
from pose_synth.strips import ARMPIT_ROW, StripMesh

CANVAS = (240, 320)  # (width, height) of a garment canvas at scale 1
KINDS = ("t-shirt", "longsleeve", "shirt")
TOP_KINDS = (*KINDS, "outwear")  # classes that hold tops; outlines alone tell nothing of the last
EVERY_CLASS = ("dress", "longsleeve", "outwear", "pants", "shirt", "shorts", "skirt", "t-shirt")


@dataclass(frozen=True)
class GarmentGates:
    """What a garment photo must show to be used with its mesh."""

    max_misfit: float = 0.07
    """1 - IoU of mesh and mask."""
    max_fold: float = 0.015
    """Share of the mesh's area that is folded over."""
    min_area: float = 0.15
    max_area: float = 0.85
    max_asymmetry: float = 0.45
    """Relative difference of the two sleeves' lengths."""
    max_armpit: float = 0.5
    """Depth of the armpits in torso lengths; deeper, a sleeve lies on the torso and hides them."""
    sloping_cuffs: bool = False
    """Whether cuffs may slope inwards; off for the garments of the evaluation's protocols."""


@dataclass
class Garment:
    """One garment on a canvas of CANVAS * scale."""

    key: str
    kind: str
    image: np.ndarray  # (H, W, 3) uint8 BGR, as photographed
    mask: np.ndarray  # (H, W) float32 in [0, 1]
    extended: np.ndarray  # (H, W, 3) uint8: garment colours continued beyond the mask
    mesh: StripMesh
    misfit: float


def fold_share(mesh: StripMesh) -> float:
    """Share of the mesh's area in quads of the wrong orientation."""
    wrong = total = 0.0
    for grid in mesh:
        if grid is None:
            continue
        a, b = grid[1:, 1:] - grid[:-1, :-1], grid[1:, :-1] - grid[:-1, 1:]
        area = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
        sign = np.sign(np.median(area))
        wrong += np.abs(area[np.sign(area) != sign]).sum()
        total += np.abs(area).sum()
    return float(wrong / (total + 1e-9))


def asymmetry(mesh: StripMesh) -> float:
    """Relative difference of the two sleeves in length."""
    lengths = [np.linalg.norm(s[-1].mean(0) - s[0].mean(0)) for s in (mesh.left, mesh.right)]
    return float(abs(lengths[0] - lengths[1]) / (max(lengths) + 1e-6))


def _armpit_depth(mesh: StripMesh) -> float:
    side = mesh.torso[:, [0, -1]]
    steps = np.linalg.norm(np.diff(side, axis=0), axis=2)  # (13, 2)
    return float((steps[:ARMPIT_ROW].sum(0) / (steps.sum(0) + 1e-6)).max())


def reject_reason(mask: np.ndarray, found, gates: GarmentGates) -> str | None:
    """Why a garment is not used, or None. `found` is the result of `flat_mesh`."""
    if found is None:
        return "no landmarks"
    mesh, misfit = found
    if not gates.min_area < mask.mean() < gates.max_area:
        return "mask size"
    if misfit > gates.max_misfit:
        return "mesh misfit"
    if fold_share(mesh) > gates.max_fold:
        return "mesh folds"
    if asymmetry(mesh) > gates.max_asymmetry:
        return "sleeves differ"
    if _armpit_depth(mesh) > gates.max_armpit:
        return "armpit hidden"
    return None


def extend_colours(image: np.ndarray, mask: np.ndarray, inset: int = 5) -> np.ndarray:
    """Continues the garment's colours outwards, so that samples at its edge keep its colour."""
    core = cv2.erode(mask.astype(np.uint8), np.ones((inset, inset), np.uint8))
    _, label = cv2.distanceTransformWithLabels(
        1 - core, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colours = np.zeros((label.max() + 1, 3), np.uint8)
    colours[label[core > 0]] = image[core > 0]
    return colours[label]


def canvas_matrix(shape: tuple[int, int], scale: float) -> np.ndarray:
    """(2, 3) affine that letterboxes a photo of (height, width) into the canvas."""
    width, height = CANVAS[0] * scale, CANVAS[1] * scale
    zoom = min(width / shape[1], height / shape[0])
    shift = [(width - zoom * shape[1] + zoom - 1) / 2, (height - zoom * shape[0] + zoom - 1) / 2]
    return np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])


def _mask(photo: np.ndarray, outline: np.ndarray | None) -> np.ndarray:
    """The garment's mask (H, W) bool, from a saved outline where there is one."""
    if outline is None:
        return grabcut_mask(photo)
    mask = np.zeros(photo.shape[:2], np.uint8)
    if len(outline) > 2:
        cv2.fillPoly(mask, [outline.astype(np.int32)], 1)
    return mask > 0


def load_garment(
    path: Path,
    scale: float,
    gates: GarmentGates,
    outline: np.ndarray | None = None,
    points: np.ndarray | None = None,
) -> Garment | str:
    """The garment of a photo, or the reason why it is not used.

    Args:
        path: photo; the folder's name is the garment's class.
        scale: of the canvas.
        gates: what a garment whose mesh comes from its outline must show.
        outline: (n, 2) of the mask, in photo pixels; found anew if not given.
        points: landmarks (12, 2) in photo pixels that were found and accepted before.
    """
    photo = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if photo is None:
        return "unreadable"
    return garment_of(photo, _mask(photo, outline), garment_key(path), scale, gates, points)


def garment_of(
    photo: np.ndarray,
    mask: np.ndarray,
    key: str,
    scale: float,
    gates: GarmentGates,
    points: np.ndarray | None = None,
) -> Garment | str:
    """The garment of a photo (H, W, 3) and its mask (H, W) bool; `key` is class/name."""
    if points is not None:
        rim = mask_outline(mask)
        if len(rim) < 3:
            return "no outline"
        mesh = landmark_mesh(points, rim)
        return _on_canvas(key, photo, mask, mesh, 1 - mesh_iou(mesh, mask), scale)
    found = None
    if mask.mean() > gates.min_area:
        found = flat_mesh(mask, sloping=gates.sloping_cuffs)
    reason = reject_reason(mask, found, gates)
    return reason or _on_canvas(key, photo, mask, *found, scale)


def _on_canvas(key, photo, mask, mesh, misfit, scale) -> Garment:
    matrix = canvas_matrix(photo.shape[:2], scale)
    size = (round(CANVAS[0] * scale), round(CANVAS[1] * scale))
    warp = dict(flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    if matrix[0, 0] < 1:  # a light blur: warpAffine does not average when it shrinks
        photo = cv2.GaussianBlur(photo, (0, 0), 0.5 * max(0.01, 1 / matrix[0, 0] - 0.6))
    # The mask is exact to about 1/130 of the photo: its rim may still be background.
    inner = extend_colours(photo, mask, inset=2 * round(max(mask.shape) / 130) + 1)
    image, extended = (cv2.warpAffine(x, matrix, size, **warp) for x in (photo, inner))
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.8)
    soft = cv2.warpAffine(soft, matrix, size, flags=cv2.INTER_AREA)
    return Garment(
        key, key.partition("/")[0], image, soft, extended, mesh.transform(matrix), misfit
    )


def load_garments(
    paths: list[Path],
    scale: float = 1.0,
    gates: GarmentGates | None = None,
    landmarks: dict[str, np.ndarray] | None = None,
) -> Iterator[Garment | tuple[str, str]]:
    """Yields every accepted garment, and (key, reason) for every other one.

    `landmarks` (12, 2) by key say the mesh where the outline does not; a garment of REJECTS is left
    out where they are given.
    """
    outlines = load_outlines()
    rejects = {} if landmarks is None else load_rejects()
    for path in paths:
        key = garment_key(path)
        points = (landmarks or {}).get(key)
        if key in rejects:
            yield key, rejects[key]
            continue
        if path.parent.name not in KINDS and points is None:
            yield key, "no landmarks"
            continue
        found = load_garment(path, scale, gates or GarmentGates(), outlines.get(key), points)
        yield (key, found) if isinstance(found, str) else found


def garment_key(path: Path) -> str:
    """Class and file name without extension: `t-shirt/0a1b...`."""
    return f"{path.parent.name}/{path.stem}"


def garment_paths(root: Path, kinds: tuple[str, ...] = KINDS) -> list[Path]:
    """Garment photos of the given classes, `root/<class>/*.jpg`."""
    return [p for kind in kinds for p in sorted((root / kind).glob("*.jpg"))]
