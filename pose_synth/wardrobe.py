"""What rendered people are made of: body, tops, lower garments, hair and shoes, ready to pose."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pose_synth.body import Body, Figure, bones, skin
from pose_synth.ccp import SourceError
from pose_synth.patterns import Pattern, Top, make_patterns, to_pattern
from pose_synth.proxies import Proxy
from pose_synth.raster import EYES, HAIR, LOWER, SHOES, SKIN, normals

TOPS = ("male_casualsuit02", "male_casualsuit04", "female_casualsuit01", "female_casualsuit02",
        "male_casualsuit03", "female_elegantsuit01", "male_casualsuit06")  # fmt: skip
COLLARED = ("male_casualsuit03", "female_elegantsuit01")  # open collars, as shirts have
HAIRS = ("afro01", "bob01", "bob02", "braid01", "long01", "ponytail01", "short01", "short02",
         "short03", "short04")  # fmt: skip
SHOE_KINDS = ("shoes01", "shoes03", "shoes05")
EYE_VERTICES = range(14598, 14742)
HIDEABLE = ("root", "spine", "clavicle", "shoulder", "upperarm", "lowerarm", "neck", "upperleg")


class Part(NamedTuple):
    """A mesh on the mean person with what the shading needs to know of it."""

    proxy: Proxy
    faces: np.ndarray  # (F, 3) int32
    pattern: np.ndarray  # (V, 3) float32: pattern x, y, and 1 at the back
    tile: np.ndarray  # (V, 2) float32
    material: int


def _pattern(rest: np.ndarray, faces: np.ndarray) -> np.ndarray:
    back = normals(rest.astype(np.float32), faces)[:, 1:2] > 0
    return np.concatenate([to_pattern(rest), back], 1).astype(np.float32)


def _strands(rest: np.ndarray) -> np.ndarray:
    """Texture positions of hair: fine around the head, slow along it."""
    around = np.arctan2(rest[:, 0], -rest[:, 1] + 0.02)
    return np.stack([around * 0.8, rest[:, 2] * 1.2], 1).astype(np.float32)


class Wardrobe:
    """All meshes, read once.

    Convention: `assets` is the folder `base/` of makehumancommunity/makehuman-assets.
    """

    def __init__(self, assets: Path, patterns: int = 56, seed: int = 0):
        """Reads the meshes and draws the cuts.

        Raises:
            SourceError: the meshes are not there.
        """
        if not (assets / "clothes").is_dir():
            raise SourceError(
                f"no clothes/ in {assets}; rendered people need the folder base/ of the public "
                "repository makehumancommunity/makehuman-assets (CC0): clone it and name that "
                "folder as assets"
            )
        self.body = Body()
        self.mean = self.body.figure(np.zeros(len(self.body.basis)))
        read = lambda kind, name: Proxy(assets / kind / name / f"{name}.mhclo", self.body)  # noqa: E731
        self.tops = [Top(read("clothes", name), self.mean) for name in TOPS]
        self.patterns: list[Pattern] = make_patterns(self.tops, self.body, patterns, seed)
        self.top_parts = [self._part(t.proxy, t.faces, -1) for t in self.tops]
        self.lowers = [self._part(t.proxy, t.lower, LOWER) for t in self.tops]
        self.hairs = [self._part(p, p.faces, HAIR) for p in (read("hair", h) for h in HAIRS)]
        self.shoes = [self._part(p, p.faces, SHOES) for p in
                      (read("clothes", s) for s in SHOE_KINDS)]  # fmt: skip
        self._prepare_body()

    def _part(self, proxy: Proxy, faces: np.ndarray, material: int) -> Part:
        rest = proxy.rest(self.mean)
        pattern = _pattern(rest, faces)
        tile = _strands(rest) if material == HAIR else pattern[:, :2] / 160
        return Part(proxy, faces, pattern, tile.astype(np.float32), material)

    def _prepare_body(self) -> None:
        body, rest = self.body, self.mean.vertices
        self.pattern = _pattern(rest, body.faces)
        self.tile = (self.pattern[:, :2] / 160).astype(np.float32)
        hideable = np.isin(body.strongest, bones(*HIDEABLE))
        hideable[body.fingers] = False
        self.under = hideable[body.faces].all(1)
        eye = np.zeros(body.count, bool)
        eye[list(EYE_VERTICES)] = True
        self.body_material = np.where(eye[body.faces[:, 0]], EYES, SKIN).astype(np.uint8)
        self.eye = eye

    def hidden_by(self, lower: Part) -> np.ndarray:
        """Body faces (F,) bool that a lower garment covers."""
        rest = lower.proxy.rest(self.mean)
        high = rest[lower.faces][..., 2].max() - 0.02
        gone = lower.proxy.deleted & (self.mean.vertices[:, 2] < high)
        gone &= np.isin(self.body.strongest, bones("root", "spine05", "upperleg", "lowerleg"))
        return gone[self.body.faces].all(1)

    def pose_body(self, figure: Figure, matrices: np.ndarray) -> np.ndarray:
        """Posed vertices (V, 3) of the body."""
        return skin(figure.vertices, self.body.skin_index, self.body.skin_weight, matrices)

    @staticmethod
    def pose_part(part: Part, figure: Figure, matrices: np.ndarray) -> np.ndarray:
        """Posed vertices of a garment or of hair."""
        p = part.proxy
        return skin(p.rest(figure), p.skin_index, p.skin_weight, matrices)
