"""The last step before an export: the heads that look at garment photos, trained on real ones."""

import json
from pathlib import Path

import torch

from dmvton.checkpoint import save_model
from dmvton.networks import load_network
from dmvton.student.model import Student
from pose_synth.learn_masks import load_sources, report, train_masks
from pose_synth.learn_tops import fit_tops
from pose_synth.one_core import use_one_core

BARE = 0.5  # tops without sleeves for each one with them, for the mask


def train_heads(checkpoint: Path, data: Path, out: Path, size: tuple[int, int], steps: int,
                seed: int) -> None:  # fmt: skip
    """What `dmvton synth heads` does; prints how the heads do on held-out photos.

    Raises:
        CheckpointError: the checkpoint is missing, damaged, or of another network.
        DataError: no usable photo of tops, or none of anything else.
    """
    use_one_core()
    torch.manual_seed(seed)
    student = load_network("student", checkpoint)
    assert isinstance(student, Student)
    if steps > 0:
        train_masks(student.garment, load_sources(data, ("train",), BARE, seed), size, steps, seed)
    report(student.garment, load_sources(data, ("val", "test")), size)
    fit_tops(student.garment, data, size)
    out.mkdir(parents=True, exist_ok=True)
    save_model(out, student, json.loads((checkpoint / "config.json").read_text()))
