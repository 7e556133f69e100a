"""Regions of a person by keypoints: where clothes may change, where arms are."""

import cv2
import numpy as np

from dmvton.keypoints import Keypoint as K

_ARMS = (
    (K.LEFT_SHOULDER, K.LEFT_ELBOW),
    (K.LEFT_ELBOW, K.LEFT_WRIST),
    (K.RIGHT_SHOULDER, K.RIGHT_ELBOW),
    (K.RIGHT_ELBOW, K.RIGHT_WRIST),
)


def torso_length(points: np.ndarray) -> float:
    """Mid shoulder to mid hip of (13, 2+) keypoints, in their pixels."""
    shoulders = points[[K.LEFT_SHOULDER, K.RIGHT_SHOULDER], :2].mean(0)
    return float(np.linalg.norm(points[[K.LEFT_HIP, K.RIGHT_HIP], :2].mean(0) - shoulders))


def arms(points: np.ndarray, shape: tuple[int, int], radius: float = 0.2) -> np.ndarray:
    """Both arms from shoulder to wrist: (H, W) bool; radius in torso lengths."""
    out = np.zeros(shape, np.uint8)
    thickness = max(1, round(2 * radius * torso_length(points)))
    for a, b in _ARMS:
        ends = [tuple(int(v) for v in np.round(points[i, :2])) for i in (a, b)]
        cv2.line(out, ends[0], ends[1], 1, thickness)
    return out > 0


def torso(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The quadrangle of shoulders and hips: (H, W) bool."""
    corners = [K.LEFT_SHOULDER, K.RIGHT_SHOULDER, K.RIGHT_HIP, K.LEFT_HIP]
    out = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(out, np.round(points[corners, :2]).astype(np.int32), 1)
    return out > 0


def changeable(points: np.ndarray, worn: np.ndarray) -> np.ndarray:
    """Where a try-on may change a picture: (H, W) bool.

    The old garment, torso and arms, all with a margin of 0.35 torso lengths for loose cloth, and no
    higher than the chin of an upright head.
    """
    margin = max(1, round(0.35 * torso_length(points)))
    body = (worn | arms(points, worn.shape) | torso(points, worn.shape)).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * margin + 1,) * 2)
    out = cv2.dilate(body, kernel) > 0
    chin = points[K.NOSE, 1] + 0.15 * torso_length(points)
    raised = points[[K.LEFT_WRIST, K.RIGHT_WRIST, K.LEFT_ELBOW, K.RIGHT_ELBOW], 1].min()
    if raised > points[K.NOSE, 1]:  # no hand beside the head
        out[: max(0, round(float(min(chin, points[K.LEFT_SHOULDER, 1]))))] = False
    return out
