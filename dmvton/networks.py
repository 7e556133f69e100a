"""The networks that can be trained, and how each looks at a batch."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from dmvton.batch import Batch
from dmvton.checkpoint import load_model
from dmvton.errors import CheckpointError
from dmvton.student.config import StudentConfig
from dmvton.student.encoders import GarmentCode
from dmvton.student.generator import TryOnOutput
from dmvton.student.model import Student
from dmvton.teacher.model import Teacher, TeacherConfig
from dmvton.teacher.sight import sight_of


@dataclass(frozen=True)
class Network:
    """One kind of network."""

    build: Callable[[Any], nn.Module]
    config: type
    look: Callable[[nn.Module, Batch], tuple[TryOnOutput, GarmentCode]]


def _look_as_student(model: nn.Module, batch: Batch) -> tuple[TryOnOutput, GarmentCode]:
    return model(batch.person, batch.garment, batch.garment_fill)


def _look_as_teacher(model: nn.Module, batch: Batch) -> tuple[TryOnOutput, GarmentCode]:
    return model(sight_of(batch), batch.garment, batch.garment_fill)


NETWORKS = {
    "student": Network(Student, StudentConfig, _look_as_student),
    "teacher": Network(Teacher, TeacherConfig, _look_as_teacher),
}


def load_network(name: str, folder: Path) -> nn.Module:
    """A trained network of a checkpoint folder, in eval mode.

    Raises:
        CheckpointError: it is missing, damaged, or of another network.
    """
    kind = NETWORKS[name]

    def build(config: dict) -> nn.Module:
        sizes = dict(config[name])
        sizes["decoder"] = tuple(sizes["decoder"])
        return kind.build(kind.config(**{**sizes, "pretrained": False}))

    return load_model(folder, build).eval()


def start_from(model: nn.Module, name: str, folder: Path) -> None:
    """Weights of a checkpoint folder into a network.

    Args:
        model: changed in place.
        name: which of `NETWORKS` it is; from a checkpoint of another one, the tensors that fit are
            taken.
        folder: holds config.json and model.safetensors.

    Raises:
        CheckpointError: it does not fit, or nothing of it does.
    """
    try:
        tensors = load_file(folder / "model.safetensors")
        same = name in json.loads((folder / "config.json").read_text())
        own = model.state_dict()
        # The level at twice the size is added to students that were trained without.
        added = [k for k in own if k.startswith("generator.fine.") and k not in tensors]
        tensors |= {k: own[k] for k in added}
        if not same:
            tensors = {k: v for k, v in tensors.items() if k in own and own[k].shape == v.shape}
            if not tensors:
                raise RuntimeError("no tensor has a name and shape of this network")
            print(f"init: {len(tensors)} of {len(own)} tensors taken from {folder}")
        model.load_state_dict(tensors, strict=same)
    except (OSError, ValueError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"init: {folder} does not fit this network ({reason}); expected a folder with "
            "config.json and model.safetensors of a network of the same sizes"
        ) from error
