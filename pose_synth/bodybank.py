"""Makes the committed body bank from the Anny model; drawing people needs only the bank.

Anny (Apache-2.0, from CC0 MakeHuman meshes) spans the shapes of people; what is kept of it is a
mean body and a few directions of shape, skinning weights and keypoints, about 2 MB of integers.
"""

from pathlib import Path

import numpy as np

from dmvton.files import whole
from pose_synth.body import BANK, CONTROLLED

SHAPES = 240
COMPONENTS = 12
INFLUENCES = 6  # bones a vertex
RANGES = {
    "age": (0.6, 0.88),
    "muscle": (0.3, 0.7),
    "weight": (0.2, 0.85),
    "height": (0.35, 0.75),
    "proportions": (0.4, 0.8),
}


def _phenotypes(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Grown people of two bodily sexes and all between them, (SHAPES,) a label."""
    values = {k: rng.uniform(*r, SHAPES).astype(np.float32) for k, r in RANGES.items()}
    side = np.where(rng.random(SHAPES) < 0.55, 0.92, 0.08)
    values["gender"] = np.clip(side + rng.normal(0, 0.08, SHAPES), 0, 1).astype(np.float32)
    return values


def _owners(labels: list[str], parents: list[int]) -> np.ndarray:
    """For every bone the index into CONTROLLED of the bone that moves it."""
    owner = np.zeros(len(labels), np.int64)
    for i in range(len(labels)):
        at = i
        while labels[at] not in CONTROLLED and parents[at] >= 0:
            at = parents[at]
        owner[i] = CONTROLLED.index(labels[at]) if labels[at] in CONTROLLED else 0
    return owner


def _skin(model, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The strongest influences of each vertex on the controlled bones: index, weight (V, 6)."""
    index, weight = (x.numpy() for x in (model.vertex_bone_indices, model.vertex_bone_weights))
    dense = np.zeros((len(index), len(CONTROLLED)), np.float32)
    np.add.at(dense, (np.arange(len(index))[:, None], owner[index]), weight)
    top = np.argsort(-dense, 1)[:, :INFLUENCES]
    kept = np.take_along_axis(dense, top, 1)
    return top, kept / kept.sum(1, keepdims=True)


def _shapes(model) -> tuple[np.ndarray, np.ndarray]:
    """Rest vertices (SHAPES, V, 3) and bone heads (SHAPES, J, 3) of random people."""
    import torch

    values, vertices, heads = _phenotypes(np.random.default_rng(0)), [], []
    rest = torch.eye(4)[None, None].repeat(1, model.bone_count, 1, 1)
    for i in range(SHAPES):
        person = {k: torch.tensor([float(v[i])]) for k, v in values.items()}
        with torch.no_grad():
            out = model(pose_parameters=rest, phenotype_kwargs=person)
        vertices.append(out["rest_vertices"][0].numpy())
        heads.append(out["rest_bone_heads"][0].numpy())
    return np.stack(vertices), np.stack(heads)


def _quantised(values: np.ndarray) -> tuple[np.ndarray, np.float32]:
    scale = np.float32(np.abs(values).max() / 32000)
    return np.round(values / scale).astype(np.int16), scale


def make_body(out: Path = BANK) -> None:
    """Writes the body bank from the Anny model (needs the packages `anny` and `torch`).

    Args:
        out: file to write.
    """
    import anny

    model = anny.Anny(topology="anny-full").eval()
    labels = list(model.bone_labels)
    parents = [-1 if p is None else int(p) for p in model.bone_parents]
    owner = _owners(labels, parents)
    bones = [labels.index(name) for name in CONTROLLED]
    vertices, heads = _shapes(model)
    heads = heads[:, bones]
    joint = np.concatenate([vertices, heads], 1).reshape(SHAPES, -1)
    mean = joint.mean(0)
    u, s, basis = np.linalg.svd(joint - mean, full_matrices=False)
    deviation = s[:COMPONENTS] / np.sqrt(SHAPES)
    basis = (basis[:COMPONENTS] * deviation[:, None]).reshape(COMPONENTS, -1, 3)
    print(f"shape directions keep {(s[:COMPONENTS] ** 2).sum() / (s**2).sum():.4f} of the variance")
    mean_q, mean_scale = _quantised(mean.reshape(-1, 3))
    basis_q, basis_scale = _quantised(basis)
    index, weight = _skin(model, owner)
    regress = anny.KeypointsRegressor.coco(model).regression_weights[:17].numpy()
    row, column = np.nonzero(regress > 1e-4)
    with whole(out) as partial:
        np.savez_compressed(
            partial, mean=mean_q, mean_scale=mean_scale, basis=basis_q, basis_scale=basis_scale,
            people=(u[:, :COMPONENTS] * np.sqrt(SHAPES)).astype(np.float16),
            faces=model.faces.numpy().astype(np.int16),
            skin_index=index.astype(np.uint8), skin_weight=np.round(weight * 255).astype(np.uint8),
            keypoint=row.astype(np.uint8), keypoint_vertex=column.astype(np.int16),
            keypoint_weight=regress[row, column].astype(np.float16),
            fingers=_fingers(model, labels),
        )  # fmt: skip


def _fingers(model, labels: list[str]) -> np.ndarray:
    """Vertices that a finger's bone moves most (to tell hands from arms)."""
    strongest = model.vertex_bone_indices.numpy()[
        np.arange(len(model.vertex_bone_indices)), model.vertex_bone_weights.numpy().argmax(1)
    ]
    hand = [i for i, b in enumerate(labels) if b.startswith(("finger", "metacarpal", "wrist"))]
    return np.flatnonzero(np.isin(strongest, hand)).astype(np.int16)
