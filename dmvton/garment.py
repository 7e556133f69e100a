"""A garment, ready to be worn: its full-size photo and what the network made of it."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from dmvton.crop import Box, letterbox, sample
from dmvton.errors import GarmentError
from dmvton.hem import Torso, torso_of
from dmvton.image_io import Picture
from dmvton.runtime import NetworkPair, to_tensor
from dmvton.strays import strays
from dmvton.wall import before_wall

_BAND = 256  # photo rows painted at once


@dataclass(frozen=True)
class GarmentRule:
    """When a photo counts as showing a garment."""

    contrast: float = 2.0
    """Least standard deviation of the photo, in grey levels: less is a blank sheet."""
    mask_area: float = 0.01
    """Least share of the photo that the mask covers."""
    top: float = 0.03
    """Least chance that it shows a top: neither trousers nor a person's photo are put on as one."""
    fill: float = 0.88
    """The garment is framed so that it fills this share of the picture's tighter side; the network
    was trained on 0.7 to 0.98."""
    loose: float = 0.72
    """A garment that fills less than this is framed anew."""
    tight: float = 0.93
    """One that fills more, too: with cuffs at the border, arms stay bare."""
    outside: float = 0.5
    """Photo pixels with a mask below this are not garment."""
    inside: float = 0.8
    """Photo pixels with a mask above this are garment in full."""


RULE = GarmentRule()


class Pyramid:
    """A picture at falling sizes, each made when it is first asked for.

    Sampling a photo of 4,000 pixels at 400 places aliases its stripes; sampling it from the level
    that is about as fine as the output does not.
    """

    def __init__(self, image: np.ndarray):
        """Keep (H, W, 3) uint8."""
        self.image = image
        self._levels: dict[int, np.ndarray] = {0: image}

    def level(self, density: float) -> np.ndarray:
        """The picture for a sampling of ``density`` source pixels per output pixel.

        Returns:
            (H', W', 3) uint8, the source shrunk by the largest power of sqrt(2) that leaves at
            least one of its pixels per output pixel.
        """
        step = max(0, int(np.floor(2 * np.log2(max(density, 1.0)))))
        if step not in self._levels:
            height, width = self.image.shape[:2]
            shrink = 2.0 ** (-step / 2)
            size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
            self._levels[step] = cv2.resize(self.image, size, interpolation=cv2.INTER_AREA)
        return self._levels[step]


@dataclass(frozen=True, eq=False)
class Garment:
    """What ``TryOn.garment`` returns: hand it to every frame."""

    photo: Pyramid
    """The full-size photo, RGB, with its smaller levels; around the garment, its own colours go on,
    so that a warp that reaches a little too far shows no background."""
    box: Box
    """The letterbox in pixels of the photo; the flow points into it."""
    border: np.ndarray
    """(3,) uint8, the colour around the photo inside the letterbox."""
    picture: np.ndarray
    """(h, w, 3) uint8, the letterboxed photo at network size."""
    tensor: np.ndarray
    """(1, 3, h, w) float32, the same for the network."""
    features: dict[str, np.ndarray]
    """Output of the garment graph, ``garment_mask`` (1, 1, h, w) among it."""

    @property
    def mask(self) -> np.ndarray:
        """(h, w) float32 in [0, 1]: where the letterboxed photo shows the garment."""
        return self.features["garment_mask"][0, 0]

    @cached_property
    def torso(self) -> Torso | None:
        """What of it ends in the hem; asked for by every frame."""
        return torso_of(self.mask)


def border_colour(rgb: np.ndarray) -> np.ndarray:
    """The median colour of the outermost pixels: (H, W, 3) uint8 to (3,) uint8."""
    rim = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    return np.median(rim, axis=0).astype(np.uint8)


def encode(network: NetworkPair, picture: Picture, rule: GarmentRule = RULE) -> Garment:
    """Letterbox a garment photo, run the garment graph, and check that there is a garment.

    Args:
        network: the loaded pair.
        picture: the photo; where it has an alpha channel, that is the garment's mask.
        rule: the bounds of the checks.

    Raises:
        GarmentError: the photo is blank, its mask is nearly empty, or it shows no top but trousers,
            a skirt or a person. Of a cut-out that is not asked: whoever made it knows.
    """
    rgb, alpha = picture
    box = letterbox(rgb.shape[0], rgb.shape[1], network.size)
    border = border_colour(rgb)
    small = sample(rgb, box, network.size, border)
    contrast = float(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).std())
    if (
        alpha is None
        and contrast < rule.contrast
        and float(small.std(axis=(0, 1)).max()) < rule.contrast
    ):
        raise GarmentError(
            f"the garment photo is blank (its grey levels vary by {contrast:.1f}, expected at "
            f"least {rule.contrast:.0f}); give a photo that shows one garment"
        )
    garment = _look(network, picture, box, border)
    shown = rgb.shape[0] * rgb.shape[1] / (box.width * box.height)  # share of the letterbox
    area = float(garment.mask.mean()) / shown
    if area < rule.mask_area:
        raise GarmentError(
            f"no garment found in the garment photo (its mask covers {area:.1%}, expected at least "
            f"{rule.mask_area:.0%}); give a photo that shows one garment, large and unfolded"
        )
    closer = framed(garment.mask, box, rule)
    if closer is not None:
        garment = _look(network, picture, closer, border)
    chance = float(garment.features.get("garment_top", np.ones(1)).item())
    if alpha is None and chance < rule.top:
        raise GarmentError(
            f"the garment photo shows no top, it seems (chance {chance:.0%}, expected at least "
            f"{rule.top:.0%}), but trousers, a skirt or a person; give a photo of the top alone, "
            "from the front and unfolded, or cut it out: transparency is taken as it is"
        )
    stray = strays(garment.picture, garment.mask) if alpha is None else None
    return replace(garment, photo=Pyramid(extended(rgb, garment, stray, rule)))


def _look(network: NetworkPair, picture: Picture, box: Box, border: np.ndarray) -> Garment:
    """Run the garment graph on one box of the photo."""
    rgb, alpha = picture
    small = sample(rgb, box, network.size, border)
    tensor = to_tensor(small)
    features = network.encode_garment(tensor)
    if alpha is not None:  # a cut-out: whoever made it knows better than the network
        mask = sample(alpha, box, network.size, np.zeros(1))
        features["garment_mask"] = (mask / np.float32(255))[None, None]
    else:
        mask, photo = features["garment_mask"][0, 0].copy(), shown(rgb, box, network.size)
        mask[photo] = before_wall(small[photo], mask[photo], border)
        features["garment_mask"] = mask[None, None]
    return Garment(Pyramid(rgb), box, border, small, tensor, features)


def shown(rgb: np.ndarray, box: Box, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a letterbox of `size` (height, width) that are photo, not bars."""
    part = box.inside(*rgb.shape[:2])
    return (
        _pixels(part.y - box.y, part.height, box.height, size[0]),
        _pixels(part.x - box.x, part.width, box.width, size[1]),
    )


def _pixels(start: int, length: int, whole: int, count: int) -> slice:
    """A stretch of a side in network pixels, at least one."""
    first = min(math.floor(start * count / whole + 0.5), count - 1)
    last = math.floor((start + length) * count / whole + 0.5)
    return slice(first, max(last, first + 1))


def surely_garment(mask: np.ndarray, rule: GarmentRule = RULE) -> np.ndarray:
    """(h, w) mask in [0, 1] to uint8: 1 from one pixel inside, as the rim is a mixture."""
    return cv2.erode((mask > rule.inside).astype(np.uint8), np.ones((3, 3), np.uint8))


def nearest_colours(picture: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """For each pixel the colour of the nearest sure one, a little blurred.

    Args:
        picture: (h, w, 3) uint8 or float32.
        sure: (h, w) uint8, not 0 where the colours are taken from; not empty.
    """
    _, nearest = cv2.distanceTransformWithLabels(
        (sure == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colours = np.zeros((nearest.max() + 1, 3), picture.dtype)
    colours[nearest[sure > 0]] = picture[sure > 0]
    return cv2.GaussianBlur(colours[nearest], (0, 0), 1.5)


def extended(
    rgb: np.ndarray, garment: Garment, stray: np.ndarray | None = None, rule: GarmentRule = RULE
) -> np.ndarray:
    """The photo with the background inside the garment's box painted in the nearest garment colour.

    Args:
        rgb: (H, W, 3) uint8, the whole photo, not changed.
        garment: its box, mask and picture.
        stray: (h, w) bool, what the mask covers and is background nevertheless.
        rule: which masks count as garment.

    Returns:
        (H, W, 3) uint8.
    """
    mask = garment.mask if stray is None else np.where(stray, 0, garment.mask)
    sure = surely_garment(mask, rule)
    if not sure.any():
        return rgb
    fill = nearest_colours(garment.picture, sure)
    size = (garment.box.width, garment.box.height)
    part = garment.box.inside(*rgb.shape[:2])
    rows = slice(part.y - garment.box.y, part.bottom - garment.box.y)
    columns = slice(part.x - garment.box.x, part.right - garment.box.x)
    shares = cv2.resize(np.rint(mask * 255).astype(np.uint8), size)[rows, columns, None]
    ramp = (np.arange(256) / 255 - rule.outside) / (rule.inside - rule.outside)
    weight = np.rint(ramp.clip(0, 1) * 255).astype(np.uint16)
    fill = cv2.resize(fill, size)[rows, columns]
    out = rgb.copy()
    area = out[part.y : part.bottom, part.x : part.right]
    for start in range(0, part.height, _BAND):  # bounds the memory of large photos
        band = slice(start, start + _BAND)
        w = weight[shares[band]]
        area[band] = (area[band] * w + fill[band] * (255 - w) + 127) // 255
    return out


def framed(mask: np.ndarray, box: Box, rule: GarmentRule = RULE) -> Box | None:
    """A box that frames the garment as in training; None where the present one does.

    Args:
        mask: (h, w) in [0, 1], where the box shows the garment.
        box: the present one, in pixels of the photo.
        rule: how much of it the garment should fill.
    """
    x, y, width, height = cv2.boundingRect((mask > 0.5).astype(np.uint8))
    fill = max(width / mask.shape[1], height / mask.shape[0])
    if fill == 0 or rule.loose <= fill <= rule.tight:
        return None
    share = fill / rule.fill  # of the present box's sides
    centre_x = box.x + (x + width / 2) / mask.shape[1] * box.width
    centre_y = box.y + (y + height / 2) / mask.shape[0] * box.height
    new_width, new_height = max(1, round(box.width * share)), max(1, round(box.height * share))
    return Box(
        round(centre_x - new_width / 2), round(centre_y - new_height / 2), new_width, new_height
    )
