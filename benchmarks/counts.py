"""Parameters and multiply-accumulates of any module, in whole and by part.

Convention:
    MACs are those of convolutions and matrix products, half of what `torch.utils.flop_counter`
    reports. Additions, activations, sampling and element-wise products are not counted, as is usual
    for such figures.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


class Count(NamedTuple):
    """What one part of a network costs."""

    parameters: int  # learned numbers; those shared between parts count for each of them
    macs: int  # multiply-accumulates of convolutions and matrix products in one forward


class Counts(NamedTuple):
    """What a network costs."""

    total: Count
    parts: dict[str, Count]  # by module name, as in `named_modules`; a part contains its own parts
    weight_bytes: int  # parameters and buffers as they are stored


def parameters(module: nn.Module) -> int:
    """Number of parameters, shared ones counted once."""
    return sum(p.numel() for p in module.parameters())


def count(
    module: nn.Module, inputs: tuple[Tensor, ...] | Mapping[str, Tensor], *, depth: int = 1
) -> Counts:
    """Runs `module` once without gradients and counts what each part of it did.

    Args:
        module: Any module; it is run as it stands (call `eval()` first where that matters).
        inputs: Positional or named arguments of its `forward`.
        depth: How deep in the tree of modules the parts go; 1 gives the direct children.

    Returns:
        Counts for the whole and for every part down to `depth`.
    """
    arguments: tuple[Any, ...] = inputs if isinstance(inputs, tuple) else ()
    named: Mapping[str, Any] = {} if isinstance(inputs, tuple) else inputs
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*arguments, **named)
    root = type(module).__name__
    flops = {
        name.removeprefix(f"{root}."): sum(ops.values())
        for name, ops in counter.get_flop_counts().items()
    }
    parts = {
        name: Count(parameters(part), _flops(part, name, flops) // 2)
        for name, part in module.named_modules()
        if name and name.count(".") < depth
    }
    tensors = [*module.parameters(), *module.buffers()]
    weight_bytes = sum(t.numel() * t.element_size() for t in tensors)
    return Counts(Count(parameters(module), counter.get_total_flops() // 2), parts, weight_bytes)


def _flops(part: nn.Module, name: str, flops: Mapping[str, int]) -> int:
    """Operations of a part; a `ModuleList` is never called itself, so its parts' are added."""
    if name in flops:
        return flops[name]
    return sum(_flops(child, f"{name}.{key}", flops) for key, child in part.named_children())


def table(counts: Counts) -> str:
    """Plain text, one line a part and the total last."""
    rows = [*counts.parts.items(), ("total", counts.total)]
    width = max(len(name) for name, _ in rows)
    lines = [f"{'part':<{width}}  {'parameters':>12}  {'GMACs':>8}"]
    lines += [f"{name:<{width}}  {c.parameters:>12,}  {c.macs / 1e9:>8.3f}" for name, c in rows]
    return "\n".join([*lines, f"weights: {counts.weight_bytes / 1e6:.1f} MB"])
