"""The student's composition in numpy: what its graph is checked against.

Convention:
    Flows are backward maps, (x, y) in [-1, 1] with align_corners=False: -1 and 1 are the outer
    edges of the picture, pixel i of n lies at (2i + 1) / n - 1. Beyond the outermost pixel centres
    the border is repeated.
"""

from collections.abc import Mapping

import numpy as np


def sample(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Bilinear samples of a picture.

    Args:
        picture: (C, H, W).
        flow: (2, h, w), (x, y) in [-1, 1].

    Returns:
        (C, h, w).
    """
    height, width = picture.shape[1:]
    x = np.clip(((flow[0] + 1) * width - 1) / 2, 0, width - 1)
    y = np.clip(((flow[1] + 1) * height - 1) / 2, 0, height - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    fx, fy = x - left, y - top
    upper = picture[:, top, left] * (1 - fx) + picture[:, top, right] * fx
    lower = picture[:, bottom, left] * (1 - fx) + picture[:, bottom, right] * fx
    return upper * (1 - fy) + lower * fy


def compose(person: np.ndarray, garment: np.ndarray, parts: Mapping[str, np.ndarray]) -> np.ndarray:
    """The try-on picture from its parts.

    Args:
        person: (1, 3, H, W) in [0, 1].
        garment: (1, 3, H, W) in [0, 1].
        parts: `flow`, `alpha`, `beta`, `rendered` and `gain` as the frame graph gives them.

    Returns:
        (3, H, W) in [0, 1]: alpha * clip(gain * warp(garment))
        + (1 - alpha) * (beta * rendered + (1 - beta) * person).
    """
    alpha, beta = parts["alpha"][0], parts["beta"][0]
    cloth = np.clip(parts["gain"][0] * sample(garment[0], parts["flow"][0]), 0, 1)
    rest = beta * parts["rendered"][0] + (1 - beta) * person[0]
    return alpha * cloth + (1 - alpha) * rest
