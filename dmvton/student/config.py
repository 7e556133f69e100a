"""Sizes of the student."""

from dataclasses import dataclass

from dmvton.parsing import Parsing


@dataclass(frozen=True)
class StudentConfig:
    """Sizes of the student."""

    width: int = 80
    """Channels of the pyramids and of matching."""
    thin: int = 32
    """Channels of the garment's stride-4 features: GridSample's time goes with their number."""
    decoder: tuple[int, int, int, int, int] = (128, 80, 56, 32, 24)
    """Decoder channels at strides 16, 8, 4, 2, 1."""
    fine: int = 0
    """Channels of a decoder level at twice the size (`dmvton.student.fine`): pictures are given at
    that size, and all else sees them at half of it. 0 has none."""
    tokens: int = 2
    """Transformer layers over the person's stride-16 tokens."""
    parsing_classes: int = len(Parsing)
    """Classes of the auxiliary parsing head (training only)."""
    pretrained: bool = True
    """Start the trunks from ImageNet weights."""
    frozen_stages: int = 2
    """Trunk stages (after the stem) that are not trained."""
