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
    fill_nearest,
    torso_coordinates,
)


class Cut(NamedTuple):
    """What stays of a torso mesh, in shares of its width and length (`torso_coordinates`)."""

    inset: float  # where the armhole starts on the shoulder line, from the side
    curve: float  # exponent of the armhole; the higher, the nearer to the side it begins to widen
    neck: float  # half width of the neckline on the shoulder line
    depth: float  # of the neckline in its middle
    shape: float  # exponent of the neckline: 1 a V, 2 a scoop, 6 nearly square
    hem: float  # from here on down nothing stays; 1 leaves all
    strap: float | None = None  # half width of straps; what is above `depth` goes but for these

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
    """A vest, a tank top, a camisole or, seldom, a strapless top; one in four is cropped."""
    hem = rng.uniform(0.55, 0.8) if rng.random() < 0.25 else 1.0
    kind = rng.choice(["vest", "tank", "camisole", "strapless"], p=[0.36, 0.34, 0.22, 0.08])
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


def cut_garment(garment: Garment, cut: Cut, rng: np.random.Generator) -> Garment:
    """The garment without its sleeves and what else is cut away, before a plain wall.

    Half of the time the back shows in the neckline, as it does in shop photos; it is no part of
    the mask.
    """
    where = torso_coordinates(garment.mesh, garment.mask.shape)
    torso = ~np.isnan(where[..., 0])
    where = np.nan_to_num(where, nan=-1)
    keep = torso & cut.keeps(where)
    behind = np.full(3, rng.choice([255, 255, 245, 235, 210, 120, 40]), np.float32)
    image = np.broadcast_to(behind, garment.image.shape)
    if rng.random() < 0.5:
        higher = rng.uniform(0.3, 0.9)
        back = cut._replace(depth=cut.depth * higher)
        inner = _soft(torso & back.keeps(where))
        image = image + (garment.extended * rng.uniform(0.5, 0.9) - image) * inner
    share = _soft(keep) * garment.mask[..., None]
    image = np.round(image + (garment.image - image) * share).astype(np.uint8)
    mask = share[..., 0].astype(np.float32)
    extended = extend_colours(image, mask > 0.5, inset=odd(5, scale_of(garment.mask)))
    mesh = StripMesh(garment.mesh.torso, None, None)
    return replace(garment, image=image, mask=mask, extended=extended, mesh=mesh)


def cut_outfit(outfit: Outfit, cut: Cut) -> Outfit | None:
    """The person in a top of that cut: skin is painted on what it bares.

    None where that cannot be: the picture shows no skin to take the colour from.
    """
    if outfit.mesh.left is not None or outfit.mesh.right is not None:
        outfit = bare_arms(outfit, 0.03)
    worn = outfit.worn
    where = torso_coordinates(worn.mesh, outfit.region.shape)
    inside, where = ~np.isnan(where[..., 0]), fill_nearest(where)
    if not inside.any():
        return None
    keep = cut.keeps(where)
    # A deeper neckline or armhole than the cut's is filled up first.
    outfit = cover(outfit, inside & keep & (outfit.parsing == Parsing.SKIN) & (where[..., 1] < 0.5))
    away = outfit.region & ~keep
    down, _ = below_shoulders(outfit)
    bare = bared(outfit, away, away & body_area(outfit) & (down > -0.12))
    if bare is outfit:
        return None
    # The mesh stays: what is left of the top would tell its flanks and shoulders wrongly.
    return replace(bare, worn=worn)


def _soft(mask: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.8)[..., None]
