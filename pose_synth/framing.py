"""Pose-only samples for the keypoint and presence heads: whole photos, and pictures of no person.

They teach the network to find the person in an uncropped photo, which is how the runtime starts.
"""

from pathlib import Path

import cv2
import numpy as np

from dmvton.augment import NO_PERSON, POSE_ONLY
from pose_synth.ccp import ClothingCoParsing
from pose_synth.garments import Garment
from pose_synth.pose import NETWORK_KEYPOINTS, PoseBank
from pose_synth.products import Sample

HEIGHT = 448  # rows of a stored photo


def _sample(image, keypoints, garment: Garment, kind: str, key: str) -> Sample:
    height, width = image.shape[:2]
    blank = np.zeros((height, width), np.uint8)
    flow = np.zeros((height // 2, width // 2, 2), np.int16)
    mask = np.round(garment.mask * 255).astype(np.uint8)
    return Sample(image, blank, image, blank, blank, garment.image, mask, flow, keypoints, kind,
                  key, garment.key)  # fmt: skip


class FramingGenerator:
    """Photos with keypoints, and pictures that show no person."""

    def __init__(self, source: ClothingCoParsing, poses: PoseBank, keys: list[str],
                 garments: list[Garment], empty: list[Path], empty_share: float = 0.2):  # fmt: skip
        """`empty` are pictures without a person (garment photos of any class)."""
        self.source, self.poses, self.keys = source, poses, keys
        self.garments, self.empty, self.empty_share = garments, empty, empty_share

    def draw(self, rng: np.random.Generator) -> Sample:
        """One sample of kind K or N."""
        garment = self.garments[rng.integers(len(self.garments))]
        if rng.random() < self.empty_share:
            return self._without_person(rng, garment)
        key = self.keys[rng.integers(len(self.keys))]
        photo = self.source.photo(key)
        zoom = HEIGHT / photo.shape[0]
        size = (round(photo.shape[1] * zoom) // 2 * 2, HEIGHT)
        points, _ = self.poses.points(key)
        keypoints = points[list(NETWORK_KEYPOINTS)].astype(np.float32)
        keypoints[:, :2] = (keypoints[:, :2] + 0.5) * zoom - 0.5
        image = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
        return _sample(image, keypoints, garment, POSE_ONLY, key)

    def _without_person(self, rng, garment: Garment) -> Sample:
        """A garment photo, or the strip of a street photo beside the person."""
        size = (336, HEIGHT)
        if rng.random() < 0.6:
            path = self.empty[rng.integers(len(self.empty))]
            image, key = cv2.imread(str(path)), path.stem
        else:
            key = self.keys[rng.integers(len(self.keys))]
            photo = self.source.photo(key)
            x = self.poses.points(key)[0][:, 0]
            left, right = int(max(x.min() - 60, 0)), int(min(x.max() + 60, photo.shape[1]))
            image = photo[:, :left] if left > photo.shape[1] - right else photo[:, right:]
            if image.shape[1] < 40:
                image = cv2.imread(str(self.empty[rng.integers(len(self.empty))]))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return _sample(image, np.zeros((13, 3), np.float32), garment, NO_PERSON, key)
