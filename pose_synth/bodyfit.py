"""Fits the body's pose to estimated keypoints, many photos at once (needs torch).

Only the bones move in the loop: each keypoint is a weighted point of a few bones, so that no
vertex is skinned.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from dmvton.files import whole
from pose_synth.body import COCO, CONTROLLED, PARENTS, POSES, Body, limited, spreads

LIMBS = ((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16), (5, 6), (11, 12),
         (11, 5), (12, 6))  # fmt: skip
STEPS, WARM_UP = 220, 60


class Observed(NamedTuple):
    """Keypoints of N people."""

    plane: torch.Tensor  # (N, 17, 2) photo positions, centred, in body heights, y down
    visibility: torch.Tensor  # (N, 17)
    space: torch.Tensor  # (N, 17, 3) metres about the hips: x right, y away, z up


class Fit(NamedTuple):
    """Fitted poses and how well they fit."""

    poses: np.ndarray  # (N, 24, 3) rotation vectors
    error: np.ndarray  # (N,) mean distance of visible keypoints, in body heights


def observed(xy: np.ndarray, visibility: np.ndarray, world: np.ndarray) -> Observed:
    """From BlazePose's (N, 33, 2) photo points, (N, 33) visibility and (N, 33, 3) world points."""
    index = list(COCO)
    points = xy[:, index]
    height = np.ptp(points[..., 1], axis=1)[:, None, None]
    plane = (points - points.mean(1, keepdims=True)) / height
    space = world[:, index][..., [0, 2, 1]] * (1, 1, -1)
    return Observed(*(torch.tensor(np.asarray(a, np.float32)) for a in (
        plane, visibility[:, index], space)))  # fmt: skip


def _matrices(vectors: torch.Tensor) -> torch.Tensor:
    """(..., 3) rotation vectors to (..., 3, 3)."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1)
    return torch.linalg.matrix_exp(skew.unflatten(-1, (3, 3)))


class _Chain:
    """Keypoints of the mean person as a function of the pose."""

    def __init__(self, body: Body):
        figure = body.figure(np.zeros(body.basis.shape[0]))
        self.heads = torch.tensor(figure.heads)
        which, vertex, weight = body.regressor
        total = np.bincount(which, weight, 17)
        points = np.zeros((17, len(CONTROLLED), 4), np.float32)
        rest = np.concatenate([figure.vertices, np.ones((body.count, 1), np.float32)], 1)
        for k, v, w in zip(which, vertex, weight, strict=True):
            share = w / total[k] * body.skin_weight[v]
            np.add.at(points[k], body.skin_index[v], share[:, None] * rest[v])
        self.points = torch.tensor(points)

    def __call__(self, pose: torch.Tensor) -> torch.Tensor:
        """(N, 24, 3) rotation vectors -> (N, 17, 3)."""
        turn = _matrices(pose)
        rotation: list[torch.Tensor] = []
        shift: list[torch.Tensor] = []
        for i, parent in enumerate(PARENTS):
            move = self.heads[i] - turn[:, i] @ self.heads[i]
            if parent < 0:
                rotation.append(turn[:, i])
                shift.append(move)
            else:
                up = rotation[parent]
                rotation.append(up @ turn[:, i])
                shift.append((up @ move[..., None])[..., 0] + shift[parent])
        whole = torch.cat([torch.stack(rotation, 1), torch.stack(shift, 1)[..., None]], -1)
        return torch.einsum("njde,kje->nkd", whole, self.points)


def _directions(points: torch.Tensor) -> torch.Tensor:
    """Unit vectors (N, 13, 3) along the limbs and from the ears' middle to the nose."""
    i, j = torch.tensor(LIMBS).T
    limbs = points[:, j] - points[:, i]
    face = points[:, :1] - (points[:, 3:4] + points[:, 4:5]) / 2
    return functional.normalize(torch.cat([limbs, face], 1), dim=-1)


def fit(body: Body, seen: Observed) -> Fit:
    """Poses whose keypoints lie where they were seen, near rest where nothing says otherwise."""
    count, chain, spread = len(seen.plane), _Chain(body), torch.tensor(spreads())
    pose = torch.zeros(count, len(CONTROLLED), 3, requires_grad=True)
    zoom = torch.full((count, 1, 1), 0.6, requires_grad=True)
    shift = torch.zeros(count, 1, 2, requires_grad=True)
    groups = [{"params": [pose], "lr": 0.06}, {"params": [zoom, shift], "lr": 0.03}]
    optimiser = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS, 0.002)
    wanted = _directions(seen.space)
    i, j = torch.tensor(LIMBS).T
    trust = torch.minimum(seen.visibility[:, i], seen.visibility[:, j]).clamp(0.1, 1)
    trust = torch.cat([trust, torch.ones(count, 1)], 1)
    for step in range(STEPS):
        points = chain(pose)
        away = (
            torch.stack([points[..., 0], -points[..., 2]], -1) * zoom + shift - seen.plane
        ).norm(dim=-1)
        loss = (((_directions(points) - wanted) ** 2).sum(-1) * trust).sum()
        loss = loss + 0.02 * ((pose / spread)[:, 1:] ** 2).sum()
        if step > WARM_UP:  # robust: a keypoint that is far off does not pull
            robust = away**2 / (away**2 + 0.05**2) * 0.05**2
            loss = loss + 800 * (seen.visibility.clamp(0.05, 1) * robust).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    sure = (seen.visibility > 0.5).float()
    error = (away.detach() * sure).sum(1) / sure.sum(1).clamp(1)
    return Fit(pose.detach().numpy(), error.numpy())


def fit_bank(source: Path, out: Path = POSES, max_error: float = 0.012) -> None:
    """Fits every confident, front-facing person of a keypoint file and writes the pose bank.

    Args:
        source: npz with BlazePose's `xy`, `vis`, `world`, `score` and `ids`, one row a photo.
        out: file to write.
        max_error: mean distance of keypoints, in body heights, above which a pose is dropped.
    """
    with np.load(source, allow_pickle=False) as data:
        keep = (data["score"] > 0.95) & (data["xy"][:, 11, 0] > data["xy"][:, 12, 0])
        seen = observed(*(data[k][keep] for k in ("xy", "vis", "world")))
        ids = data["ids"][keep]
    found = fit(Body(), seen)
    good = found.error < max_error
    limit = spreads()
    poses = np.stack([limited(p, limit) for p in found.poses[good]])
    print(f"{len(good)} fitted, median error {np.median(found.error):.4f}, {good.sum()} kept")
    with whole(out) as partial:
        np.savez_compressed(partial, poses=poses.astype(np.float16), ids=ids[good])
