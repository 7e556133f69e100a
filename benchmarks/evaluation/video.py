"""Video: a known camera move over a still photo; what flickers is the contender's doing."""

from collections.abc import Sequence

import cv2
import numpy as np

from benchmarks.evaluation.contenders import Contender, Known
from benchmarks.evaluation.regions import changeable, torso_length
from benchmarks.evaluation.rows import Row
from benchmarks.evaluation.wild import Case, Subject
from dmvton.keypoints import Keypoint as K

_LONG = 0.6  # of a path's period that a clip runs through, at FRAMES frames
FRAMES = 10


def camera(frame: int, centre: np.ndarray, torso: float) -> np.ndarray:
    """(2, 3): photo -> frame; pans by up to 0.15 torso lengths, zooms 4%, turns 2 degrees."""
    phase = 2 * np.pi * _LONG * frame / FRAMES
    zoom = 1 + 0.04 * np.sin(phase)
    angle = np.deg2rad(2) * np.sin(0.7 * phase)
    a, b = zoom * np.cos(angle), zoom * np.sin(angle)
    linear = np.array([[a, -b], [b, a]])
    pan = torso * np.array([0.15 * np.sin(phase), 0.08 * np.sin(1.3 * phase)])
    return np.c_[linear, centre - linear @ centre + pan]


def flicker(contender: Contender, case: Case, frames: int = FRAMES) -> float:
    """Mean absolute change between successive results, once the camera's move is undone.

    Args:
        contender: sees the frames in order.
        case: the first garment is worn.
        frames: of the clip.

    Returns:
        Grey levels, inside the region that a try-on may change. The no-op's is that of resampling.
    """
    subject = case.subject
    dress = contender.stream(case.cloths[0])
    region = cv2.erode(
        changeable(subject.points, subject.worn).astype(np.uint8), np.ones((5, 5), np.uint8)
    )
    centre, torso = _middle(subject), torso_length(subject.points)
    size = subject.photo.shape[1::-1]
    changes, last = [], None
    for k in range(frames):
        matrix = camera(k, centre, torso)
        image = cv2.warpAffine(subject.photo, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        known = _moved(subject.known, matrix)
        back = cv2.warpAffine(
            dress(image, known), matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        ).astype(np.float32)
        if last is not None:
            changes.append(float(np.abs(back - last)[region > 0].mean()))
        last = back
    return float(np.mean(changes))


def _moved(known: Known, matrix: np.ndarray) -> Known:
    """What is known, in the frame that (2, 3) leads to."""
    points = known.points.copy()
    points[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    size, nearest = known.worn.shape[::-1], cv2.INTER_NEAREST
    worn = cv2.warpAffine(known.worn.astype(np.uint8), matrix, size, flags=nearest) > 0
    return Known(points, worn, cv2.warpAffine(known.parsing, matrix, size, flags=nearest))


def _middle(subject: Subject) -> np.ndarray:
    torso = [K.LEFT_SHOULDER, K.RIGHT_SHOULDER, K.LEFT_HIP, K.RIGHT_HIP]
    return subject.points[torso, :2].mean(0).astype(np.float64)


def run(contenders: list[Contender], cases: Sequence[Case]) -> dict[str, list[Row]]:
    """A clip of every case by every contender."""
    return {
        c.name: [
            Row(f"{i}", case.subject.key, {"flicker": flicker(c, case)})
            for i, case in enumerate(cases)
        ]
        for c in contenders
    }
