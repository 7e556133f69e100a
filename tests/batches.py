"""Training batches made of random numbers, for tests of networks and losses."""

import torch

from dmvton.batch import Batch
from dmvton.flow import identity


def random_batch(count: int, size: tuple[int, int], tryon: float = 1.0, seed: int = 0) -> Batch:
    """`count` samples of a size; the garment is a rectangle in the middle."""
    g = torch.Generator().manual_seed(seed)
    height, width = size
    person, garment, target = torch.rand(3, count, 3, height, width, generator=g)
    mask = torch.zeros(count, 1, height, width)
    mask[..., height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = 1
    keypoints = torch.rand(count, 13, 3, generator=g) * 2 - 1
    keypoints[..., 2] = (keypoints[..., 2] > 0).float()
    return Batch(
        person=person,
        garment=garment,
        garment_fill=garment.clone(),
        garment_mask=mask.clone(),
        target=target,
        person_mask=mask.clone(),
        target_mask=mask.clone(),
        parsing=torch.randint(0, 11, (count, height // 4, width // 4), generator=g),
        flow=identity(height, width, person).expand(count, -1, -1, -1).clone(),
        keypoints=keypoints,
        presence=torch.ones(count, 1),
        tryon=torch.full((count, 1, 1, 1), tryon),
        photo=torch.ones(count, 1, 1, 1),
    )
