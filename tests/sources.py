"""A tiny tree in the layout of Clothing Co-Parsing, with drawn persons."""

import cv2
import numpy as np
import scipy.io

from tests.samples import pattern

TAGS = ["null", "skin", "hair", "t-shirt", "jeans", "bag"]
SIZE = (160, 240)  # (width, height)
BODY = {1: (60, 20, 100, 60), 3: (50, 60, 110, 140), 4: (55, 140, 105, 235)}  # x0, y0, x1, y1


def labels():
    """Tag indices (240, 160) uint8: skin, t-shirt, jeans."""
    out = np.zeros(SIZE[::-1], np.uint8)
    for tag, (x0, y0, x1, y1) in BODY.items():
        out[y0:y1, x0:x1] = tag
    return out


def write_labels(root, key, values):
    scipy.io.savemat(root / "annotations/pixel-level" / f"{key}.mat", {"groundtruth": values})


def write_source(root, keys=("0001", "0002", "0003"), labelled=("0001", "0002")):
    """Photos of `keys`, labels of `labelled`, and the list of tags; returns the root."""
    (root / "photos").mkdir(parents=True)
    (root / "annotations/pixel-level").mkdir(parents=True)
    names = np.empty((1, len(TAGS)), object)
    names[0] = [np.array([tag]) for tag in TAGS]
    scipy.io.savemat(root / "label_list.mat", {"label_list": names})
    for number, key in enumerate(keys):
        cv2.imwrite(str(root / "photos" / f"{key}.jpg"), pattern(SIZE, 50, number))
    for key in labelled:
        write_labels(root, key, labels())
    return root
