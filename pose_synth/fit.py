"""The training loop of the small networks that read pictures for the data engine; needs torch."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def fit(net: nn.Module, groups: list[dict], steps: int, warmup: float,
        losses: Callable[[], dict[str, Tensor]]) -> None:  # fmt: skip
    """Trains in place by AdamW, the learning rate falling to nothing; prints how it goes.

    Args:
        net: left in eval mode, channels last.
        groups: of its parameters, each with `lr` and `weight_decay`.
        steps: how many.
        warmup: share of them in which the rate rises.
        losses: draws a batch and returns the terms to add up; the first one is shown.
    """
    optimiser = torch.optim.AdamW(groups)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [g["lr"] for g in groups], total_steps=steps + 1, pct_start=warmup
    )
    net.train().to(memory_format=torch.channels_last)
    shown = None
    for step in range(1, steps + 1):
        terms = losses()
        optimiser.zero_grad()
        sum(terms.values()).backward()
        optimiser.step()
        schedule.step()
        name, term = next(iter(terms.items()))
        shown = term.item() if shown is None else 0.98 * shown + 0.02 * term.item()
        if step % 50 == 0:
            print(f"step {step} of {steps}, loss of the {name} {shown:.3f}", flush=True)
    net.eval()
