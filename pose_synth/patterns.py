"""Cuts of the 3-D tops: which part of a mesh is garment, and its flat outline as a strip mesh.

A top lies on the person at rest as it would lie on a table: seen from the front, its silhouette is
a flat garment. A cut is drawn on that silhouette (sleeve length, hem, neckline), so that one mesh
serves for many garments, and `flat_mesh` of it links every point of the top to any shop photo.

Convention: pattern pixels `(x, y)` are the rest position of the mean person, `to_pattern`.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

from pose_synth.body import CONTROLLED, Body, Figure
from pose_synth.flat import flat_mesh
from pose_synth.garments import fold_share
from pose_synth.proxies import Proxy, components
from pose_synth.strips import StripMesh

SIZE = (400, 560)  # (height, width) of a pattern
PER_METRE = 400
TOP = 0.87  # height of the pattern's first row: the mean person's chin
MAX_MISFIT, MAX_FOLD = 0.12, 0.02
ARMPIT = 0.15  # metres under the shoulder
ARM_WIDTH = 0.125  # metres from the arm's axis to what is no sleeve any more but the hips
OVERLAP = 13  # pixels by which cloth reaches over the skin that it hides


def to_pattern(rest: np.ndarray) -> np.ndarray:
    """Rest positions (N, 3) in metres to pattern pixels (N, 2) float32."""
    at = np.stack([rest[:, 0] * PER_METRE + SIZE[1] / 2, (TOP - rest[:, 2]) * PER_METRE], 1)
    return at.astype(np.float32)


@dataclass(frozen=True)
class Cut:
    """What is cut off a top; lengths in metres at rest."""

    sleeve: float = 9.0
    """End of the sleeve as a share of the way from the shoulder to the wrist."""
    hem: float = -9.0
    """Height of the hem above the mean person's hips."""
    neck_depth: float = 0.0
    """Depth of the neckline under the chin's base; 0 keeps the mesh's own."""
    neck_width: float = 0.1
    """Half the neckline's width at its top."""
    pointed: bool = False
    """Whether the neckline is a V."""
    shoulder: float = 9.0
    """Half the width at which sleeves are cut straight off (a vest); 9 keeps them."""
    strapless: bool = False


class Pattern(NamedTuple):
    """One top with one cut."""

    top: int  # which mesh
    keep: np.ndarray  # (2, H, W) uint8: front and back, 1 where the cut leaves cloth
    mesh: StripMesh | None  # None for cuts whose outline is no sleeved top
    sleeve: float  # share of the arm
    hem: float  # depth in torso lengths, as sizes.flat_hem
    core: np.ndarray  # (2, H, W) uint8: the cloth without its ends; hides what is under it


class Landmarks(NamedTuple):
    """The mean person's joints in pattern pixels."""

    shoulder: np.ndarray  # (2,) of the right of the picture
    wrist: np.ndarray
    neck: np.ndarray
    hip: np.ndarray


def landmarks(figure: Figure) -> Landmarks:
    """Joints of the mean person."""
    at = to_pattern(figure.heads)
    names = ("upperarm01.L", "wrist.L", "neck01", "upperleg01.L")
    return Landmarks(*(at[CONTROLLED.index(n)] for n in names))


def _silhouettes(points: np.ndarray, faces: np.ndarray, back: np.ndarray) -> np.ndarray:
    """(2, H, W) uint8 of the faces that look forward and of those that look back."""
    out = np.zeros((2, *SIZE), np.uint8)
    for side in (0, 1):
        for triangle in np.round(points[faces[back == side]]).astype(np.int32):
            cv2.fillConvexPoly(out[side], triangle, 1)
        out[side] = cv2.morphologyEx(out[side], cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    return out


def cut_mask(cut: Cut, marks: Landmarks) -> np.ndarray:
    """(2, H, W) bool: what the cut leaves of the front and of the back."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    off = np.abs(x - SIZE[1] / 2)
    arm = marks.wrist - marks.shoulder
    origin = marks.shoulder - (SIZE[1] / 2, 0)
    along = ((off - origin[0]) * arm[0] + (y - origin[1]) * arm[1]) / (arm @ arm)
    inward = ((y - origin[1]) * arm[0] - (off - origin[0]) * arm[1]) / np.linalg.norm(arm)
    keep = (along < cut.sleeve) | (off < origin[0]) | (inward > ARM_WIDTH * PER_METRE)
    keep &= y < marks.hip[1] - cut.hem * PER_METRE
    keep &= (off < cut.shoulder * PER_METRE) | (y > origin[1] + ARMPIT * PER_METRE)
    both = np.stack([keep, keep])
    if cut.strapless:
        return both & (y > origin[1] + 0.13 * PER_METRE)
    if cut.neck_depth > 0:
        base = marks.neck[1]
        drop = np.clip((y - base) / (cut.neck_depth * PER_METRE), -1, 1)
        width = cut.neck_width * PER_METRE
        edge = width * (1 - drop) if cut.pointed else width * np.sqrt(1 - np.maximum(drop, 0) ** 2)
        both[0] &= ~((off < edge) & (drop < 1))
        both[1] &= ~((off < width) & (drop < 0.2))
    return both


def _arm_share(mesh: StripMesh, marks: Landmarks) -> float:
    """How much of the way from the shoulder to the wrist the sleeves cover."""
    ends = [abs(s[-1].mean(0)[0] - SIZE[1] / 2) for s in (mesh.left, mesh.right) if s is not None]
    start, end = marks.shoulder[0] - SIZE[1] / 2, marks.wrist[0] - SIZE[1] / 2
    return float(np.clip((np.mean(ends) - start) / (end - start), 0, 1))


def _without_ends(keep: np.ndarray, marks: Landmarks) -> np.ndarray:
    """The cloth (H, W) without its hem, neckline and cuffs; its sides are not taken in."""
    arm = np.eye(OVERLAP, dtype=np.uint8)
    off = np.arange(SIZE[1]) - SIZE[1] // 2
    reach = marks.shoulder[0] - SIZE[1] / 2
    torso = cv2.erode(keep, np.ones((OVERLAP, 1), np.uint8))
    right, left = cv2.erode(keep, arm), cv2.erode(keep, arm[:, ::-1].copy())
    return np.where(np.abs(off) < reach, torso, np.where(off > 0, right, left))


class Top:
    """A top's mesh with what does not depend on the person."""

    def __init__(self, proxy: Proxy, figure: Figure):
        rest = proxy.rest(figure)
        part = components(proxy.faces, len(rest))
        used = part[proxy.faces[:, 0]]
        height = {p: rest[proxy.faces[used == p]][..., 2].mean()
                  for p in np.unique(used) if (used == p).sum() > 700}  # fmt: skip
        self.proxy, highest = proxy, max(height, key=height.get)
        self.lowest = min(height, key=height.get)
        self.faces = proxy.faces[used == highest]
        self.lower = proxy.faces[used == self.lowest]
        self.points = to_pattern(rest)
        corner = rest[self.faces]
        normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        self.silhouettes = _silhouettes(self.points, self.faces, (normal[:, 1] > 0).astype(int))

    def cut(self, number: int, cut: Cut, marks: Landmarks, plain: bool = False) -> Pattern | None:
        """The pattern of a cut; None where its outline is no top with two sleeves."""
        left = cut_mask(cut, marks).astype(np.uint8)
        grown = [cv2.dilate(s, np.ones((5, 5), np.uint8)) for s in self.silhouettes]
        core = np.stack([_without_ends(g * k, marks) for g, k in zip(grown, left, strict=True)])
        if plain:
            return Pattern(number, left, None, 0.0, 0.0, core)
        found = flat_mesh(self.silhouettes[0] * left[0] > 0, neckline_drop=0.0)
        if found is None or found[1] > MAX_MISFIT or fold_share(found[0]) > MAX_FOLD:
            return None
        mesh = found[0]
        hem = (mesh.torso[-1, 4, 1] - marks.shoulder[1]) / (marks.hip[1] - marks.shoulder[1])
        return Pattern(number, left, mesh, _arm_share(mesh, marks), float(hem), core)


def random_cut(rng: np.random.Generator, sleeve: float) -> Cut:
    """A cut with sleeves of about the given length; few hems stay as they are, some are ragged."""
    low = -0.03 if rng.random() < 0.6 else 0.12
    cut = Cut(sleeve=sleeve, hem=float(rng.uniform(low, low + 0.15)))
    if rng.random() < 0.6:
        cut = replace(cut, neck_depth=float(rng.uniform(0.03, 0.12)), pointed=rng.random() < 0.4,
                      neck_width=float(rng.uniform(0.07, 0.11)))  # fmt: skip
    return cut


def bare_cut(rng: np.random.Generator) -> Cut:
    """A sleeveless, strapless or cropped cut: for what people wear before the try-on."""
    depth, width = float(rng.uniform(0.05, 0.16)), float(rng.uniform(0.07, 0.11))
    hem = float(rng.uniform(0.0, 0.25))
    if rng.random() < 0.25:
        return Cut(sleeve=0.0, hem=hem, shoulder=0.19, strapless=True)
    return Cut(0.0, hem, depth, width, bool(rng.random() < 0.4), float(rng.uniform(0.14, 0.19)))


def make_patterns(tops: list[Top], body: Body, count: int, seed: int = 0) -> list[Pattern]:
    """Patterns with strip meshes, of all sleeve lengths, and a third as many bare ones after.

    The first top is the plainest long-sleeved one and gets most of the cuts.
    """
    rng = np.random.default_rng(seed)
    marks = landmarks(body.figure(np.zeros(len(body.basis))))
    found: list[Pattern] = []
    for i in range(6 * count):
        number = 0 if i % 2 else i // 2 % len(tops)
        sleeve = 9.0 if rng.random() < 0.45 else float(rng.choice([0.22, 0.3, 0.4, 0.5, 0.65, 0.8]))
        pattern = tops[number].cut(number, random_cut(rng, sleeve), marks)
        if pattern is not None:
            found.append(pattern)
        if len(found) == count:
            break
    for i in range(count // 3):
        number = i % len(tops)
        found.append(tops[number].cut(number, bare_cut(rng), marks, plain=True))
    return found
