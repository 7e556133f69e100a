"""Tiny trees in the folder layouts of public try-on datasets, with a drawn person and garment."""

import json

import cv2
import numpy as np
from PIL import Image

from dmvton.parsing import Parsing
from tests.figures import JOINTS, TSHIRT, filled, make_outfit, polygon, shop_photo
from tests.samples import CANVAS

OURS = {
    0: 0,
    2: 12,
    3: 14,
    4: 16,
    5: 11,
    6: 13,
    7: 15,
    8: 24,
    9: 26,
    10: 28,
    11: 23,
    12: 25,
    13: 27,
}
VALUES = {
    "VITON": {Parsing.SKIN: 13, Parsing.UPPER: 5, Parsing.LOWER: 9},
    "VITON-HD": {Parsing.SKIN: 10, Parsing.UPPER: 5, Parsing.LOWER: 9},
    "VITON-Clean": {Parsing.SKIN: 12, Parsing.UPPER: 4, Parsing.LOWER: 8},
    "DressCode": {Parsing.SKIN: 11, Parsing.UPPER: 4, Parsing.LOWER: 6},
}
# Folder of person, garment, mask, labels, keypoints; suffixes of the last two.
FOLDERS = {
    "VITON": ("train/image", "train/cloth", "train/cloth-mask", "train/image-parse", "train/pose",
              "", "_keypoints"),
    "VITON-HD": ("train/image", "train/cloth", "train/cloth-mask", "train/image-parse-v3",
                 "train/openpose_json", "", "_keypoints"),
    "VITON-Clean": ("train_img", "train_color", "train_edge", "train_label", "train_pose", "", ""),
    "DressCode": ("upper_body/images", "upper_body/images", "upper_body/edge",
                  "upper_body/label_maps", "upper_body/keypoints", "_4", "_2"),
}  # fmt: skip


def keypoints(layout):
    """The drawn person's JSON, as the layout spells it."""
    points = np.zeros((18, 3))
    for theirs, ours in OURS.items():
        points[theirs] = (*JOINTS[ours], 0.9)
    if layout == "DressCode":
        scale = np.array([384 / CANVAS[0], 512 / CANVAS[1], 1])
        rows = [[*row, i] for i, row in enumerate((points * scale).tolist())]
        return {"keypoints": rows}
    return {"people": [{"pose_keypoints_2d": points.ravel().tolist()}]}


def write_set(root, layout, count=2):
    """A dataset of `count` pairs; returns the root."""
    person, cloth, mask, labels, pose, after_labels, after_pose = FOLDERS[layout]
    for folder in {person, cloth, mask, labels, pose}:
        (root / folder).mkdir(parents=True, exist_ok=True)
    base = root / "upper_body" if layout == "DressCode" else root
    lines = []
    for number in range(count):
        p, c = f"{number:06d}_0", f"{number:06d}_1"
        outfit = make_outfit(phase=number)
        values = np.zeros(outfit.parsing.shape, np.uint8)
        for ours, theirs in VALUES[layout].items():
            values[outfit.parsing == ours] = theirs
        picture = Image.fromarray(values)
        if layout != "VITON-Clean":
            picture.putpalette(np.arange(768).astype(np.uint8)[::-1].tobytes())
        stem = p[:-2] if layout == "DressCode" else p
        picture.save(root / labels / f"{stem}{after_labels}.png")
        (root / pose / f"{stem}{after_pose}.json").write_text(json.dumps(keypoints(layout)))
        cv2.imwrite(str(root / person / f"{p}.jpg"), outfit.image)
        cv2.imwrite(str(root / cloth / f"{c}.jpg"), shop_photo(TSHIRT))
        flat = filled(polygon(TSHIRT)).astype(np.uint8) * 255
        cv2.imwrite(str(root / mask / f"{c}.jpg"), flat)
        lines.append(f"{p}.jpg {c}.jpg")
    (base / "train_pairs.txt").write_text("\n".join(lines) + "\n")
    return root
