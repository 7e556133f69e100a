"""`dmvton mean`: the mean of checkpoints that one training led to, in one or in several runs.

Weights that started from the same ones and were trained a little further lie close enough for their
mean to be a network, and a better one than most of them (Wortsman et al. 2022, "Model soups"). Of
two runs that each give up something for what they learn, the mean keeps most of both.
"""

import json
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from dmvton.checkpoint import save_model
from dmvton.errors import CheckpointError, UsageError
from dmvton.networks import NETWORKS, load_network

HEADS = ("garment.mask.", "garment.top.")  # of the student, trained by `dmvton synth heads`


def mean_of(models: list[nn.Module], shares: list[float]) -> dict[str, Tensor]:
    """The weighted mean of the weights of networks of the same sizes.

    Args:
        models: at least one.
        shares: one for each, any sum above 0. Counters, which have no mean, are the last one's.
    """
    states = [model.state_dict() for model in models]
    total = sum(shares)
    mean = dict(states[-1])
    for name, last in states[-1].items():
        if last.is_floating_point():
            parts = [
                state[name].double() * (s / total) for state, s in zip(states, shares, strict=True)
            ]
            mean[name] = torch.stack(parts).sum(0).to(last.dtype)
    return mean


def mean(
    checkpoints: list[Path],
    out: Path,
    shares: list[float] | None = None,
    heads: Path | None = None,
) -> None:
    """Writes the mean of checkpoints as one more.

    Args:
        checkpoints: folders with config.json and model.safetensors, all of one network.
        out: folder for the mean.
        shares: of each in the mean, alike if not given; they need not add up to 1.
        heads: checkpoint of a student whose heads for garment photos are taken as they are: those
            that `dmvton synth heads` has trained, which the mean would undo.

    Raises:
        UsageError: no checkpoint, or shares that do not fit.
        CheckpointError: one is missing, damaged, or of other sizes than the first.
    """
    shares = [1.0] * len(checkpoints) if shares is None else shares
    if not checkpoints:
        raise UsageError("checkpoints is empty; expected a list of folders, as in [runs/a,runs/b]")
    if len(shares) != len(checkpoints) or not (min(shares) >= 0 and 0 < sum(shares) < math.inf):
        raise UsageError(
            f"shares is {shares}; expected {len(checkpoints)} numbers, one a checkpoint, none "
            "below 0 and not all 0"
        )
    configs = [_config(folder) for folder in checkpoints]
    kind = next(name for name in NETWORKS if name in configs[0])
    if heads is not None and kind != "student":
        raise UsageError(f"heads is {heads}; expected none: a {kind} has no heads for photos")
    models = [load_network(kind, folder) for folder in checkpoints]
    lent = [] if heads is None else [load_network(kind, heads)]
    for folder, model in zip([*checkpoints, *filter(None, [heads])], models + lent, strict=True):
        if _shapes(model) != _shapes(models[0]):
            raise CheckpointError(
                f"{folder} is of another size than {checkpoints[0]}; expected the same"
            )
    weights = mean_of(models, shares)
    for model in lent:
        weights |= {k: v for k, v in model.state_dict().items() if k.startswith(HEADS)}
    models[0].load_state_dict(weights)
    steps = [config.get("step") for config in configs]
    config = configs[0] | {"mean": {"of": steps, "shares": shares}}
    out.mkdir(parents=True, exist_ok=True)
    save_model(out, models[0], config)
    print(f"{out}: the mean of {len(checkpoints)} checkpoints")


def _config(folder: Path) -> dict:
    """What a checkpoint says of itself, the name of a network at least."""
    try:
        config = json.loads((folder / "config.json").read_text())
        if not any(name in config for name in NETWORKS):
            raise ValueError("no network")
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{folder} is not a usable checkpoint; expected config.json, which names a network "
            f"({', '.join(NETWORKS)}), and model.safetensors"
        ) from error
    return config


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in model.state_dict().items()}


def main(argv: list[str] | None = None) -> None:
    """`dmvton mean --checkpoints [A,B,...] --out DIR [--shares [1,2,...]] [--heads A]`."""
    from jsonargparse import CLI

    CLI({"mean": mean}, args=["mean", *(argv or [])], as_positional=False)
