"""Object keypoint similarity of the network's 13 keypoints."""

import numpy as np

from dmvton.keypoints import Keypoint

# COCO's constants (2 sigma, Ronchi and Perona 2017) by body part.
_SPREAD = {"NOSE": 0.052, "SHOULDER": 0.158, "ELBOW": 0.144, "WRIST": 0.124, "HIP": 0.214,
           "KNEE": 0.174, "ANKLE": 0.178}  # fmt: skip
SPREADS = np.array([_SPREAD[k.name.split("_")[-1]] for k in Keypoint])


def oks(a: np.ndarray, b: np.ndarray, seen: np.ndarray, area: float | None = None) -> float:
    """Similarity in [0, 1] of two sets of keypoints, over those that are seen.

    Args:
        a: (13, 2) in pixels.
        b: (13, 2) in the same pixels.
        seen: (13,) bool; with none seen the similarity is 0.
        area: of the person in square pixels; by default of the box about the seen points of `a`.
    """
    if not seen.any():
        return 0.0
    if area is None:
        width, height = np.ptp(a[seen], axis=0) + 1e-6
        area = max(width, 0.3 * height) * height  # a person from the side is not thin in depth
    distance = np.square(a[seen] - b[seen]).sum(1)
    return float(np.exp(-distance / (2 * area * SPREADS[seen] ** 2)).mean())
