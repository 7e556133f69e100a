"""Try-on samples made from real pictures: person, garment, the person in the garment, and the flow.

Product C dresses a real person in a shop garment. Product D turns it round: the target is the
untouched photo, the input the person in another garment, the garment the person's own, laid flat.
"""

from typing import NamedTuple

import cv2
import numpy as np

from dmvton.parsing import Parsing
from pose_synth.garments import CANVAS as GARMENT_CANVAS
from pose_synth.garments import Garment, extend_colours
from pose_synth.labels import TOPS
from pose_synth.outfit import Outfit
from pose_synth.persons import odd, scale_of, square
from pose_synth.strips import ARMPIT, StripMesh, dense_map, fill_nearest, torso_coordinates


class Sample(NamedTuple):
    """One training sample; all pictures uint8 BGR, in sizes of canvases of scale 1."""

    person: np.ndarray  # (336, 256, 3) input
    person_mask: np.ndarray  # (336, 256) uint8, the input's top, 255 inside
    target: np.ndarray  # (336, 256, 3)
    target_mask: np.ndarray  # (336, 256) uint8, the new garment in the target
    parsing: np.ndarray  # (336, 256) uint8 of Parsing, of the target
    garment: np.ndarray  # (320, 240, 3)
    garment_mask: np.ndarray  # (320, 240) uint8
    flow: np.ndarray  # (168, 128, 2) int16: target -> garment canvas, in eighths of a pixel
    keypoints: np.ndarray  # (13, 3) float32: x, y in canvas pixels, visibility
    kind: str
    person_key: str
    garment_key: str


class Dressed(NamedTuple):
    """A person in another garment."""

    image: np.ndarray  # (H, W, 3) uint8
    mask: np.ndarray  # (H, W) float32
    flow: np.ndarray  # (H, W, 2) float32, garment pixels; valid where mask > 0.5


def soft_mask(region: np.ndarray) -> np.ndarray:
    """Antialiased mask from a hard one."""
    return cv2.GaussianBlur(region.astype(np.float32), (0, 0), 0.7)


def _masked_blur(values: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(values * weight, (0, 0), sigma) / (
        cv2.GaussianBlur(weight, (0, 0), sigma) + 1e-3
    )


def shading(image: np.ndarray, layers: list[np.ndarray], strength: float = 1.0) -> np.ndarray:
    """Fold light of the worn top as factors (H, W, 3), about 1.

    Each layer is compared with its own brightness, so that a dark jacket over a white shirt does
    not come out as a shadow. Prints would pass for shading: the more texture, the smoother and
    weaker.
    """
    scale = scale_of(image)
    light = np.log(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(np.float32) + 12)
    out = np.zeros_like(light)
    for layer in layers:
        weight = layer.astype(np.float32)
        if weight.sum() < 30 * scale**2:
            continue
        median = np.median(light[layer])
        texture = float(np.std((light - _masked_blur(light, weight, 2 * scale))[layer]))
        fine = _masked_blur(light, weight, scale * (0.7 + 25 * min(texture, 0.2)))
        base = 0.5 * _masked_blur(light, weight, 16 * scale) + 0.5 * median
        gain = np.clip(1.15 - 4 * texture, 0.2, 1.0) * strength
        out += weight * gain * np.clip(fine - base, -0.7, 0.35)
    return np.exp(cv2.GaussianBlur(out, (0, 0), 0.5))[..., None]


def dress(outfit: Outfit, garment: Garment, light: np.ndarray) -> Dressed:
    """Puts a garment where the outfit's region is, by the two meshes."""
    size = outfit.image.shape[:2]
    field = fill_nearest(dense_map(outfit.mesh, garment.mesh, size))
    if np.isnan(field).any():
        raise ValueError(f"{outfit.key}: the mesh of the worn top lies outside the picture")
    field = cv2.GaussianBlur(field, (0, 0), 0.8 * outfit.scale)
    worn = cv2.remap(garment.extended, field[..., 0], field[..., 1], cv2.INTER_LINEAR,
                     borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    alpha = soft_mask(outfit.region)
    lit = np.clip(worn * light, 0, 255)
    image = outfit.image * (1 - alpha[..., None]) + lit * alpha[..., None]
    return Dressed(np.round(image).astype(np.uint8), alpha, field)


class Flat(NamedTuple):
    """A worn top laid flat."""

    image: np.ndarray  # (320, 240, 3) uint8, on white
    mask: np.ndarray  # (320, 240) float32
    flow: np.ndarray  # (336, 256, 2) float32: person canvas -> flat picture; NaN outside the mesh
    holes: float  # share that was not visible and had to be filled


def flatten(outfit: Outfit, layout: StripMesh, open_skin: bool = False) -> Flat:
    """Lays the person's own top on a shop garment's mesh; hidden parts are mirrored in.

    With `open_skin` its neckline, and the armholes of a top without sleeves, are those of the worn
    top; else they are the shop garment's.
    """
    size = (round(GARMENT_CANVAS[1] * outfit.scale), round(GARMENT_CANVAS[0] * outfit.scale))
    order = "left right torso"
    field = dense_map(layout, outfit.mesh, size, order)
    inside = ~np.isnan(field[..., 0])
    at = np.nan_to_num(field, nan=-9)
    if open_skin:
        inside &= ~_open(outfit, layout, at)
    image = cv2.remap(outfit.image, at[..., 0], at[..., 1], cv2.INTER_LINEAR)
    core = _core(outfit)
    seen = cv2.remap(core, at[..., 0], at[..., 1], cv2.INTER_NEAREST, borderValue=0) > 0
    seen &= inside
    image, seen = _mirror_fill(image, seen, inside, outfit, layout)
    hole = inside & ~seen
    share = float(hole.sum() / max(1, inside.sum()))
    if open_skin and seen.any():  # else what is painted into holes at the rim takes up black
        image = np.where(inside[..., None], image, extend_colours(image, seen, inset=1))
    if hole.any():
        image = cv2.inpaint(image, hole.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    image = extend_colours(image, inside, inset=odd(3, outfit.scale))
    smooth = cv2.morphologyEx(inside.astype(np.uint8), cv2.MORPH_OPEN, square(3, outfit.scale))
    mask = soft_mask(smooth)
    flow = dense_map(outfit.mesh, layout, outfit.image.shape[:2])
    return Flat(image, mask, flow, share)


def _open(outfit: Outfit, layout: StripMesh, at: np.ndarray) -> np.ndarray:
    """(H, W) bool, in the flat picture: skin that a neckline or an armhole leaves open."""
    skin = (outfit.parsing == Parsing.SKIN) & ~outfit.region
    seen = cv2.remap(
        skin.astype(np.uint8), at[..., 0], at[..., 1], cv2.INTER_NEAREST, borderValue=0
    )
    where = np.nan_to_num(torso_coordinates(layout, at.shape[:2]), nan=2)
    side, down = np.minimum(where[..., 0], 1 - where[..., 0]), where[..., 1]
    # A hand before the chest is skin as well: only what reaches an edge is open.
    rim = (down < 0.07) & (side > 0)
    if layout.left is None and layout.right is None:
        rim |= (np.abs(side) < 0.06) & (down < ARMPIT)
    seen = cv2.morphologyEx(seen * (down < 0.5), cv2.MORPH_CLOSE, square(5, outfit.scale))
    _, part = cv2.connectedComponents(seen)
    return (part > 0) & np.isin(part, part[rim & (part > 0)])


def _core(outfit: Outfit) -> np.ndarray:
    """(H, W) uint8: the region without its rim, whose colours are mixtures."""
    return cv2.erode(outfit.region.astype(np.uint8), square(3, outfit.scale))


def _mirror_fill(image, seen, inside, outfit: Outfit, layout: StripMesh):
    """Takes what one side hides from the other side of the body."""
    swap = StripMesh(outfit.mesh.torso[:, ::-1], outfit.mesh.right, outfit.mesh.left)
    if (swap.left is None) != (layout.left is None) or (swap.right is None) != (
        layout.right is None
    ):
        return image, seen
    size = image.shape[:2]
    at = np.nan_to_num(dense_map(layout, swap, size, "left right torso"), nan=-9)
    mirrored = cv2.remap(outfit.image, at[..., 0], at[..., 1], cv2.INTER_LINEAR)
    core = _core(outfit)
    ok = cv2.remap(core, at[..., 0], at[..., 1], cv2.INTER_NEAREST, borderValue=0) > 0
    use = inside & ~seen & ok
    image = image.copy()
    image[use] = mirrored[use]
    return image, seen | use


def flow_to_grid(field: np.ndarray) -> np.ndarray:
    """Dense positions (H, W, 2) in garment pixels -> half resolution int16, eighths of a pixel."""
    height, width = field.shape[:2]
    half = cv2.resize(fill_nearest(field), (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.clip(np.round(half * 8), -32000, 32000).astype(np.int16)


def garment_layers(outfit: Outfit) -> list[np.ndarray]:
    """The outfit's region, one mask a layer."""
    layers = [outfit.region & (outfit.parsing == c) for c in TOPS]
    return [*layers, outfit.region & ~np.isin(outfit.parsing, TOPS)]
