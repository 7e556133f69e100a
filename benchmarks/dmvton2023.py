"""The 2023 student, rebuilt: what every later benchmark and training is compared with.

Written, without its code, from the published description of "DM-VTON: Distilled Mobile Real-time
Virtual Try-On" (2023) and from the figures that identify its student at 256x192: 9.35 M parameters,
34.5 GMACs, 37.6 MB of fp32 weights. Blocks: two MobileNetV2 feature pyramids of 256 channels at
five scales, a flow network at each scale (7x7 cost volume, then a refinement that sees both feature
maps), a mobile U-Net that renders the picture and the weights of its composition with the warped
garment.

What the description leaves open was chosen so that the figures come out:
    - flow networks of 49-128-64-32-2 and 512-128-64-32-2 plain 3x3 convolutions, one pair a scale:
      with the 3x3 convolutions of the pyramids they make the published GMACs and the measured
      shares of the time;
    - the 3x3 convolution of a pyramid is shared by its scales, and the trunks end with
      MobileNetV2's 160 channels;
    - the U-Net has the trunks' widths, two blocks a scale.
That gives 9.24 M parameters, 34.0 GMACs (34.2 with the element-wise products of the plain cost
volume), 37.3 MB: `python -m benchmarks.dmvton2023` prints them by part.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.cost_volume import CostVolume, Form
from benchmarks.mobilenet import SCALES, MobileUNet, Pyramid, Stage
from dmvton.flow import identity, upsample, warp

SLOPE = 0.1  # of the leaky ReLUs in the flow networks


@dataclass(frozen=True)
class Student2023Config:
    """Shape of the 2023 student."""

    width: int = 256
    """Channels of the feature pyramids."""
    scales: tuple[tuple[Stage, ...], ...] = SCALES
    """Rows of the MobileNetV2 table, grouped by scale."""
    hidden: tuple[int, ...] = (128, 64, 32)
    """Channels between the input and the flow of each flow network."""
    radius: int = 3
    """Largest shift of the cost volume, in pixels of its scale; 3 compares 7x7."""
    unet: tuple[int, ...] = (16, 24, 32, 96, 160)
    """Channels of the generator at 1/2, 1/4, ... of the picture's size."""
    unet_repeats: int = 2
    """Blocks of the generator at each scale, down and up."""
    cost_volume: Form = "plain"
    """Form of the cost volume; both give the same numbers and have no weights."""


class TryOn2023(NamedTuple):
    """What the 2023 student gives; flows are backward maps (person pixel -> garment point)."""

    image: Tensor  # (N, 3, H, W) in [0, 1]: composite * warped_garment + (1 - composite) * rendered
    warped_garment: Tensor  # (N, 3, H, W) in [0, 1]
    warped_mask: Tensor  # (N, 1, H, W) in [0, 1]
    composite: Tensor  # (N, 1, H, W) in [0, 1]: weight of the warped garment, 0 outside warped_mask
    rendered: Tensor  # (N, 3, H, W) in [0, 1]: the generator's own picture
    flows: tuple[
        Tensor, ...
    ]  # (N, 2, H / 2^k, W / 2^k), (x, y) in [-1, 1], align_corners=False; k = 5..1, then 0


def flow_layers(inputs: int, hidden: tuple[int, ...]) -> nn.Sequential:
    """Plain 3x3 convolutions from `inputs` channels to the two of a displacement."""
    layers: list[nn.Module] = []
    for outputs in hidden:
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.LeakyReLU(SLOPE)]
        inputs = outputs
    return nn.Sequential(*layers, nn.Conv2d(inputs, 2, 3, padding=1))


class FlowNetwork(nn.Module):
    """One scale: displacement from the cost volume, then refined with both feature maps in view."""

    def __init__(self, config: Student2023Config) -> None:
        """Builds the two displacement estimators of one scale."""
        super().__init__()
        self.cost = CostVolume(config.radius, config.cost_volume)
        self.estimate = flow_layers(self.cost.channels, config.hidden)
        self.refine = flow_layers(2 * config.width, config.hidden)

    def forward(self, person: Tensor, garment: Tensor, offset: Tensor) -> Tensor:
        """Adds what this scale sees to the displacement.

        Args:
            person: (N, C, H, W) features.
            garment: (N, C, H, W) features.
            offset: (N, 2, H, W) displacement so far, normalised like a flow.

        Returns:
            (N, 2, H, W) displacement.
        """
        cost = self.cost(person, warp(garment, flow_of(offset)))  # (N, 49, H, W)
        offset = offset + normalised(self.estimate(F.leaky_relu(cost, SLOPE)))
        seen = torch.cat([warp(garment, flow_of(offset)), person], 1)  # (N, 2C, H, W)
        return offset + normalised(self.refine(seen))


class Student2023(nn.Module):
    """The 2023 student: features, flow from coarse to fine, warp, render, compose."""

    def __init__(self, config: Student2023Config | None = None) -> None:
        """Builds the student with random weights; `config` defaults to the published one."""
        super().__init__()
        self.config = config = config or Student2023Config()
        self.person_features = Pyramid(config.width, config.scales)
        self.garment_features = Pyramid(config.width, config.scales)
        self.flow = nn.ModuleList(FlowNetwork(config) for _ in config.scales)  # coarsest first
        self.generator = MobileUNet(3 + 3 + 1, 3 + 1, config.unet, repeats=config.unet_repeats)

    def forward(self, person: Tensor, garment: Tensor, mask: Tensor) -> TryOn2023:
        """Dresses the person.

        Args:
            person: (N, 3, H, W) RGB in [0, 1]; H and W multiples of 32.
            garment: (N, 3, H, W) RGB in [0, 1].
            mask: (N, 1, H, W) in [0, 1], 1 on the garment.

        Returns:
            The picture and what it was made of.
        """
        garment = garment * mask
        flows = self.flows(person, garment)
        warped_garment = warp(garment, flows[-1])
        warped_mask = warp(mask, flows[-1])
        seen = torch.cat([signed(person), signed(warped_garment), warped_mask], 1)  # (N, 7, H, W)
        drawn = self.generator(seen).sigmoid()  # (N, 4, H, W)
        rendered, composite = drawn[:, :3], drawn[:, 3:] * warped_mask
        image = composite * warped_garment + (1 - composite) * rendered
        return TryOn2023(image, warped_garment, warped_mask, composite, rendered, flows)

    def flows(self, person: Tensor, garment: Tensor) -> tuple[Tensor, ...]:
        """Flows of all scales, coarsest first, and last the finest at the size of the pictures."""
        persons = self.person_features(signed(person))
        garments = self.garment_features(signed(garment))
        flows = []
        # Displacements stay fp32 under autocast: a bf16 flow is a pixel coarse.
        offset = torch.zeros_like(persons[-1][:, :2], dtype=torch.float32)
        for network, p, g in zip(self.flow, reversed(persons), reversed(garments), strict=True):
            offset = network(p, g, offset)
            flows.append(flow_of(offset))
            # A displacement, unlike a flow, may be interpolated up to the border.
            offset = upsample(offset, 2)
        return (*flows, flow_of(offset))


class ForExport(nn.Module):
    """The student with a flat tuple of outputs, as graph formats want it."""

    def __init__(self, student: Student2023) -> None:
        """Wraps `student`, sharing its weights."""
        super().__init__()
        self.student = student

    def forward(self, person: Tensor, garment: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """As `Student2023.forward` -> image, warped garment and mask, composite, full-size flow."""
        out = self.student(person, garment, mask)
        return out.image, out.warped_garment, out.warped_mask, out.composite, out.flows[-1]


def flow_of(offset: Tensor) -> Tensor:
    """(N, 2, H, W) displacement -> flow: the identity plus it."""
    height, width = offset.shape[-2:]
    return identity(height, width, offset) + offset


def normalised(pixels: Tensor) -> Tensor:
    """(N, 2, H, W) displacement in pixels of its own grid -> normalised like a flow."""
    height, width = pixels.shape[-2:]
    pixels = pixels.float()
    return torch.cat([pixels[:, :1] * (2 / width), pixels[:, 1:] * (2 / height)], 1)


def signed(picture: Tensor) -> Tensor:
    """[0, 1] -> [-1, 1]."""
    return picture * 2 - 1


if __name__ == "__main__":
    from benchmarks.counts import count, table

    pictures = tuple(torch.rand(1, channels, 256, 192) for channels in (3, 3, 1))
    print(table(count(Student2023().eval(), pictures)))
