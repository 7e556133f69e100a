"""Sleeveless cuts: vests, tank tops, camisoles, strapless and cropped tops out of other tops.

No shop photo of the collections shows one. A cut says in coordinates of the torso's mesh what stays
of a top, so that it falls alike on the garment photo and on the person who wears it.
"""

from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from dmvton.parsing import Parsing
from pose_synth.garments import Garment, extend_colours
from pose_synth.outfit import (
    Outfit,
    bare_arms,
    bared,
    below_shoulders,
    body_area,
    cover,
)
from pose_synth.persons import odd, scale_of
from pose_synth.strips import (
    ARMPIT,
    StripMesh,
    dense_map,
    fill_nearest,
    torso_coordinates,
)

BACK = 0.3  # half width of a neckline in which the back may show, in shares of the torso's


class Cut(NamedTuple):
    """What stays of a torso mesh, in shares of its width and length (`torso_coordinates`)."""

    inset: float  # where the armhole starts on the shoulder line, from the side
    curve: float  # exponent of the armhole; the higher, the nearer to the side it begins to widen
    neck: float  # half width of the neckline on the shoulder line
    depth: float  # of the neckline in its middle
    shape: float  # exponent of the neckline: 1 a V, 2 a scoop, 6 nearly square
    hem: float  # from here on down nothing stays; 1 leaves all
    strap: float | None = None  # half width of straps; what is above `depth` goes but for these
    sleeves: bool = False  # whether sleeves stay

    def keeps(self, where: np.ndarray) -> np.ndarray:
        """Mask (...) bool of what stays at torso coordinates (..., 2)."""
        side = np.minimum(where[..., 0], 1 - where[..., 0])
        down = where[..., 1]
        if self.strap is not None:
            above = np.abs(side - self.inset) < self.strap
            dip = 0.25 * self.depth * np.clip((side - self.inset) / (0.5 - self.inset), 0, 1)
            top = (down > self.depth + dip) | above
        else:
            fall = np.clip(down / ARMPIT, 0, 1)
            off = np.clip((0.5 - side) / self.neck, 0, 1)
            top = (side >= self.inset * (1 - fall**self.curve)) & (
                down >= self.depth * (1 - off**self.shape)
            )
        return top & (down <= self.hem)


def draw_cut(rng: np.random.Generator) -> Cut:
    """A vest, a tank top, a camisole or a strapless top; one in four is cropped."""
    hem = rng.uniform(0.55, 0.8) if rng.random() < 0.25 else 1.0
    kind = rng.choice(["vest", "tank", "camisole", "strapless"], p=[0.32, 0.3, 0.25, 0.13])
    if kind in ("camisole", "strapless"):
        strap = rng.uniform(0.012, 0.035) if kind == "camisole" else 0.0
        return Cut(rng.uniform(0.14, 0.26), 1, 0, rng.uniform(0.15, 0.28), 1, hem, strap)
    if kind == "vest":
        inset, neck, depth = rng.uniform(0, 0.06), rng.uniform(0.14, 0.24), rng.uniform(0.02, 0.14)
    else:
        inset, depth = rng.uniform(0.06, 0.18), rng.uniform(0.12, 0.34)
        neck = 0.5 - inset - rng.uniform(0.06, 0.16)
    shape = float(rng.choice([1, 2, 2, 3, 6]))
    return Cut(inset, rng.uniform(1.5, 3), neck, depth, shape, hem)


def draw_neck(rng: np.random.Generator) -> Cut:
    """A neckline for a top that keeps its sleeves: its own, a high one or a deeper one."""
    kind = rng.choice(["own", "high", "deep"], p=[0.35, 0.3, 0.35])
    if kind == "own":
        return _sleeved(0.2, 0, 1)
    if kind == "high":
        return _sleeved(rng.uniform(0.13, 0.2), rng.uniform(0.02, 0.08), 2)
    return _sleeved(
        rng.uniform(0.12, 0.26), rng.uniform(0.08, 0.3), float(rng.choice([1, 1, 2, 3]))
    )


def _sleeved(neck: float, depth: float, shape: float) -> Cut:
    return Cut(0, 1, neck, depth, shape, 1.0, sleeves=True)


def cut_garment(garment: Garment, cut: Cut, rng: np.random.Generator) -> Garment:
    """The garment without what is cut away, before a plain wall.

    Half of the time the back shows in the neckline, as it does in shop photos; the mask is that of
    all that is cloth, as found masks are. Where sleeves and hem stay, the photo's ground stays half
    of the time.
    """
    place = _place(garment.mesh, garment.mask.shape, cut)
    wall = np.broadcast_to(_wall(rng), garment.image.shape)
    ground = cut.sleeves and cut.hem >= 1 and rng.random() < 0.5
    image = garment.image.astype(np.float32) if ground else wall
    share = _soft(place.keep(cut)) * garment.mask[..., None]
    cloth = share
    if ground or rng.random() < 0.5:  # on a ground the garment lies: its back shows
        higher = 0 if ground else rng.uniform(0.3, 0.9)
        inner = _soft(place.keep(cut._replace(depth=cut.depth * higher)))
        if cut.sleeves:
            inner = inner * garment.mask[..., None]
        image = image + (_in_shade(garment.extended, rng) - image) * inner
        cloth = np.maximum(share, inner)
    image = np.round(image + (garment.image - image) * share).astype(np.uint8)
    extended = extend_colours(image, share[..., 0] > 0.5, inset=odd(5, scale_of(garment.mask)))
    mesh = garment.mesh if cut.sleeves else StripMesh(garment.mesh.torso, None, None)
    mask = cloth[..., 0].astype(np.float32)
    return replace(garment, image=image, mask=mask, extended=extended, mesh=mesh)


def with_back(
    image: np.ndarray, mask: np.ndarray, mesh: StripMesh, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A flat garment in whose neckline the back shows: picture (H, W, 3) uint8 and mask (H, W).

    The mask, float32 in [0, 1], is that of all that is cloth.
    """
    where = np.nan_to_num(torso_coordinates(mesh, mask.shape), nan=-1)
    off = np.clip(np.abs(where[..., 0] - 0.5) / BACK, 0, 1)
    low = rng.uniform(0, 0.06) * (1 - off**2)
    hole = (off < 1) & (where[..., 1] >= low) & (where[..., 1] < 0.5) & (mask < 0.5)
    inner = _soft(hole)
    core = extend_colours(image, mask > 0.5, inset=odd(5, scale_of(mask)))
    shown = np.round(image + (_in_shade(core, rng) - image) * inner).astype(np.uint8)
    return shown, np.maximum(mask, inner[..., 0]).astype(np.float32)


def _in_shade(cloth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return cloth * rng.uniform(0.5, 0.9)


def cut_outfit(outfit: Outfit, cut: Cut) -> Outfit | None:
    """The person in a top of that cut: skin is painted on what it bares.

    None where that cannot be: the picture shows no skin to take the colour from.
    """
    if not cut.sleeves and (outfit.mesh.left is not None or outfit.mesh.right is not None):
        outfit = bare_arms(outfit, 0.03)
    worn = outfit.worn
    place = _place(worn.mesh, outfit.region.shape, cut)
    if not place.torso.any():
        return None
    keep = place.near(cut)
    # A deeper neckline or armhole than the cut's is filled up first.
    open_skin = place.torso & keep & (outfit.parsing == Parsing.SKIN) & (place.where[..., 1] < 0.5)
    outfit = cover(outfit, open_skin)
    away = outfit.region & ~keep
    if cut.sleeves and not away.any():
        return replace(outfit, worn=worn)
    down, _ = below_shoulders(outfit)
    bare = bared(outfit, away, away & body_area(outfit) & (down > -0.12))
    if bare is outfit:
        return None
    # The mesh stays: what is left of the top would tell its flanks and shoulders wrongly.
    return replace(bare, worn=worn)


class _Place(NamedTuple):
    """Where the pixels of a picture lie on a top that is to be cut."""

    where: np.ndarray  # (H, W, 2) torso coordinates, beyond the torso those of its nearest pixel
    torso: np.ndarray  # (H, W) bool
    sleeve: np.ndarray  # (H, W) bool: on a sleeve that stays, or nearest to one

    def near(self, cut: Cut) -> np.ndarray:
        """(H, W) bool: what the cut leaves, the picture beyond the top like what is nearest."""
        return cut.keeps(self.where) | self.sleeve

    def keep(self, cut: Cut) -> np.ndarray:
        """(H, W) bool: what the cut leaves of the top."""
        return self.near(cut) & (self.torso | cut.sleeves)


def _place(mesh: StripMesh, size: tuple[int, int], cut: Cut) -> _Place:
    where = torso_coordinates(mesh, size)
    if not cut.sleeves:
        torso = ~np.isnan(where[..., 0])
        return _Place(fill_nearest(where), torso, np.zeros(size, bool))
    sleeve = np.isfinite(dense_map(mesh, mesh, size, "left right")[..., 0])
    torso = ~np.isnan(where[..., 0]) & ~sleeve
    mark = np.where(torso | sleeve, sleeve, np.nan).astype(np.float32)
    where[sleeve] = 0.5
    known = fill_nearest(np.dstack([where, mark]))
    return _Place(known[..., :2], torso, known[..., 2] > 0.5)


def _wall(rng: np.random.Generator) -> np.ndarray:
    """(3,) float32 grey of the walls that shops have."""
    return np.full(3, rng.choice([255, 255, 245, 235, 210, 120, 40]), np.float32)


def _soft(mask: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.8)[..., None]
