"""Drawn garments and persons whose landmarks are known."""

import cv2
import numpy as np

from dmvton.parsing import Parsing
from pose_synth.flat import flat_mesh
from pose_synth.garments import CANVAS as GARMENT_CANVAS
from pose_synth.garments import Garment, extend_colours
from pose_synth.outfit import Outfit
from pose_synth.worn import worn_mesh
from tests.samples import CANVAS, pattern

# Corners of the left half of each garment on a canvas of 240x320, from the neck outwards and down;
# the right half mirrors it.
MIDDLE = 119.5
TSHIRT = {
    "neck": (94, 42), "shoulder": (68, 50), "cuff_out": (16, 92), "cuff_in": (20, 132),
    "armpit": (67, 108), "hem": (64, 286),
}  # fmt: skip
LONGSLEEVE = {
    "neck": (94, 32), "shoulder": (70, 40), "cuff_out": (8, 226), "cuff_in": (28, 258),
    "armpit": (72, 104), "hem": (72, 290),
}  # fmt: skip
# The cuff stands at right angles to the sleeve, and its inner corner lies within the convex hull.
SLOPING = TSHIRT | {"cuff_out": (16, 112), "cuff_in": (40, 136)}


def mirrored(points):
    return [(2 * MIDDLE - x, y) for x, y in points]


def polygon(corners):
    """Closed outline of a garment (n, 2) from the corners of its left half."""
    half = list(corners.values())
    return np.float64(half + mirrored(half)[::-1] + [(MIDDLE, half[0][1] + 10)])


def filled(points, size=GARMENT_CANVAS):
    """Mask (H, W) bool of a polygon on a canvas of (width, height)."""
    mask = np.zeros(size[::-1], np.uint8)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
    return mask > 0


def shop_photo(corners, colour=(60, 90, 200)):
    """A plain garment (320, 240, 3) uint8 BGR on a white ground."""
    photo = np.full((GARMENT_CANVAS[1], GARMENT_CANVAS[0], 3), 250, np.uint8)
    photo[filled(polygon(corners))] = colour
    return cv2.GaussianBlur(photo, (0, 0), 0.8)


def make_garment(corners, key="t-shirt/drawn", period=70, phase=0.0):
    """A garment in a smooth pattern, as the bank would hold it."""
    mask = filled(polygon(corners))
    mesh, misfit = flat_mesh(mask)
    image = pattern(GARMENT_CANVAS, period, phase)
    image[~mask] = 255
    kind = key.split("/")[0]
    return Garment(key, kind, image, mask.astype(np.float32), extend_colours(image, mask), mesh,
                   misfit)  # fmt: skip


# BlazePose: the person's left is the picture's right.
JOINTS = {
    0: (128, 86), 11: (164, 125), 12: (92, 125), 13: (182, 180), 14: (74, 180), 15: (192, 234),
    16: (64, 234), 23: (150, 234), 24: (106, 234), 25: (148, 300), 26: (108, 300), 27: (148, 330),
    28: (108, 330),
}  # fmt: skip
NECK_Y, HIP_Y = 125, 234  # of the shoulders and of the hips
TORSO = HIP_Y - NECK_Y


def person_points():
    """Keypoints (33, 3) of the drawn person on the canvas, all visible."""
    points = np.zeros((33, 3), np.float32)
    points[:, 2] = 1
    for index, xy in JOINTS.items():
        points[index, :2] = xy
    return points


def person_masks(hem=1.1, sleeve=0.4):
    """Masks (336, 256) bool of the top and of the bare arms.

    Args:
        hem: depth of the hem in torso lengths.
        sleeve: share of each arm that is covered; 0 for none.
    """
    bottom = NECK_Y + hem * TORSO
    torso = [(90, 118), (112, 110), (144, 110), (166, 118), (162, bottom), (94, bottom)]
    region = filled(np.float64(torso), CANVAS).astype(np.uint8)
    arms = np.zeros_like(region)
    for joints in ((12, 14, 16), (11, 13, 15)):
        shoulder, elbow, wrist = (np.float64(JOINTS[j]) for j in joints)
        for a, b in ((shoulder, elbow), (elbow, wrist)):
            cv2.line(arms, tuple(np.int32(a)), tuple(np.int32(b)), 1, 22)
        upper, lower = np.linalg.norm(elbow - shoulder), np.linalg.norm(wrist - elbow)
        left = sleeve * (upper + lower)
        for a, b, length in ((shoulder, elbow, upper), (elbow, wrist, lower)):
            end = a + (b - a) * min(1.0, left / length)
            if left > 0:
                cv2.line(region, tuple(np.int32(a)), tuple(np.int32(np.round(end))), 1, 22)
            left -= length
    return region > 0, (arms > 0) & (region == 0)


def make_outfit(key="drawn", hem=1.1, sleeve=0.4, phase=3.0, plain=False):
    """The drawn person in a patterned or plain top, trousers and bare arms."""
    region, arms = person_masks(hem, sleeve)
    parsing = np.zeros(region.shape, np.uint8)
    parsing[filled(np.float64([(100, 225), (156, 225), (160, 335), (96, 335)]), CANVAS)] = (
        Parsing.LOWER
    )
    head = np.zeros(region.shape, np.uint8)
    cv2.ellipse(head, (128, 84), (20, 26), 0, 0, 360, 1, -1)
    parsing[arms | (head > 0)] = Parsing.SKIN
    parsing[region] = Parsing.UPPER
    image = np.full((*region.shape, 3), (200, 190, 180), np.uint8)
    image[parsing == Parsing.SKIN] = (130, 160, 210)
    image[parsing == Parsing.LOWER] = (90, 60, 50)
    top = (120, 140, 90) if plain else pattern(CANVAS, 80, phase)
    image = np.where(region[..., None], top, image).astype(np.uint8)
    points = person_points()
    worn = worn_mesh(points[:, :2], region, np.zeros_like(region))
    return Outfit(key, image, parsing, region, points, worn, "single")
