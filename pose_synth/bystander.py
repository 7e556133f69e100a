"""Somebody else in the picture, who keeps their clothes.

Photos of one person alone teach that every top in the picture is to be changed.
"""

import cv2
import numpy as np

from dmvton.parsing import Parsing
from pose_synth.outfit import Outfit
from pose_synth.persons import square
from pose_synth.products import Sample, soft_mask
from pose_synth.worn import torso_frame

MOST_HIDDEN = 0.15  # share of the new garment that somebody in front may hide


def with_bystander(
    rng: np.random.Generator, sample: Sample, outfit: Outfit, other: Outfit
) -> Sample:
    """The sample with `other` beside its person, in input and target alike.

    Args:
        rng: draws side, distance, size, and who is in front.
        sample: not changed.
        outfit: the sample's person.
        other: who comes along.

    Returns:
        The sample as it was where too much of the new garment would be hidden.
    """
    picture, body = _beside(rng, outfit, other)
    own = (outfit.parsing > 0) | (sample.person_mask > 30) | (sample.target_mask > 30)
    if rng.random() < 0.7:
        body &= cv2.dilate(own.astype(np.uint8), square(3, outfit.scale)) == 0
    alpha = soft_mask(body)
    worn = sample.target_mask.astype(np.float32)
    if (worn * alpha).sum() > MOST_HIDDEN * worn.sum():
        return sample
    share = alpha[..., None]
    person, target = (
        np.round(image * (1 - share) + picture * share).astype(np.uint8)
        for image in (sample.person, sample.target)
    )
    person_mask, target_mask = (
        np.round(mask * (1 - alpha)).astype(np.uint8)
        for mask in (sample.person_mask, sample.target_mask)
    )
    parsing = np.where(body, Parsing.BACKGROUND, sample.parsing).astype(np.uint8)
    return sample._replace(person=person, target=target, person_mask=person_mask,
                           target_mask=target_mask, parsing=parsing)  # fmt: skip


def _beside(rng, outfit: Outfit, other: Outfit) -> tuple[np.ndarray, np.ndarray]:
    """`other` on the outfit's canvas: the picture (H, W, 3) uint8 and where they are, (H, W)."""
    here, there = (torso_frame(one.points[:, :2]) for one in (outfit, other))
    zoom = rng.uniform(0.75, 1.15) * here.length / there.length
    away = rng.uniform(1.0, 2.2) * (here.shoulders + zoom * there.shoulders) / 2
    neck = here.neck + (rng.choice([-1, 1]) * away, rng.uniform(-0.3, 0.3) * here.length)
    flip = rng.choice([-1, 1])
    matrix = np.array([[flip * zoom, 0, 0], [0, zoom, 0]])
    matrix[:, 2] = neck - matrix[:, :2] @ there.neck
    size = outfit.region.shape[::-1]
    picture = cv2.warpAffine(other.image, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    body = cv2.warpAffine((other.parsing > 0).astype(np.float32), matrix, size)
    return picture, body > 0.5
