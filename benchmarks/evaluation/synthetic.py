"""Synthetic truth: flow and parsing of the networks on rendered people (A) and product D."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch.nn.functional as F
from torch import Tensor

from benchmarks.evaluation.checkpoint import Checkpoint
from benchmarks.evaluation.contenders import Student
from benchmarks.evaluation.protocol import SHARD, described, pairs
from benchmarks.evaluation.rows import Row
from dmvton.augment import Augment, AugmentConfig
from dmvton.batch import Batch
from dmvton.dataset import to_batch
from pose_synth.build import Banks, meshes
from pose_synth.rendered import RenderedGenerator
from pose_synth.shards import ShardPlan, write

# The plain view: the runtime's framing, no change of colour, light or background.
_PLAIN = AugmentConfig(
    zoom=(1.0, 1.0), **{f.name: 0.0 for f in fields(AugmentConfig) if f.name != "zoom"}
)


def rendered(banks: Banks, data: Path, folder: Path, count: int, seed: int) -> list[list[Any]]:
    """Draws `count` rendered people unless they are there; returns each as `described`."""
    people = RenderedGenerator(banks.garments, meshes(data))
    write(ShardPlan(folder, count, seed, SHARD), people.draw, {"product": "A"})
    return [described(pair) for pair in pairs(folder, count)]


def _look(network: Student | Checkpoint, one: Batch) -> tuple[np.ndarray, np.ndarray | None]:
    """Flow (2, H, W), and parsing (H/4, W/4), which exported graphs leave out."""
    if isinstance(network, Checkpoint):
        out = network.look(one)
        return out.flow[0].numpy(), out.parsing[0].argmax(0).numpy()
    pair = network.engine.network
    person, garment = (_sized(value, pair.size) for value in (one.person, one.garment))
    flow = pair.run(person, garment, pair.encode_garment(garment)).flow
    return cv2.resize(flow, one.person.shape[:0:-1]).transpose(2, 0, 1), None


def _sized(picture: Tensor, size: tuple[int, int]) -> np.ndarray:
    """(3, H, W) to what an exported network of another size takes, (1, 3, h, w)."""
    if picture.shape[1:] == size:
        return picture[None].numpy()
    return F.interpolate(picture[None], size, mode="bilinear", antialias=True).numpy()


def run(network: Student | Checkpoint, folder: Path, count: int) -> list[Row]:
    """Flow end-point error and parsing IoU on the first samples of a folder."""
    augment, rows = Augment((256, 192), _PLAIN), []
    for number, pair in enumerate(pairs(folder, count)):
        one = to_batch(augment(pair.raw, np.random.default_rng([0, number])))
        flow, parsing = _look(network, one)
        values = {"epe": endpoint_error(flow, one.flow.numpy(), one.target_mask[0].numpy())}
        if parsing is not None:
            values["iou"] = mean_iou(parsing, one.parsing.numpy())
        person = pair.id if pair.raw.kind == "A" else pair.person  # rendered people are all new
        rows.append(Row(pair.id, person, values))
    return rows


def endpoint_error(found: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Mean distance of two flows (2, H, W), in pixels of the garment picture, where mask > 0.5."""
    height, width = mask.shape
    scale = np.array([width / 2, height / 2])[:, None, None]
    apart = np.linalg.norm((found - truth) * scale, axis=0)
    inside = mask > 0.5
    return float(apart[inside].mean()) if inside.any() else float("nan")


def mean_iou(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean over the classes of the truth of intersection over union of two label maps."""
    shares = []
    for label in np.unique(truth):
        a, b = found == label, truth == label
        shares.append((a & b).sum() / (a | b).sum())
    return float(np.mean(shares))
