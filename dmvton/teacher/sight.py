"""What the teacher sees of a person: everything but the clothes on the upper body.

The person without the garment ("agnostic"), parsing and a body map drawn from keypoints. The same
function serves training samples, whose parsing is known, and photos, whose parsing a network gave.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dmvton.batch import Batch
from dmvton.flow import identity
from dmvton.keypoints import Keypoint as K
from dmvton.parsing import Parsing

CLASSES = len(Parsing)
UNKNOWN = CLASSES  # the class of what is hidden from the teacher

# Body parts: the segment between two keypoints, the share of it that counts, and the radius in
# torso lengths. Forearms end before the hand.
_PARTS = (
    (K.LEFT_SHOULDER, K.LEFT_ELBOW, 1.0, 0.11),
    (K.RIGHT_SHOULDER, K.RIGHT_ELBOW, 1.0, 0.11),
    (K.LEFT_ELBOW, K.LEFT_WRIST, 0.92, 0.09),
    (K.RIGHT_ELBOW, K.RIGHT_WRIST, 0.92, 0.09),
    (K.LEFT_SHOULDER, K.LEFT_HIP, 1.25, 0.16),
    (K.RIGHT_SHOULDER, K.RIGHT_HIP, 1.25, 0.16),
    (K.LEFT_SHOULDER, K.RIGHT_SHOULDER, 1.0, 0.12),
    (K.LEFT_HIP, K.RIGHT_HIP, 1.0, 0.16),
    (K.LEFT_HIP, K.LEFT_KNEE, 1.0, 0.15),
    (K.RIGHT_HIP, K.RIGHT_KNEE, 1.0, 0.15),
)
PARTS = len(_PARTS)
_ARMS, _TORSO = slice(0, 4), slice(4, 8)


class Sight(NamedTuple):
    """The person without the upper clothes."""

    agnostic: Tensor  # (N, 3, H, W) in [0, 1]; grey where hidden
    known: Tensor  # (N, 1, H, W) 1 where `agnostic` shows the photo, 0 where hidden
    parsing: Tensor  # (N, CLASSES + 1, H/4, W/4) one-hot; UNKNOWN where hidden
    body: Tensor  # (N, PARTS, H/4, W/4) in [0, 1], nearness to each body part


def body_map(keypoints: Tensor, size: tuple[int, int]) -> Tensor:
    """Body parts drawn from keypoints.

    Args:
        keypoints: (N, 13, 3) x, y in [-1, 1] of a crop of 4 to 3, and visibility.
        size: height and width of the map.

    Returns:
        (N, PARTS, height, width): 1 on a part's axis, 0.5 at its radius, near 0 beyond; 0 for parts
        with an end that is not visible.
    """
    aspect = keypoints.new_tensor([size[1] / size[0], 1.0])
    xy, seen = keypoints[..., :2] * aspect, keypoints[..., 2]
    grid = identity(*size, keypoints)[0].permute(1, 2, 0) * aspect  # (h, w, 2)
    shoulders = xy[:, [K.LEFT_SHOULDER, K.RIGHT_SHOULDER]].mean(1)
    hips = xy[:, [K.LEFT_HIP, K.RIGHT_HIP]].mean(1)
    torso = (hips - shoulders).norm(dim=1).clamp(min=0.05)[:, None, None]  # (N, 1, 1)
    parts = []
    for start, end, share, radius in _PARTS:
        a, b = xy[:, start, None, None], xy[:, end, None, None]
        axis = (b - a) * share
        along = ((grid - a) * axis).sum(-1) / axis.square().sum(-1).clamp(min=1e-6)
        nearest = a + along.clamp(0, 1)[..., None] * axis
        distance = (grid - nearest).norm(dim=-1) / (radius * torso)  # (N, h, w)
        visible = (seen[:, start] * seen[:, end] > 0.5)[:, None, None]
        parts.append(torch.exp2(-distance.square()) * visible)
    return torch.stack(parts, 1)


def sight(picture: Tensor, garment_mask: Tensor, parsing: Tensor, keypoints: Tensor) -> Sight:
    """Hides the clothes of the upper body, and the arms that a sleeve may cover.

    Args:
        picture: (N, 3, H, W) in [0, 1].
        garment_mask: (N, 1, H, W) in [0, 1], the top that is worn.
        parsing: (N, H/4, W/4) int64 classes.
        keypoints: (N, 13, 3), see `body_map`.
    """
    height, width = parsing.shape[1:]
    body = body_map(keypoints, (height, width))
    near_arm = body[:, _ARMS].amax(1) > 0.35  # (N, H/4, W/4)
    near_torso = body[:, _TORSO].amax(1) > 0.35
    tops = (parsing == Parsing.UPPER) | (parsing == Parsing.OUTER)
    old = F.max_pool2d(garment_mask, 5, 1, 2)
    hidden = tops | (F.max_pool2d(old, 4)[:, 0] > 0.3) | ((parsing == Parsing.SKIN) & near_arm)
    # A hem tells the length of the garment that comes: what lies about it is hidden from the
    # parsing, and stays in the picture, as most of it is kept.
    cloth = (
        (parsing == Parsing.LOWER) | (parsing == Parsing.DRESS) | (parsing == Parsing.BACKGROUND)
    )
    unknown = hidden | (cloth & (near_torso | near_arm))
    labels = torch.where(unknown, UNKNOWN, parsing)
    onehot = F.one_hot(labels, CLASSES + 1).permute(0, 3, 1, 2).to(picture)
    arms = ((parsing == Parsing.SKIN) & near_arm)[:, None].to(picture)
    arms = F.interpolate(arms, size=picture.shape[2:], mode="nearest")
    known = 1 - torch.maximum(old, arms).clamp(0, 1)
    return Sight(picture * known + 0.5 * (1 - known), known, onehot, body)


def sight_of(batch: Batch) -> Sight:
    """What the teacher sees of a training sample's input."""
    return sight(batch.person, batch.person_mask, batch.parsing, batch.keypoints)


def sight_of_target(batch: Batch) -> Sight:
    """What the teacher sees of a training sample's target, to dress it anew."""
    return sight(batch.target, batch.target_mask, batch.parsing, batch.keypoints)
