"""Checkpoints: a folder with `config.json` and safetensors, written whole or not at all."""

import json
import os
import shutil
from dataclasses import asdict, is_dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from dmvton.errors import CheckpointError
from dmvton.files import whole, write_text


def save_model(folder: Path, model: nn.Module, config) -> None:
    """Writes `config.json` and `model.safetensors` (fp32) into an existing folder."""
    if is_dataclass(config) and not isinstance(config, type):
        config = asdict(config)
    tensors = {k: v.detach().contiguous() for k, v in model.state_dict().items()}
    with whole(folder / "model.safetensors") as partial:
        save_file(tensors, str(partial))
    write_text(folder / "config.json", json.dumps(config, indent=1, default=str))


def load_model(folder: Path, build) -> nn.Module:
    """Builds `build(config: dict)` and loads its weights strictly.

    Raises:
        CheckpointError: files missing, damaged or not of this network.
    """
    try:
        config = json.loads((folder / "config.json").read_text())
        model = build(config)
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CheckpointError(
            f"{folder} is not a usable checkpoint ({reason}); expected config.json and "
            "model.safetensors as written by `dmvton train`"
        ) from error
    return model


def save_state(root: Path, step: int, tensors: dict[str, torch.Tensor], meta: dict) -> Path:
    """Writes a complete training state as `root/state-<step>` and removes older ones but one."""
    final = root / f"state-{step:08d}"
    partial = root / "state.part"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file(
        {k: v.detach().contiguous() for k, v in tensors.items()}, partial / "state.safetensors"
    )
    (partial / "meta.json").write_text(json.dumps({"step": step, **meta}))
    shutil.rmtree(final, ignore_errors=True)
    os.replace(partial, final)
    for old in sorted(root.glob("state-*"))[:-2]:
        shutil.rmtree(old)
    return final


def load_state(root: Path) -> tuple[dict[str, torch.Tensor], dict] | None:
    """The newest training state under `root`, None where there is none."""
    states = sorted(root.glob("state-*"))
    if not states:
        return None
    try:
        tensors = load_file(states[-1] / "state.safetensors")
        return tensors, json.loads((states[-1] / "meta.json").read_text())
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            f"{states[-1]} is damaged ({error}); remove it to go on from the state before"
        ) from error
