"""Renders one dressed person: the parts of a scene, the camera, and the maps of a sample."""

from typing import NamedTuple

import cv2
import numpy as np

from dmvton.parsing import Parsing
from pose_synth import raster
from pose_synth.looks import Looks
from pose_synth.patterns import SIZE as PATTERN_SIZE
from pose_synth.patterns import Pattern
from pose_synth.raster import Buffers, Mesh
from pose_synth.strips import StripMesh, dense_map, fill_nearest
from pose_synth.wardrobe import Part, Wardrobe

PARSING = np.array([Parsing.SKIN, Parsing.HAIR, Parsing.LOWER, Parsing.SHOES, Parsing.SKIN,
                    Parsing.UPPER], np.uint8)  # fmt: skip
SAME_LAYER = 12.0  # garment pixels between neighbouring samples of one layer of cloth, at most
_NOTHING = np.zeros((2, 1, 1), np.uint8)


class Camera(NamedTuple):
    """Pinhole: world to camera, then screen = zoom * (x, -z) / y + shift."""

    turn: np.ndarray  # (3, 3)
    move: np.ndarray  # (3,) added after the turn; y is the distance
    zoom: float  # pixels at distance 1
    shift: np.ndarray  # (2,) canvas pixels of the optical axis

    def space(self, points: np.ndarray) -> np.ndarray:
        """World points (N, 3) in camera axes."""
        return (points @ self.turn.T + self.move).astype(np.float32)

    def screen(self, space: np.ndarray) -> np.ndarray:
        """Camera-axes points (N, 3) to x, y in canvas pixels and depth (N, 3) float32."""
        depth = space[:, 1:2]
        at = self.zoom * space[:, [0, 2]] * (1, -1) / depth + self.shift
        return np.concatenate([at, depth], 1).astype(np.float32)


class Dressing(NamedTuple):
    """A garment picture on a pattern."""

    pattern: Pattern
    cloth: np.ndarray  # (H, W, 3) uint8, colours continued beyond the outline
    field: np.ndarray  # (Hp / 4, Wp / 4, 2) float32: garment position by pattern position


class Group(NamedTuple):
    """Faces that are drawn in one way."""

    points: np.ndarray | None  # (V, 3) world; None: those of the first group
    faces: np.ndarray  # (F, 3)
    pattern: np.ndarray | None
    tile: np.ndarray | None  # of the garment: its pattern
    material: np.ndarray | int
    what: int  # see raster.fill
    cull: bool = False


class Span(NamedTuple):
    """Which faces of the merged mesh a group became."""

    first: int
    last: int
    what: int
    cull: bool


class Picture(NamedTuple):
    """One rendered person on the canvas."""

    image: np.ndarray  # (H, W, 3) uint8
    garment: np.ndarray  # (H, W) float32 coverage by the garment
    parsing: np.ndarray  # (H, W) uint8
    flow: np.ndarray  # (H / 2, W / 2, 2) float32 garment positions; NaN where there is no garment
    depth: np.ndarray  # (H, W) float32


def garment_field(pattern: Pattern, mesh: StripMesh) -> np.ndarray:
    """Garment position (Hp / 4, Wp / 4, 2) float32 by pattern position, from the strip meshes."""
    zoom, shift = 1 / raster.FIELD_STEP, 0.5 / raster.FIELD_STEP - 0.5
    small = pattern.mesh.transform(np.array([[zoom, 0, shift], [0, zoom, shift]]))
    size = (PATTERN_SIZE[0] // raster.FIELD_STEP, PATTERN_SIZE[1] // raster.FIELD_STEP)
    return cv2.GaussianBlur(fill_nearest(dense_map(small, mesh, size)), (0, 0), 0.6)


class Scene:
    """A posed person without a top, and how to put one on."""

    def __init__(self, wardrobe: Wardrobe, parts: list[Part], figure, matrices, looks: Looks):
        """`parts` are worn besides the top; the first one is the lower garment."""
        self.wardrobe, self.figure, self.matrices, self.looks = wardrobe, figure, matrices, looks
        self.parts = parts
        self.bare: Buffers | None = None
        self.canvas = np.zeros(0, np.float32)
        hidden = wardrobe.hidden_by(parts[0])
        self.always = np.flatnonzero(~hidden & ~wardrobe.under)
        self.under = np.flatnonzero(~hidden & wardrobe.under)
        self.body = wardrobe.pose_body(figure, matrices)
        self.posed = [wardrobe.pose_part(p, figure, matrices) for p in parts]

    def picture(self, dressing: Dressing, camera: Camera, background: np.ndarray, zoom: int,
                loose: float) -> Picture:  # fmt: skip
        """Renders the person in a garment; every call has the same camera and size.

        Args:
            dressing: garment and pattern.
            camera: in canvas pixels.
            background: (H * zoom, W * zoom, 3) float32.
            zoom: samples a pixel and axis.
            loose: metres by which the hem stands off.
        """
        mesh, spans = self._assemble(dressing, camera, zoom, loose)
        if self.bare is None:  # what no top can hide is the same in every picture
            self.bare = raster.empty(*background.shape[:2])
            self._draw(self.bare, mesh, [s for s in spans if s.what == raster.EVERYTHING])
            self.canvas = background.copy()
            self._shade(mesh, self.bare, np.full_like(self.bare.face, -1), dressing, self.canvas)
        buffers = self.bare.copy()
        self._draw(buffers, mesh, [s for s in spans if s.what != raster.EVERYTHING],
                   dressing.pattern)  # fmt: skip
        out = self.canvas.copy()
        flow = self._shade(mesh, buffers, self.bare.face, dressing, out)
        return self._picture(mesh, buffers, out, flow, zoom)

    @staticmethod
    def _draw(buffers: Buffers, mesh: Mesh, spans: list[Span], pattern: Pattern | None = None):
        for span in spans:
            table = _NOTHING
            if pattern is not None:
                table = pattern.core if span.what == raster.BODY else pattern.keep
            raster.fill(*buffers, span.first, span.last, mesh.screen, mesh.faces, mesh.pattern,
                        table, span.what, span.cull)  # fmt: skip

    def _assemble(self, dressing: Dressing, camera: Camera, zoom: int, loose: float):
        """One mesh of everything, and which faces to draw in which way."""
        w = self.wardrobe
        top = w.top_parts[dressing.pattern.top]
        cloth = _loosened(w.pose_part(top, self.figure, self.matrices), top, loose)
        always, under = self.always, self.under
        groups = [Group(self.body, w.body.faces[always], w.pattern, w.tile,
                        w.body_material[always], raster.EVERYTHING, True)]  # fmt: skip
        for part, posed in sorted(zip(self.parts, self.posed, strict=True),
                                  key=lambda pair: pair[0].material == raster.LOWER):  # fmt: skip
            what = raster.BODY if part.material == raster.LOWER else raster.EVERYTHING
            groups.append(Group(posed, part.faces, part.pattern, part.tile, part.material, what))
        groups.append(Group(None, w.body.faces[under], None, None, w.body_material[under],
                            raster.BODY, True))  # fmt: skip
        groups.append(Group(cloth, top.faces, top.pattern, top.pattern[:, :2], raster.GARMENT,
                            raster.CLOTH))  # fmt: skip
        return _merge(groups, camera, zoom, self.looks.skin)

    def _shade(self, mesh: Mesh, buffers: Buffers, done, dressing: Dressing, out) -> np.ndarray:
        """Colours `out`; returns the garment positions (H, W, 2), NaN without garment."""
        looks = self.looks
        flow = np.full((*out.shape[:2], 2), np.nan, np.float32)
        surface = (mesh.faces, mesh.material, mesh.surface)
        raster.shade((buffers.face, buffers.corner), done, surface,
                     (looks.tiles, looks.folds, looks.light), (dressing.field, dressing.cloth),
                     out, flow)  # fmt: skip
        return flow

    def _picture(self, mesh: Mesh, buffers: Buffers, out, flow, zoom: int) -> Picture:
        """Brings samples to pixels."""
        seen = (buffers.depth, buffers.face)
        image, cover, labels, depth = raster.gather(out, seen, flow, PARSING[mesh.material], zoom)
        if self.looks.light[4] > 0:
            image *= _contact_shadow(depth)[..., None]
        return Picture(np.round(image, out=image).astype(np.uint8), cover, labels,
                       raster.block_flow(flow, 2 * zoom, SAME_LAYER), depth)  # fmt: skip


def _loosened(points: np.ndarray, top: Part, loose: float) -> np.ndarray:
    """Cloth that stands off the body, the more the lower it hangs."""
    height = top.pattern[:, 1]
    used = np.unique(top.faces)
    low, high = height[used].min(), height[used].max()
    weight = 0.25 + 0.75 * np.clip((height - low) / (high - low) - 0.2, 0, 1)
    return points + raster.normals(points, top.faces) * (loose * weight)[:, None].astype(np.float32)


def _contact_shadow(depth: np.ndarray) -> np.ndarray:
    """(H, W) factors: darker where something nearer stands close by."""
    solid = depth < 1e8
    if not solid.any():
        return np.ones_like(depth)
    filled = np.where(solid, depth, depth[solid].max())
    near = cv2.blur(filled, (9, 9)) * 0.5 + cv2.blur(filled, (19, 19)) * 0.5
    return np.where(solid, 1 - np.clip((filled - near) * 5, 0, 0.4), 1).astype(np.float32)


def _merge(groups: list[Group], camera: Camera, zoom: int, skin: np.ndarray):
    """Concatenates groups into one mesh; one without points of its own uses the first one's."""
    own = [g for g in groups if g.points is not None]
    starts = np.cumsum([0, *(len(g.points) for g in own)])
    faces, spans, number = [], [], 0
    for group in groups:
        start = 0
        if group.points is not None:
            start, number = starts[number], number + 1
        first = spans[-1].last if spans else 0
        faces.append(group.faces + np.int32(start))
        spans.append(Span(first, first + len(group.faces), group.what, group.cull))
    space = camera.space(np.concatenate([g.points for g in own]))
    face = np.concatenate(faces)
    screen = camera.screen(space)
    screen[:, :2] = (screen[:, :2] + 0.5) * zoom - 0.5
    surface = np.zeros((len(space), 8), np.float32)
    surface[:, :3] = raster.normals(space, face)
    np.concatenate([g.tile for g in own], out=surface[:, 3:5])
    surface[: len(skin), 5:] = skin
    material = [np.broadcast_to(np.uint8(g.material), len(g.faces)) for g in groups]
    mesh = Mesh(screen, np.concatenate([g.pattern for g in own]), surface, face,
                np.concatenate(material))  # fmt: skip
    return mesh, spans
