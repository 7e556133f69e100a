"""Tops of other people: cut out of photos with all their layers, and put on somebody.

A shop garment on a worn mesh can't look like an open jacket, a fur collar or a hand in a pocket. A
borrowed top is real, and comes from somebody who stands alike, so that little bending is needed.
"""

from typing import NamedTuple

import cv2
import numpy as np
from scipy.interpolate import RBFInterpolator

from dmvton.parsing import Parsing
from pose_synth.labels import TOPS
from pose_synth.outfit import LONG_SLEEVE, Outfit, arm_band, below_shoulders, torso_area
from pose_synth.persons import square
from pose_synth.products import soft_mask
from pose_synth.worn import LEFT_SIDE, RIGHT_SIDE, torso_frame

MIN_COVER = 0.85  # share of the bare arms that a borrowed top has to hide
LOWEST = 1.3  # torso lengths; what a longer coat hides nobody could tell
NEAREST = 16  # tops to choose from
MAX_DISTANCE = 0.22  # mean distance of elbows and wrists in torso lengths
STIFF = 40.0  # pixels of scale 1; how little a top follows single keypoints
_KNEES = (26, 25)
_ANCHORS = (*RIGHT_SIDE, *LEFT_SIDE, *_KNEES)
_ARMS = [1, 2, 5, 6]  # elbows and wrists among them


class WornTop(NamedTuple):
    """All layers of a worn top, on a person's canvas."""

    key: str
    image: np.ndarray  # (H, W, 3) uint8
    alpha: np.ndarray  # (H, W) float32
    anchors: np.ndarray  # (10, 2) shoulder, elbow, wrist, hip of both sides, knees; pixels


def tops_of(outfits: list[Outfit]) -> list[WornTop]:
    """The long-sleeved tops among outfits that end about the hips, each also mirrored."""
    tops = [_top(o) for o in outfits if _suits(o)]
    return tops + [mirrored(t) for t in tops]


def _suits(outfit: Outfit) -> bool:
    if outfit.sleeve < LONG_SLEEVE or outfit.layers == "dress":
        return False
    cloth = np.isin(outfit.parsing, TOPS)
    return bool((cloth & (below_shoulders(outfit)[0] > LOWEST)).sum() < 0.03 * cloth.sum())


def anchors_of(outfit: Outfit) -> np.ndarray:
    """Where a top is held (10, 2): shoulder, elbow, wrist, hip of both sides, knees; pixels."""
    return outfit.points[list(_ANCHORS), :2].astype(np.float32)


def _top(outfit: Outfit) -> WornTop:
    """Cut out, with what hair, bags and straps hide filled in."""
    cloth = np.isin(outfit.parsing, TOPS)
    closed = cv2.morphologyEx(cloth.astype(np.uint8), cv2.MORPH_CLOSE, square(9, outfit.scale))
    hides = np.isin(outfit.parsing, (Parsing.HAIR, Parsing.BAG, Parsing.ACCESSORY))
    whole = cloth | (hides & ((closed > 0) | torso_area(outfit)))
    missing = cv2.dilate((~cloth).astype(np.uint8), square(3, outfit.scale))
    near = cv2.dilate(whole.astype(np.uint8), square(5, outfit.scale))
    image = cv2.inpaint(outfit.image, missing & near, 3, cv2.INPAINT_TELEA)
    return WornTop(outfit.key, image, soft_mask(whole), anchors_of(outfit))


def mirrored(top: WornTop) -> WornTop:
    """The top as it would be worn the other way round."""
    anchors = top.anchors[[4, 5, 6, 7, 0, 1, 2, 3, 9, 8]].copy()
    anchors[:, 0] = top.image.shape[1] - 1 - anchors[:, 0]
    return WornTop(top.key, top.image[:, ::-1].copy(), top.alpha[:, ::-1].copy(), anchors)


def nearest_tops(tops: list[WornTop], outfit: Outfit) -> list[WornTop]:
    """Tops of other people whose arms are held alike, the most alike first."""
    if not tops:
        return []
    apart = np.stack([top.anchors[_ARMS] for top in tops]) - anchors_of(outfit)[_ARMS]
    away = np.linalg.norm(apart, axis=2).mean(1) / torso_frame(outfit.points[:, :2]).length
    order = np.argsort(away, kind="stable")[: NEAREST + 2]  # two may be the person's own
    near = [tops[i] for i in order if away[i] < MAX_DISTANCE and tops[i].key != outfit.key]
    return near[:NEAREST]


def put_over(
    top: WornTop, outfit: Outfit, image: np.ndarray, cover: float = MIN_COVER
) -> tuple[np.ndarray, np.ndarray] | None:
    """A picture of the person with the borrowed top over whatever is worn.

    Args:
        top: somebody else's.
        outfit: the person, for pose and parsing.
        image: (H, W, 3) uint8, the person.
        cover: share of bare arms that it has to hide.

    Returns:
        Picture (H, W, 3) uint8 and the top's mask (H, W) float32; None where the top folds or
        leaves bare arms beside it.
    """
    height, width = outfit.region.shape
    own = anchors_of(outfit).astype(np.float64)
    spread = np.sqrt(np.square(own - own.mean(0)).mean())
    stiff = STIFF * outfit.scale * spread
    spline = RBFInterpolator(own, top.anchors, smoothing=stiff, kernel="thin_plate_spline")
    step = round(4 * outfit.scale)
    y, x = np.mgrid[: height // step, : width // step]
    centre = (step - 1) / 2
    grid = np.stack([x, y], 2) * float(step) + centre
    field = spline(grid.reshape(-1, 2)).reshape(grid.shape)
    dx, dy = np.gradient(field, step, axis=1), np.gradient(field, step, axis=0)
    turn = dx[..., 0] * dy[..., 1] - dx[..., 1] * dy[..., 0]
    at = cv2.resize(field.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    alpha = cv2.remap(top.alpha, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderValue=0)
    inside = cv2.resize(alpha, turn.shape[::-1], interpolation=cv2.INTER_AREA) > 0.5
    if not inside.any() or turn[inside].min() < 0.2:
        return None
    skin = outfit.parsing == Parsing.SKIN
    bare = skin & arm_band(outfit, 0.93, 0.2)
    if bare.sum() > 60 * outfit.scale**2 and alpha[bare].mean() < cover:
        return None
    alpha = alpha * (1 - soft_mask(_in_front(outfit)))
    cloth = cv2.remap(top.image, at[..., 0], at[..., 1], cv2.INTER_LINEAR,
                      borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    over = image + (cloth.astype(np.float32) - image) * alpha[..., None]
    return np.round(over).astype(np.uint8), alpha


def _in_front(outfit: Outfit) -> np.ndarray:
    """Mask (H, W) bool of what lies before any top: head, hair, bags, hands."""
    down, _ = below_shoulders(outfit)
    skin = outfit.parsing == Parsing.SKIN
    hand = skin & (down > 0.25) & ~arm_band(outfit, 0.97, 0.4)
    kept = np.isin(outfit.parsing, (Parsing.HAIR, Parsing.HEADWEAR, Parsing.BAG))
    return kept | hand | (skin & (down < -0.2))
