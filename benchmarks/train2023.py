"""Trains the rebuilt 2023 student on our shards, with our loop, augmentation and losses.

    python -m benchmarks.train2023 --stage student.warp --data "[SHARDS]" --out runs/2023-low
    python -m benchmarks.train2023 --stage student.full --data "[SHARDS]" --out runs/2023 \
        --init runs/2023-low/ema
    dmvton eval --data DATA --student2023 runs/2023/ema

Only so is the contest one of networks: the options are those of `dmvton train`, and it learns the
flow from truth as ours does, where the paper's had to guess it from the picture. It is given the
photo's true garment mask, which ours has to find. The terms for what it has no output for (mask,
parsing, keypoints, light, and what is rendered outside the garment) are left out, and its trunks,
for which no package ships weights, learn at the full rate.
"""

from dataclasses import dataclass, field

import torch
from torch import nn

from benchmarks.dmvton2023 import Student2023, Student2023Config
from dmvton.batch import Batch
from dmvton.keypoints import MIRROR
from dmvton.losses import LossWeights
from dmvton.networks import NETWORKS, Network
from dmvton.student.config import StudentConfig
from dmvton.student.encoders import GarmentCode, Pose
from dmvton.student.generator import TryOnOutput
from dmvton.train import TrainConfig, main

NAME = "student2023"


@dataclass(frozen=True)
class Train2023Config(TrainConfig):
    """A stage of the 2023 student."""

    network: str = NAME
    trunk_lr: float = 1.0
    losses: LossWeights = field(
        default_factory=lambda: LossWeights(
            light=0, rest=0, mask=0, parsing=0, keypoints=0, visibility=0
        )
    )
    student2023: Student2023Config = field(default_factory=Student2023Config)


def look(model: nn.Module, batch: Batch) -> tuple[TryOnOutput, GarmentCode]:
    """Its outputs under the names of our losses; zeros where it has none."""
    seen = model(batch.person, batch.garment, batch.garment_mask)
    n, _, rows, columns = batch.person.shape
    zeros = batch.person.new_zeros
    out = TryOnOutput(
        image=seen.image,
        flow=seen.flows[-1],
        alpha=seen.composite,
        beta=zeros(n, 1, rows, columns),
        rendered=seen.rendered,
        gain=torch.ones_like(seen.rendered),
        warped=seen.warped_garment,
        flows=seen.flows[1:5],  # its strides 16, 8, 4 and 2; ours are 16, 16, 8 and 4
        pose=Pose(zeros(n, len(MIRROR), 2), zeros(n, len(MIRROR)), zeros(n, 1)),
        parsing=zeros(n, StudentConfig().parsing_classes, rows // 4, columns // 4),
    )
    empty = zeros(0)
    return out, GarmentCode(zeros(n, 1, rows, columns), empty, empty, empty, empty)


NETWORKS[NAME] = Network(Student2023, Student2023Config, look)

if __name__ == "__main__":
    main(config=Train2023Config)
