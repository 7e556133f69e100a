"""The parametric body: shapes of people, poses within joint limits, skinning, keypoints.

Convention: metres, x to the person's left (the right of the picture), y away from the camera, z up;
rotations are rotation vectors about these axes at rest, each in its parent's frame.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit

BANK = Path(__file__).parent / "banks" / "body.npz"
POSES = Path(__file__).parent / "banks" / "ccp_body.npz"
_SIDES = ("clavicle", "shoulder01", "upperarm01", "lowerarm01", "wrist")
_LEGS = ("upperleg01", "lowerleg01", "foot")
# Bones that a pose turns, parents first; every other bone of the model follows one of them.
CONTROLLED = (
    "root", "spine05", "spine04", "spine03", "spine02", "spine01", "neck01", "head",
    *(f"{b}.L" for b in _SIDES), *(f"{b}.R" for b in _SIDES),
    *(f"{b}.L" for b in _LEGS), *(f"{b}.R" for b in _LEGS),
)  # fmt: skip
PARENTS = (-1, 0, 1, 2, 3, 4, 5, 6, 5, 8, 9, 10, 11, 5, 13, 14, 15, 16, 0, 18, 19, 0, 21, 22)
# Spread of each bone's rotation (radians): prior of the fit; three of them are the joint's limit.
SPREAD = {
    "root": 0.4, "spine": 0.12, "neck": 0.25, "head": 0.35, "clavicle": 0.15, "shoulder": 0.15,
    "upperarm": 0.9, "lowerarm": 0.9, "wrist": 0.2, "upperleg": 0.7, "lowerleg": 0.7, "foot": 0.25,
}  # fmt: skip
LIMIT = 3.0  # in spreads
# BlazePose's 33 -> COCO's 17.
COCO = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
NETWORK_KEYPOINTS = (0, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)  # of COCO's 17


def spreads() -> np.ndarray:
    """Spread (24, 1) of every controlled bone's rotation."""
    return np.array([[next(s for k, s in SPREAD.items() if n.startswith(k))] for n in CONTROLLED],
                    np.float32)  # fmt: skip


def bones(*stems: str) -> list[int]:
    """Indices of the controlled bones whose names start with one of the stems."""
    return [i for i, name in enumerate(CONTROLLED) if name.startswith(stems)]


class Figure(NamedTuple):
    """One person's shape at rest."""

    vertices: np.ndarray  # (V, 3) float32
    heads: np.ndarray  # (24, 3) float32, pivots of the controlled bones


def rotations(vectors: np.ndarray) -> np.ndarray:
    """Rotation matrices (n, 3, 3) of rotation vectors (n, 3), by Rodrigues' formula."""
    angle = np.linalg.norm(vectors, axis=1)[:, None, None]
    axis = vectors / np.maximum(angle[:, 0], 1e-9)
    cross = np.zeros((len(vectors), 3, 3), np.float32)
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
    cross -= cross.transpose(0, 2, 1)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def transforms(vectors: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """Rest to posed: (24, 3) rotation vectors and pivots to (24, 3, 4) float32 matrices."""
    turn = rotations(vectors)
    out = np.empty((len(turn), 3, 4), np.float64)
    for i, parent in enumerate(PARENTS):
        shift = heads[i] - turn[i] @ heads[i]
        if parent < 0:
            out[i, :, :3], out[i, :, 3] = turn[i], shift
        else:
            up = out[parent]
            out[i, :, :3], out[i, :, 3] = up[:, :3] @ turn[i], up[:, :3] @ shift + up[:, 3]
    return out.astype(np.float32)


@njit(cache=True, fastmath=True)
def skin(rest, index, weight, matrices):
    """Linear blend skinning: (V, 3), (V, K) bones and weights, (J, 3, 4) -> (V, 3) float32."""
    out = np.zeros_like(rest)
    for n in range(rest.shape[0]):
        for k in range(index.shape[1]):
            w = weight[n, k]
            if w > 0:
                m = matrices[index[n, k]]
                for c in range(3):
                    out[n, c] += w * (
                        m[c, 0] * rest[n, 0] + m[c, 1] * rest[n, 1] + m[c, 2] * rest[n, 2] + m[c, 3]
                    )
    return out


class Body:
    """The body bank: shapes, skinning, keypoints, faces."""

    def __init__(self, path: Path = BANK):
        with np.load(path, allow_pickle=False) as data:
            self.mean = data["mean"] * data["mean_scale"]
            self.basis = data["basis"] * data["basis_scale"]
            self.people = data["people"].astype(np.float32)
            self.faces = data["faces"].astype(np.int32)
            self.skin_index = data["skin_index"].astype(np.int32)
            weight = data["skin_weight"].astype(np.float32)
            self.skin_weight = weight / weight.sum(1, keepdims=True)
            self.fingers = data["fingers"].astype(np.int64)
            # which keypoint, vertex, weight: one row an influence
            self.regressor = (
                data["keypoint"].astype(int),
                data["keypoint_vertex"].astype(int),
                data["keypoint_weight"].astype(np.float32),
            )
        self.count = len(self.skin_index)
        self.strongest = np.take_along_axis(
            self.skin_index, self.skin_weight.argmax(1)[:, None], 1
        )[:, 0]

    def figure(self, coefficients: np.ndarray) -> Figure:
        """The person of shape coefficients (12,), in standard deviations."""
        joint = self.mean + np.tensordot(coefficients.astype(np.float32), self.basis, 1)
        return Figure(joint[: self.count], joint[self.count :])

    def draw_shape(self, rng: np.random.Generator) -> np.ndarray:
        """Coefficients of a random person: one of the bank's, a little changed."""
        one = self.people[rng.integers(len(self.people))]
        return (one + rng.normal(0, 0.15, one.shape)).astype(np.float32)

    def keypoints(self, vertices: np.ndarray) -> np.ndarray:
        """COCO's 17 keypoints (17, 3) of posed vertices."""
        which, vertex, weight = self.regressor
        out, total = np.zeros((17, 3), np.float32), np.zeros((17, 1), np.float32)
        np.add.at(out, which, vertices[vertex] * weight[:, None])
        np.add.at(total, which, weight[:, None])
        return out / total


class PoseSampler:
    """Poses fitted to photographed people, jittered within the joints' limits."""

    def __init__(self, path: Path = POSES):
        with np.load(path, allow_pickle=False) as data:
            self.poses = data["poses"].astype(np.float32)  # (N, 24, 3)
            self.ids = [str(key) for key in data["ids"]]  # the photo of each pose
        self.spread = spreads()
        self.chance: np.ndarray | None = None  # (N,) of drawing each pose; None: all alike

    def draw(self, rng: np.random.Generator, jitter: float = 0.15, among=None) -> np.ndarray:
        """Rotation vectors (24, 3) of a random pose, of those with an index in `among` if given."""
        if among is None:
            pose = self.poses[rng.choice(len(self.poses), p=self.chance)]
        else:
            pose = self.poses[rng.choice(among)]
        if rng.random() < 0.5:
            pose = mirrored(pose)
        pose = pose + rng.normal(0, jitter, pose.shape) * np.minimum(self.spread, 0.5)
        return limited(pose, self.spread)


def mirrored(pose: np.ndarray) -> np.ndarray:
    """The pose seen in a mirror: left and right exchanged."""
    names = {".L": ".R", ".R": ".L"}
    swap = [CONTROLLED.index(n[:-2] + names[n[-2:]]) if n[-2:] in names else i
            for i, n in enumerate(CONTROLLED)]  # fmt: skip
    return pose[swap] * np.array([1, -1, -1], np.float32)


def limited(pose: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Shortens rotations that go beyond a joint's limit."""
    size = np.linalg.norm(pose, axis=1, keepdims=True)
    return (pose * np.minimum(1, LIMIT * spread / np.maximum(size, 1e-6))).astype(np.float32)
