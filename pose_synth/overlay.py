"""Product B: a rendered garment over a photographed person, with exact flow.

The body of the pose bank is laid over the keypoints of the photo and wears a top; only the cloth of
that picture is used. Hair, bags and hands of the photo lie on top of it. A draw counts only where
the new top covers the old one.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from dmvton.errors import DataError
from dmvton.parsing import Parsing
from pose_synth.body import COCO, PoseSampler, transforms
from pose_synth.garments import Garment, extend_colours
from pose_synth.outfit import LONG_SLEEVE, Outfit, bare_arms
from pose_synth.persons import CANVAS
from pose_synth.products import Sample, garment_layers, shading
from pose_synth.recipe import Rejected
from pose_synth.render import Camera, Dressing, Picture, Scene
from pose_synth.rendered import RenderedGenerator
from pose_synth.strips import fill_nearest
from pose_synth.worn import torso_frame

DISTANCE = 60.0  # metres to the camera: almost without perspective, as the bodies were fitted
LOOSE = (0.012, 0.03, 0.05)  # metres by which the hem stands off, until the old top is covered
BELT = 0.5  # torso lengths under the shoulders; accessories further down are belts
SIDES = ((12, 14, 16), (11, 13, 15))  # BlazePose's shoulder, elbow, wrist


@dataclass(frozen=True)
class OverlayRecipe:
    """Shares and limits of product B."""

    real_input: float = 0.5
    """Share of inputs that are the untouched photo; the others wear a rendered top as well."""
    max_left: float = 0.1
    """Share of the old top that may look out from under the new one; it is painted over."""
    max_error: float = 0.09
    """Distance between the joints of body and photo, in torso lengths."""
    supersampling: int = 2
    shading: float = 0.5
    """Strength of the old top's folds on the new one."""


def fitted_camera(joints: np.ndarray, points: np.ndarray, weight: np.ndarray):
    """The camera that lays a body over a photo, and how far its joints are off.

    Args:
        joints: (17, 3) of the posed body, metres.
        points: (17, 2) in canvas pixels.
        weight: (17,) trust in each.

    Returns:
        The camera, and the weighted mean distance in pixels.
    """
    share = weight[:, None] / weight.sum()
    plane = joints[:, [0, 2]] * (1, -1)
    a, b = plane - (plane * share).sum(0), points - (points * share).sum(0)
    zoom = float((share * a * b).sum() / ((share * a * a).sum() + 1e-9))
    shift = (points * share).sum(0) - zoom * (plane * share).sum(0)
    camera = Camera(np.eye(3), np.array([0, DISTANCE, 0]), zoom * DISTANCE, shift)
    away = np.linalg.norm(camera.screen(camera.space(joints))[:, :2] - points, axis=1)
    return camera, float((away * share[:, 0]).sum())


def in_front(outfit: Outfit) -> np.ndarray:
    """Mask (H, W) bool of what stays before a new top: hair, bags, jewellery and hands.

    A belt is an accessory too, but lies under a top.
    """
    over = np.isin(outfit.parsing, (Parsing.HAIR, Parsing.BAG, Parsing.HEADWEAR))
    frame = torso_frame(outfit.points[:, :2])
    y, x = np.mgrid[: over.shape[0], : over.shape[1]]
    depth = (x - frame.neck[0]) * frame.down[0] + (y - frame.neck[1]) * frame.down[1]
    over |= (outfit.parsing == Parsing.ACCESSORY) & (depth < BELT * frame.length)
    hands = np.zeros(over.shape, np.uint8)
    for _, elbow, wrist in SIDES:
        a, b = outfit.points[elbow, :2], outfit.points[wrist, :2]
        end = b + 0.55 * (b - a)
        reach = max(3, round(0.3 * float(np.linalg.norm(b - a))))
        cv2.line(hands, _pixel(b + 0.15 * (b - a)), _pixel(end), 1, reach)
    return over | ((hands > 0) & (outfit.parsing == Parsing.SKIN))


def _pixel(at: np.ndarray) -> tuple[int, int]:
    return int(round(float(at[0]))), int(round(float(at[1])))


class Fitted(NamedTuple):
    """A person with the body that lies on the photo."""

    outfit: Outfit
    matrices: np.ndarray  # (24, 3, 4) of the posed bones
    camera: Camera


class OverlayGenerator:
    """Samples of kind B; every draw depends on the given rng only."""

    def __init__(self, people: RenderedGenerator, outfits: list[Outfit],
                 recipe: OverlayRecipe | None = None):  # fmt: skip
        """`outfits` without a fitted body in the pose bank are left out."""
        self.people, self.recipe = people, recipe or OverlayRecipe()
        bank = PoseSampler()
        known = dict(zip(bank.ids, bank.poses, strict=True))
        self.fitted: list[Fitted] = []
        for outfit in outfits:
            found = self._fit(outfit, known[outfit.key]) if outfit.key in known else None
            if found is not None:
                self.fitted.append(found)
        if not self.fitted:
            raise DataError(
                "none of the people has a body in the pose bank that lies on them; build with the "
                "collection that the bank was made from, or make the bank anew (fit_bank)"
            )

    def _fit(self, outfit: Outfit, pose: np.ndarray) -> Fitted | None:
        """The body on its photo; None where it does not lie on the joints."""
        w = self.people.wardrobe
        matrices = transforms(pose, w.mean.heads)
        seen = outfit.points[list(COCO)]
        weight = np.where(np.arange(17) < 5, 0.2, 1.0) * seen[:, 2]
        weight[-4:] = 0  # a top reaches to no knee
        joints = w.body.keypoints(w.pose_body(w.mean, matrices))
        camera, error = fitted_camera(joints, seen[:, :2], weight)
        torso = torso_frame(outfit.points[:, :2]).length
        near = error <= self.recipe.max_error * torso
        return Fitted(outfit, matrices, camera) if near else None

    def draw(self, rng: np.random.Generator) -> Sample:
        """One sample; tries again until a draw is usable."""
        for _ in range(100):
            try:
                return self._sample(rng, self.fitted[rng.integers(len(self.fitted))])
            except Rejected:
                continue
        raise RuntimeError("100 draws in a row were rejected; loosen OverlayRecipe")

    def _sample(self, rng: np.random.Generator, one: Fitted) -> Sample:
        w, outfit = self.people.wardrobe, one.outfit
        count = 1 if rng.random() < self.recipe.real_input else 2
        plans = [self._plan(rng, outfit) for _ in range(count)]
        looks = self.people.bank.draw(rng, w.mean.vertices, w.eye, self.people.face)
        if self.people.recipe.flat_light:
            looks.light[4] = 0
        lower = w.lowers[rng.integers(len(w.lowers))]
        scene = Scene(w, [lower], w.mean, one.matrices, looks)
        target, *worn = [self._dress(scene, one.camera, base, dressing)
                         for base, dressing, _ in plans]  # fmt: skip
        person, mask = outfit.image, outfit.region.astype(np.float32)
        for instead in worn:
            person, mask = instead[:2]
        return _pack(outfit, person, mask, target, plans[0][2])

    def _plan(self, rng: np.random.Generator, outfit: Outfit):
        """A garment that may cover the old top, how it is worn, and the person with bare arms."""
        garment = self.people.garments[rng.integers(len(self.people.garments))]
        dressing = self.people.dressing(rng, garment)
        if dressing.pattern.hem < outfit.worn.hem - 0.1:
            raise Rejected
        base = outfit
        if outfit.sleeve > LONG_SLEEVE and dressing.pattern.sleeve < 0.8 * outfit.sleeve:
            base = bare_arms(outfit, max(0.12, 0.8 * dressing.pattern.sleeve))
            if base is outfit:
                raise Rejected
        return base, dressing, garment

    def _dress(self, scene: Scene, camera: Camera, base: Outfit, dressing: Dressing):
        """The photo with the garment over it: picture, mask, flow and parsing."""
        over = in_front(base)
        light = shading(base.image, garment_layers(base), self.recipe.shading)
        zoom = self.recipe.supersampling
        size = (CANVAS[0] * zoom, CANVAS[1] * zoom)
        behind = cv2.resize(base.image, size, interpolation=cv2.INTER_LINEAR).astype(np.float32)
        scene.bare = None  # another photo may have lain behind before
        for loose in LOOSE:
            picture = scene.picture(dressing, camera, behind, zoom, loose)
            cloth = (picture.garment > 0.5) & ~over
            left = base.region & ~cloth & ~over
            if left.sum() <= self.recipe.max_left * base.region.sum():
                return _compose(base, picture, light, over, left)
        raise Rejected


def _compose(base: Outfit, picture: Picture, light: np.ndarray, over: np.ndarray, left: np.ndarray):
    """Lays the cloth over the photo; what looks out of the old top is painted over."""
    soft = cv2.GaussianBlur(over.astype(np.float32), (0, 0), 0.6)
    alpha = picture.garment * (1 - soft)
    image = base.image
    if left.any():
        hole = cv2.dilate(left.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        hole &= base.region
        around = extend_colours(image, ~base.region, inset=1)
        image = np.where(hole[..., None], cv2.GaussianBlur(around, (0, 0), 1.0), image)
    cloth = np.clip(picture.image.astype(np.float32) * light, 0, 255)
    out = image * (1 - alpha[..., None]) + cloth * alpha[..., None]
    parsing = base.parsing.copy()
    parsing[base.region] = Parsing.BACKGROUND
    parsing[(alpha > 0.5)] = Parsing.UPPER
    return np.round(out).astype(np.uint8), alpha, picture.flow, parsing


def _pack(outfit: Outfit, person, mask, target, garment: Garment) -> Sample:
    image, alpha, flow, parsing = target
    byte = lambda m: np.round(np.clip(m, 0, 1) * 255).astype(np.uint8)  # noqa: E731
    if np.isnan(flow).all():
        raise Rejected
    grid = np.clip(np.round(np.nan_to_num(fill_nearest(flow)) * 8), -32000, 32000)
    return Sample(person, byte(mask), image, byte(alpha), parsing, garment.image,
                  byte(garment.mask), grid.astype(np.int16), outfit.keypoints, "B", outfit.key,
                  garment.key)  # fmt: skip
