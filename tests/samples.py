"""Stored samples whose truth is known in closed form, and shards of them.

The garment is a smooth coloured pattern; the target is it under an affine map, inside an ellipse.
"""

import cv2
import numpy as np

from pose_synth.products import Sample, flow_to_grid
from pose_synth.shards import ShardPlan, write

CANVAS = (256, 336)  # (width, height)
GARMENT = (240, 320)
# Keypoints in canvas pixels, in the network's order; the person faces the camera, so that the left
# side is the picture's right.
POINTS = np.array(
    [(128, 84), (158, 112), (98, 112), (176, 160), (80, 160), (184, 206), (72, 206),
     (146, 218), (110, 218), (144, 270), (112, 270), (144, 310), (112, 310)],
    np.float32,
)  # fmt: skip


def affine(angle=8.0, zoom=0.9):
    """(2, 3): canvas pixels -> garment pixels; the canvas' middle shows the garment's middle."""
    a, b = zoom * np.cos(np.deg2rad(angle)), zoom * np.sin(np.deg2rad(angle))
    linear = np.array([[a, -b], [b, a]])
    shift = np.array([119.5, 159.5]) - linear @ [127.5, 167.5]
    return np.concatenate([linear, shift[:, None]], 1)


def dense(matrix):
    """The map as positions (336, 256, 2) float32 in garment pixels."""
    y, x = np.mgrid[: CANVAS[1], : CANVAS[0]]
    field = np.stack([x, y], 2) @ matrix[:, :2].T + matrix[:, 2]
    return field.astype(np.float32)


def pattern(size, period, phase=0.0):
    """A smooth coloured picture (H, W, 3) uint8 of (width, height)."""
    y, x = np.mgrid[: size[1], : size[0]]
    waves = [x / period, y / period * 1.3, (x + y) / period * 0.7]
    channels = [127 + 90 * np.sin(w * 2 * np.pi + phase + i) for i, w in enumerate(waves)]
    return np.stack(channels, 2).astype(np.uint8)


def make_sample(seed=0, kind="C", markers=False):
    """A sample; with `markers`, a disk is drawn at every keypoint of the person instead."""
    rng = np.random.default_rng(seed)
    matrix = affine(rng.uniform(-12, 12), rng.uniform(0.8, 1.0))
    field = dense(matrix)
    garment = pattern(GARMENT, 35, seed)
    worn = cv2.remap(garment, field[..., 0], field[..., 1], cv2.INTER_LINEAR)
    mask = np.zeros(CANVAS[::-1], np.uint8)
    cv2.ellipse(mask, (128, 168), (60, 84), 0, 0, 360, 255, -1)
    person = pattern(CANVAS, 150, seed + 2)
    target = np.where(mask[..., None] > 0, worn, person)
    if markers:
        person = draw_markers()
    flat = np.zeros(GARMENT[::-1], np.uint8)
    flat[20:300, 20:220] = 255
    parsing = np.where(mask > 0, 3, 0).astype(np.uint8)
    keypoints = np.concatenate([POINTS, np.ones((13, 1), np.float32)], 1)
    if kind == "N":
        keypoints[:] = 0
    return Sample(person, mask, target, mask, parsing, garment, flat, flow_to_grid(field),
                  keypoints, kind, f"p{seed}", f"g{seed}")  # fmt: skip


def marker_grey(index):
    """Brightness of the disk at a keypoint; neighbours differ enough to survive JPEG."""
    return 60 + 15 * index


def draw_markers():
    """A black canvas (336, 256, 3) with a grey disk at every keypoint."""
    image = np.zeros((CANVAS[1], CANVAS[0], 3), np.uint8)
    for index, (x, y) in enumerate(POINTS):
        cv2.circle(image, (int(x), int(y)), 6, (marker_grey(index),) * 3, -1)
    return image


def write_shards(folder, kinds="CCCC", shard_size=3, **options):
    """Shards of one sample for each of `kinds`; returns the folder."""
    plan = ShardPlan(folder, len(kinds), shard_size=shard_size)
    rest = iter(enumerate(kinds))

    def draw(_):
        seed, kind = next(rest)
        return make_sample(seed, kind, **options)

    write(plan, draw, {"part": "synthetic"})
    return folder
