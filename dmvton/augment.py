"""Turns a stored sample into a training sample: framing, colours, prints, backgrounds.

Colour and print change the garment photo and its image on the person alike, so that a few hundred
garments act like many thousand. Geometry keeps the flow exact.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from dmvton.garment import RULE, border_colour, nearest_colours, surely_garment
from dmvton.keypoints import MIRROR, Keypoint
from dmvton.parsing import Parsing
from dmvton.patterns import background, print_pattern, surface
from dmvton.shards import RawSample
from dmvton.view import View

POSE_ONLY, NO_PERSON = "K", "N"  # kinds of samples without try-on truth
REAL_TARGET = "D"  # the kind whose target is an untouched photo


@dataclass(frozen=True)
class AugmentConfig:
    """Strengths and chances of the augmentation."""

    zoom: tuple[float, float] = (0.78, 1.25)
    """Scale of the crop around the hips-up framing."""
    shift: float = 0.08
    """Shift of the crop, in crop widths and heights."""
    rotate: float = 9.0
    """Rotation in degrees."""
    stretch: float = 0.08
    """Standard deviation of the person's log aspect ratio, and of the shear."""
    bend: float = 0.015
    """Standard deviation of the person's smooth displacement, in picture heights."""
    garment_rotate: float = 5.0
    """Standard deviation of the garment's rotation in degrees."""
    garment_stretch: float = 0.1
    """Standard deviation of the garment's log aspect ratio, and of its shear."""
    garment_bend: float = 0.02
    """Standard deviation of the garment's smooth displacement, in picture heights."""
    recolour: float = 0.7
    """Chance that the new garment's colours change."""
    recolour_old: float = 0.5
    print: float = 0.3
    """Chance that a drawn pattern is printed on the new garment."""
    lower: float = 0.2
    """Chance that trousers or skirt change their colours, half of the time with a print."""
    studio: float = 0.25
    """Chance of a plain background behind the person."""
    cut: float = 0.15
    """Chance that the picture ends above the hips, as with a webcam."""
    garment_background: float = 0.65
    """Chance that the garment photo gets another background."""
    garment_surface: float = 0.5
    """Share of these that are a surface to lie on, not a wall."""
    garment_shadow: float = 0.4
    """Chance that the garment throws a shadow on the other background."""
    garment_bars: float = 0.3
    """Chance that the garment photo is wider or higher than the picture, so that plain bars of the
    runtime's letterbox lie beside it."""
    garment_light: float = 0.4
    """Chance that the garment photo is brighter or darker than the worn garment."""
    exposure: float = 0.8
    """Chance of a change of light over the whole person picture."""
    camera: float = 0.3
    """Chance of a poor camera: a lamp from one side, a vignette, coloured light, blur, noise."""


def colour_map(rng: np.random.Generator):
    """A random colour transform of float pictures in [0, 255]."""
    matrix = np.eye(3) * rng.uniform(0.6, 1.2)
    if rng.random() < 0.6:
        mix = np.eye(3)[rng.permutation(3)] if rng.random() < 0.6 else np.eye(3)
        matrix = matrix @ mix + rng.normal(0, 0.12, (3, 3))
    offset = rng.uniform(-25, 25, 3)
    invert = rng.random() < 0.15
    matrix, offset = matrix.astype(np.float32), offset.astype(np.float32)
    return lambda x: np.clip((255 - x if invert else x) @ matrix.T + offset, 0, 255)


def _blend(image: np.ndarray, other: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return image + (other - image) * mask[..., None]


def _affine(zoom: float, degrees: float, centre, to) -> np.ndarray:
    """(2, 3): scale and rotate about `centre`, which moves to `to`."""
    angle = np.deg2rad(degrees)
    a, b = zoom * np.cos(angle), zoom * np.sin(angle)
    linear = np.array([[a, -b], [b, a]])
    return np.concatenate([linear, (np.asarray(to) - linear @ np.asarray(centre))[:, None]], 1)


def _flip(matrix: np.ndarray, width: int) -> np.ndarray:
    return np.array([[-1, 0, width - 1], [0, 1, 0]]) @ np.vstack([matrix, [0, 0, 1]])


class Augment:
    """Random view of a `RawSample` at size (height, width)."""

    def __init__(self, size: tuple[int, int], config: AugmentConfig | None = None):
        self.height, self.width = size
        self.config = config or AugmentConfig()

    def __call__(self, raw: RawSample, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Arrays by the field names of `Batch`, channels last, before conversion to tensors."""
        sample = self._colours(raw, rng)
        flip = rng.random() < 0.5
        c, size = self.config, (self.height, self.width)
        garment_view = View(self._garment_matrix(raw.garment_mask, rng, flip), size, rng,
                            c.garment_stretch, c.garment_bend)  # fmt: skip
        person_view = View(self._person_matrix(raw, rng, flip), size, rng, c.stretch, c.bend)
        out = self._garment(sample, garment_view, rng, raw.kind)
        out |= self._person(sample, raw, person_view, garment_view)
        out["keypoints"] = self._keypoints(raw.keypoints, person_view, flip)
        self._cut(out, rng)
        self._expose(out, rng)
        self._film(out, rng)
        torso = [Keypoint.LEFT_SHOULDER, Keypoint.RIGHT_SHOULDER]
        out["presence"] = np.array([out["keypoints"][torso, 2].min() > 0], np.float32)
        if raw.kind == NO_PERSON:
            out["presence"][:] = out["keypoints"][:, 2] = 0
        out["tryon"] = np.full((1, 1, 1), raw.kind not in (POSE_ONLY, NO_PERSON), np.float32)
        out["photo"] = np.full((1, 1, 1), raw.kind == REAL_TARGET, np.float32)
        return out

    # -- colours, in canvas coordinates ---------------------------------------------------------

    def _colours(self, raw: RawSample, rng: np.random.Generator) -> dict[str, np.ndarray]:
        c = self.config
        person, target, garment = (
            x.astype(np.float32) for x in (raw.person, raw.target, raw.garment)
        )
        old, new, flat = (
            x.astype(np.float32) / 255 for x in (raw.person_mask, raw.target_mask, raw.garment_mask)
        )
        if raw.kind in (POSE_ONLY, NO_PERSON):  # their masks are empty
            return dict(person=person, target=target, garment=garment, old=old, new=new, flat=flat)
        if rng.random() < c.recolour:
            change = colour_map(rng)
            target = _blend(target, change(target), new)
            garment = _blend(garment, change(garment), flat)
        if rng.random() < c.print:
            garment, target = _print(garment, flat, target, new, raw.flow, rng)
        if rng.random() < c.recolour_old:
            person = _blend(person, colour_map(rng)(person), old)
        if rng.random() < c.lower:
            below = cv2.GaussianBlur((raw.parsing == Parsing.LOWER).astype(np.float32), (0, 0), 0.7)
            below = below * (1 - np.maximum(old, new))
            person, target = _other_cloth((person, target), below, rng)
        if rng.random() < c.studio:
            behind = background(person.shape[:2], rng)
            body = np.maximum((raw.parsing > 0).astype(np.float32), np.maximum(old, new))
            body = cv2.GaussianBlur(body, (0, 0), 0.8)
            person, target = (_blend(behind, x, body) for x in (person, target))
        return dict(person=person, target=target, garment=garment, old=old, new=new, flat=flat)

    # -- geometry -------------------------------------------------------------------------------

    def _person_matrix(self, raw: RawSample, rng, flip: bool) -> np.ndarray:
        c, shape = self.config, raw.person.shape
        base = self.height / raw.crop_rows
        zoom = np.exp(rng.uniform(*np.log(c.zoom)))
        centre = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
        if raw.kind in (POSE_ONLY, NO_PERSON):  # anything from the whole photo to the upper body
            whole = raw.crop_rows / max(shape[0], shape[1] / 0.75)
            zoom = whole * np.exp(rng.uniform(-0.25, 1.1))
            torso = raw.keypoints[[Keypoint.LEFT_SHOULDER, Keypoint.LEFT_HIP], :2].mean(0)
            share = np.clip(np.log(zoom / whole), 0, 1) * (rng.random() < 0.85)
            centre = centre + (torso - centre) * share
        shift = rng.uniform(-c.shift, c.shift, 2) * (self.width, self.height)
        to = np.array([(self.width - 1) / 2, (self.height - 1) / 2]) + shift
        matrix = _affine(zoom * base, rng.uniform(-c.rotate, c.rotate), centre, to)
        return _flip(matrix, self.width) if flip else matrix

    def _garment_matrix(self, mask: np.ndarray, rng, flip: bool) -> np.ndarray:
        """Frames the garment: its box fills 70 to 98% of the picture, before it is stretched."""
        x, y, w, h = cv2.boundingRect((mask > 127).astype(np.uint8))
        fit = min(self.width / max(w, 8), self.height / max(h, 8))
        zoom = fit * rng.uniform(0.7, 0.98)
        centre = np.array([x + w / 2, y + h / 2])
        room = np.maximum(0, (self.width - zoom * w, self.height - zoom * h)) / 2
        to = np.array([self.width / 2, self.height / 2]) + rng.uniform(-1, 1, 2) * room * 0.7
        matrix = _affine(zoom, rng.normal(0, self.config.garment_rotate), centre, to)
        return _flip(matrix, self.width) if flip else matrix

    def _garment(self, sample, view: View, rng, kind: str) -> dict[str, np.ndarray]:
        mask = view.picture(sample["flat"], cv2.BORDER_CONSTANT)
        garment = view.picture(sample["garment"])
        # Garments laid flat from a worn one have no background of their own.
        if kind == REAL_TARGET or rng.random() < self.config.garment_background:
            garment = _blend(self._behind(mask, sample["person"], rng), garment, mask)
        if rng.random() < self.config.garment_bars:
            letterbox_bars(garment, mask, rng)
        lit = rng.random() < self.config.garment_light
        gain = np.float32(rng.uniform(0.85, 1.1)) if lit else np.float32(1)
        garment = np.clip(garment * gain, 0, 255) / 255
        return {
            "garment": garment,
            "garment_fill": _filled(garment, mask),
            "garment_mask": mask[..., None],
        }

    def _behind(self, mask: np.ndarray, photo: np.ndarray, rng) -> np.ndarray:
        """Another background for a garment photo, with or without its shadow."""
        c = self.config
        lying = rng.random() < c.garment_surface
        behind = surface(mask.shape, rng) if lying else background(mask.shape, rng, photo)
        return with_shadow(behind, mask, rng) if rng.random() < c.garment_shadow else behind

    def _person(self, sample, raw: RawSample, view: View, garment_view: View) -> dict:
        zero = cv2.BORDER_CONSTANT
        out = {k: view.picture(sample[k]) / 255 for k in ("person", "target")}
        out["person_mask"] = view.picture(sample["old"], zero)[..., None]
        out["target_mask"] = view.picture(sample["new"], zero)[..., None]
        out["parsing"] = view.labels(raw.parsing, 4).astype(np.int64)
        flow = garment_view.forward(view.field(raw.flow, raw.person.shape[0] / raw.flow.shape[0]))
        out["flow"] = self._normalised(flow)
        return out

    def _normalised(self, points: np.ndarray) -> np.ndarray:
        scale = np.array([self.width, self.height])
        return ((points + 0.5) / scale * 2 - 1).astype(np.float32)

    def _keypoints(self, points: np.ndarray, view: View, flip: bool) -> np.ndarray:
        xy = self._normalised(view.forward(points[:, :2]))
        seen = (points[:, 2] > 0.5) & (np.abs(xy) < 1).all(1)
        out = np.concatenate([xy, seen[:, None]], 1).astype(np.float32)
        return out[list(MIRROR)] if flip else out

    # -- the whole picture ----------------------------------------------------------------------

    def _cut(self, out: dict[str, np.ndarray], rng) -> None:
        """Ends the picture at a random row; the runtime repeats the last row below a frame."""
        if rng.random() >= self.config.cut:
            return
        row = int(self.height * rng.uniform(0.55, 0.95))
        for name in ("person", "target"):
            out[name][row:] = out[name][row - 1]
        for name in ("person_mask", "target_mask"):
            out[name][row:] = 0
        out["parsing"][row // 4 :] = 0
        out["keypoints"][out["keypoints"][:, 1] > row / self.height * 2 - 1, 2] = 0

    def _expose(self, out: dict[str, np.ndarray], rng) -> None:
        if rng.random() >= self.config.exposure:
            return
        gamma = np.exp(rng.normal(0, 0.15))
        gain = rng.normal(1, 0.05, 3) * rng.uniform(0.9, 1.1)
        for name in ("person", "target"):
            lit = np.clip(out[name], 0, 1) ** gamma * gain
            out[name] = np.clip(lit, 0, 1).astype(np.float32)

    def _film(self, out: dict[str, np.ndarray], rng) -> None:
        """A webcam or a phone indoors; what no garment covers stays the same in both pictures."""
        if rng.random() >= self.config.camera:
            return
        y, x = np.mgrid[-1 : 1 : self.height * 1j, -1 : 1 : self.width * 1j]
        side = rng.uniform(0, 2 * np.pi)
        lamp = 1 + rng.uniform(0, 0.4) * (x * np.cos(side) + y * np.sin(side))
        lamp *= 1 - rng.uniform(0, 0.2) * (x * x + y * y)
        light = (lamp[..., None] * np.exp(rng.normal(0, 0.04, 3))).astype(np.float32)
        sigma = max(rng.uniform(-1, 1.2), 0)
        noise = rng.standard_normal(light.shape, np.float32) * np.float32(rng.uniform(0, 0.025))
        for name in ("person", "target"):
            seen = np.clip(out[name] * light, 0, 1)
            if sigma > 0.2:
                seen = cv2.GaussianBlur(seen, (0, 0), sigma)
            out[name] = np.clip(seen + noise, 0, 1)


def with_shadow(behind: np.ndarray, mask: np.ndarray, rng) -> np.ndarray:
    """What lies behind (H, W, 3), darkened beside a garment's mask (H, W)."""
    off = np.array([[1, 0, rng.normal(0, 3)], [0, 1, rng.normal(0, 3)]])
    shadow = cv2.warpAffine(mask, off, mask.shape[::-1])
    shadow = cv2.GaussianBlur(shadow, (0, 0), rng.uniform(1, 6))
    return behind * (1 - np.float32(rng.uniform(0.1, 0.5)) * shadow[..., None])


def letterbox_bars(garment: np.ndarray, mask: np.ndarray, rng) -> None:
    """Ends the photo between the garment and the picture's border, on two opposite sides."""
    axis = int(rng.integers(2))
    found = np.flatnonzero((mask > 0.05).any(1 - axis))
    if found.size == 0:
        return
    view = garment if axis == 0 else garment.transpose(1, 0, 2)
    first = int(rng.uniform(0, found[0] + 1))
    last = int(rng.uniform(found[-1] + 1, len(view) + 1))
    colour = border_colour(view[first:last])
    view[:first] = view[last:] = colour


def _filled(garment: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The picture that the runtime warps: around the garment its own colours go on."""
    sure = surely_garment(mask)
    if not sure.any():
        return garment
    weight = np.clip((mask - RULE.outside) / (RULE.inside - RULE.outside), 0, 1)[..., None]
    return garment * weight + nearest_colours(garment, sure) * (1 - weight)


def _other_cloth(pictures, mask: np.ndarray, rng) -> list[np.ndarray]:
    """The same new colours, and perhaps a print, where the mask is, in each of the pictures."""
    change = colour_map(rng)
    out = [_blend(picture, change(picture), mask) for picture in pictures]
    if rng.random() < 0.5:
        pattern, ink = print_pattern(mask.shape, rng)
        out = [_blend(x, np.clip(pattern * _shade(x, mask), 0, 255), ink * mask) for x in out]
    return out


def _shade(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Light (H, W, 1) on the cloth of a mask, about 1."""
    light = cv2.GaussianBlur(image.mean(2), (0, 0), 2)
    level = (light * mask).sum() / (mask.sum() + 1e-3)
    return np.clip((light + 20) / (level + 20), 0.55, 1.3)[..., None]


def _print(garment, flat, target, new, flow, rng) -> tuple[np.ndarray, np.ndarray]:
    """Prints a pattern on the garment photo and, through the flow, on the worn garment."""
    pattern, ink = print_pattern(garment.shape[:2], rng)
    full = cv2.resize(flow, (target.shape[1], target.shape[0]), interpolation=cv2.INTER_LINEAR)
    worn = cv2.remap(pattern, full[..., 0], full[..., 1], cv2.INTER_LINEAR)
    worn_ink = cv2.remap(ink, full[..., 0], full[..., 1], cv2.INTER_LINEAR)
    garment = _blend(garment, np.clip(pattern * _shade(garment, flat), 0, 255), ink * flat)
    target = _blend(target, np.clip(worn * _shade(target, new), 0, 255), worn_ink * new)
    return garment, target
