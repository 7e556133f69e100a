"""Try-on-guided pose synthesis: find the poses on which a student fails, and make more of them.

Every pose of the bank is rendered in a few outfits (product A, so that the truth is known) and
dressed by the student. A pose is hard where the keypoints of the result are no longer those of the
input (OKS), where the flow is wrong, or where the picture is. Poses are clustered by their
skeleton; the next round draws from the clusters by their difficulty. A round counts only if the
hard clusters improve: the next student is scored on the same views, and stands beside this one.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from dmvton.compose import composite
from dmvton.crop import Box, centre_crop
from dmvton.errors import DataError
from dmvton.files import write_text
from dmvton.garment import encode
from dmvton.image_io import Picture, save_image
from dmvton.keypoints import Keypoint
from dmvton.runtime import NetworkPair, to_tensor
from pose_synth.build import meshes, shop_tops
from pose_synth.oks import oks
from pose_synth.one_core import use_one_core
from pose_synth.products import Sample
from pose_synth.rendered import RenderedGenerator, RenderedRecipe
from pose_synth.shards import ShardPlan, write

MEASURES = ("oks", "flow", "picture")


@dataclass(frozen=True)
class MineConfig:
    """One round of mining."""

    data: Path
    """Folder with `clothing/train/` and `makehuman/base/`."""
    out: Path
    """Folder for report.json, hardest.jpg and shards/."""
    weights: Path | None = None
    """Folder of the student's ONNX pair; the packaged one if not given."""
    before: Path | None = None
    """report.json of the round before, on the same poses and views."""
    part: str = "train"
    """Part of the split that the garments come from."""
    poses: int | None = None
    """How many poses of the bank, evenly spread; all if not given."""
    views: int = 2
    """Outfits, bodies and cameras a pose."""
    clusters: int = 12
    samples: int = 3000
    """Samples of the next round's shards; 0 writes the report alone."""
    sharpness: float = 3.0
    """How much more often the hardest clusters are drawn than the easiest, as an exponent."""
    seed: int = 0


class Score(NamedTuple):
    """How the student did on one sample."""

    oks: float  # [0, 1], keypoints of the result against those of the input
    flow: float  # mean distance to the true flow, in widths of the garment picture
    picture: float  # mean absolute difference inside both garments, [0, 1]
    skeleton: np.ndarray  # (26,) keypoints about the shoulders, in torso lengths
    pictures: np.ndarray  # (256, 4 * 192, 3) uint8 RGB: input, garment, result, target


def score(network: NetworkPair, sample: Sample) -> Score:
    """Dresses one rendered person."""
    size = network.size
    person, target = (centre_crop(p, size)[..., ::-1] for p in (sample.person, sample.target))
    person = np.ascontiguousarray(person)
    garment = encode(network, Picture(np.ascontiguousarray(sample.garment[..., ::-1]), None))
    layers = network.run(to_tensor(person), garment.tensor, garment.features)
    result = composite(person, Box(0, 0, size[1], size[0]), layers, garment)
    again = network.run(to_tensor(result), garment.tensor, garment.features).keypoints
    scale = np.array([size[1] / 2, size[0] / 2])
    seen = layers.keypoints[:, 2] > 0.5
    full = cv2.resize(sample.flow.astype(np.float32) / 8, sample.target.shape[1::-1])
    truth = centre_crop(full, size)
    old, new = (centre_crop(mask, size) for mask in (sample.person_mask, sample.target_mask))
    worn, changed = new > 200, np.maximum(old, new) > 127
    off = np.linalg.norm(garment.box.to_pixels(layers.flow) - truth, axis=2)
    difference = np.abs(result.astype(np.float32) - target).mean(2) / 255
    return Score(
        oks(layers.keypoints[:, :2] * scale, again[:, :2] * scale, seen),
        float(off[worn].mean() / sample.garment.shape[1]) if worn.any() else 0.0,
        float(difference[changed].mean()) if changed.any() else 0.0,
        _skeleton(sample.keypoints),
        np.hstack([person, cv2.resize(sample.garment[..., ::-1], size[::-1]), result, target]),
    )


def _skeleton(points: np.ndarray) -> np.ndarray:
    """Keypoints (13, 3) about the middle of the shoulders, in torso lengths -> (26,)."""
    xy = points[:, :2]
    neck = xy[[Keypoint.LEFT_SHOULDER, Keypoint.RIGHT_SHOULDER]].mean(0)
    hips = xy[[Keypoint.LEFT_HIP, Keypoint.RIGHT_HIP]].mean(0)
    return ((xy - neck) / (np.linalg.norm(hips - neck) + 1e-6)).ravel().astype(np.float32)


def difficulty(scores: np.ndarray) -> np.ndarray:
    """(N, 3) of `MEASURES` -> (N,) in [0, 1]: the mean of the three ranks, 1 the hardest."""
    badness = scores * (-1, 1, 1)
    ranks = badness.argsort(0).argsort(0) / max(1, len(scores) - 1)
    return ranks.mean(1)


def chances(hard: np.ndarray, labels: np.ndarray, sharpness: float) -> np.ndarray:
    """Chance of drawing each pose.

    Args:
        hard: (N,) difficulty of each pose in [0, 1].
        labels: (N,) cluster of each pose.
        sharpness: 0 draws all poses alike.
    """
    mean = {c: hard[labels == c].mean() for c in np.unique(labels)}
    weight = np.exp(4 * sharpness * np.array([mean[c] - max(mean.values()) for c in labels]))
    return weight / weight.sum()


def mine(cfg: MineConfig) -> Path:
    """Scores the poses, writes report.json, hardest.jpg and the next round's shards.

    Returns:
        The report's path.

    Raises:
        DataError: nothing to draw from, or the round before has other poses.
    """
    use_one_core()
    garments = shop_tops(cfg.data, cfg.part)
    if not garments:
        raise DataError(
            f"{cfg.data}: no usable garment of part {cfg.part!r}; expected clothing/train/<class>/"
        )
    network = NetworkPair(cfg.weights, threads=1)
    people = RenderedGenerator(garments, meshes(cfg.data), RenderedRecipe(close=0, full=0))
    count = len(people.poses.poses)
    chosen = np.linspace(0, count - 1, min(count, cfg.poses or count)).round().astype(int)
    per_pose = [_scores_of(network, people, int(i), cfg) for i in tqdm(chosen, unit="pose")]
    report = _report(cfg, chosen, per_pose, network.name)
    cfg.out.mkdir(parents=True, exist_ok=True)
    hardest = np.argsort(-np.array(report["difficulty"]))[:12]
    save_image(cfg.out / "hardest.jpg", np.vstack([per_pose[i][0].pictures for i in hardest]))
    path = cfg.out / "report.json"
    write_text(path, json.dumps(report, indent=1))
    print(table(report))
    if cfg.samples:
        _next_round(cfg, people, chosen, report)
    return path


def _scores_of(network, people: RenderedGenerator, pose: int, cfg: MineConfig) -> list[Score]:
    """The views of one pose; the same in every round."""
    chance = np.zeros(len(people.poses.poses))
    chance[pose] = 1
    people.poses.chance = chance
    return [
        score(network, people.draw(np.random.default_rng([cfg.seed, pose, view])))
        for view in range(cfg.views)
    ]


def _report(cfg: MineConfig, chosen: np.ndarray, per_pose, name: str) -> dict:
    from scipy.cluster.vq import kmeans2

    scores = np.array([[np.mean([getattr(v, m) for v in views]) for m in MEASURES]
                       for views in per_pose])  # fmt: skip
    before = json.loads(cfg.before.read_text()) if cfg.before else None
    if before is None:
        skeletons = np.stack([np.mean([v.skeleton for v in views], 0) for views in per_pose])
        clusters = min(cfg.clusters, len(chosen))
        labels = kmeans2(skeletons, clusters, minit="++", seed=cfg.seed)[1]
    elif before["poses"] == chosen.tolist() and before["views"] == cfg.views:
        labels = np.array(before["labels"])
    else:
        raise DataError(
            f"{cfg.before} is about {len(before['poses'])} poses in {before['views']} views, this "
            f"round about {len(chosen)} in {cfg.views}; pass the same --poses and --views"
        )
    hard = difficulty(scores)
    rows = []
    for cluster in np.unique(labels):
        of = labels == cluster
        means = dict(zip(MEASURES, scores[of].mean(0).round(4).tolist(), strict=True))
        row = {"cluster": int(cluster), "poses": int(of.sum()),
               "difficulty": round(float(hard[of].mean()), 3), **means}  # fmt: skip
        if before:
            old = next(r for r in before["clusters"] if r["cluster"] == cluster)
            row["before"] = {k: old[k] for k in ("difficulty", *MEASURES)}
        rows.append(row)
    rows.sort(key=lambda r: -r.get("before", r)["difficulty"])
    settings = {k: str(v) for k, v in asdict(cfg).items()}
    return {"student": name, "settings": settings, "poses": chosen.tolist(), "views": cfg.views,
            "labels": labels.tolist(), "difficulty": hard.round(4).tolist(),
            "clusters": rows}  # fmt: skip


def table(report: dict) -> str:
    """One line a cluster, the hardest first; with the round before, figures before and after."""
    lines = ["cluster  poses  difficulty      OKS              flow             picture"]
    for row in report["clusters"]:
        cells = [f"{row['cluster']:7d}  {row['poses']:5d}  {row['difficulty']:10.3f}"]
        for name in MEASURES:
            old = f"{row['before'][name]:.4f} -> " if "before" in row else ""
            cells.append(f"{old}{row[name]:.4f}")
        lines.append("   ".join(cells))
    return "\n".join(lines)


def _next_round(cfg: MineConfig, people: RenderedGenerator, chosen: np.ndarray, report) -> None:
    """Shards whose poses come from the clusters by their difficulty, jittered within limits."""
    people.recipe = RenderedRecipe()
    chance = np.zeros(len(people.poses.poses))
    hard, labels = np.array(report["difficulty"]), np.array(report["labels"])
    chance[chosen] = chances(hard, labels, cfg.sharpness)
    people.poses.chance = chance
    note = {"mined": report["settings"], "clusters": report["clusters"]}
    write(ShardPlan(cfg.out / "shards", cfg.samples, cfg.seed), people.draw, note)
