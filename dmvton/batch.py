"""The training sample in flight; every field gains a leading batch axis when collated."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Person, garment, truth; pictures RGB in [0, 1], H and W multiples of 16."""

    person: Tensor  # (3, H, W)
    garment: Tensor  # (3, H, W)
    garment_fill: Tensor  # (3, H, W) the garment, its colours going on around it
    garment_mask: Tensor  # (1, H, W) in [0, 1]
    target: Tensor  # (3, H, W)
    person_mask: Tensor  # (1, H, W) the old garment in `person`, [0, 1]
    target_mask: Tensor  # (1, H, W) the new garment in `target`, [0, 1]
    parsing: Tensor  # (H/4, W/4) int64 classes of the target
    flow: Tensor  # (2, H, W) target -> garment, see dmvton.flow; valid inside target_mask
    keypoints: Tensor  # (13, 3) x, y in [-1, 1], visibility in {0, 1}
    presence: Tensor  # (1,) 1 where a torso is in view
    tryon: Tensor  # (1, 1, 1) 1 where the try-on truth is valid, 0 for pose-only samples
    photo: Tensor  # (1, 1, 1) 1 where the target is an untouched photo (product D)
