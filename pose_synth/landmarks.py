"""Landmarks of tops, the mesh that they span, and the bank of those that a network found.

Convention: twelve points, six a side, the left of the picture first, in the order of NAMES;
coordinates are photo pixels `(x, y)`, pixel centres at integers.
"""

from pathlib import Path

import numpy as np

from dmvton.files import whole
from pose_synth.flat import Seams, mesh_of_seams
from pose_synth.strips import ARMPIT_ROW, SLEEVE_ROWS, StripMesh, resample

NAMES = ("neck", "shoulder", "cuff_out", "cuff_in", "armpit", "hem")
BANK = Path(__file__).parent / "banks" / "garment_landmarks.npz"
NEAR = 0.05  # of the torso's length: so near to the outline, a landmark lies on it
DETOUR = 1.25  # a seam follows the outline where that is at most so much longer than straight


def from_mesh(mesh: StripMesh) -> np.ndarray:
    """Landmarks (12, 2) of a mesh with two sleeves."""
    sides = []
    for sleeve, column, neck in ((mesh.left, 0, 3), (mesh.right, -1, 5)):
        torso = mesh.torso
        sides += [torso[0, neck], torso[0, column], sleeve[-1, 0], sleeve[-1, -1],
                  torso[ARMPIT_ROW, column], torso[-1, column]]  # fmt: skip
    return np.array(sides)


def mirrored(points: np.ndarray, width: int) -> np.ndarray:
    """Landmarks (12, 2) of the picture of that width seen in a mirror."""
    out = np.concatenate([points[6:], points[:6]])
    out[:, 0] = width - 1 - out[:, 0]
    return out


class _Rim:
    """An outline that seams may follow."""

    def __init__(self, outline: np.ndarray, reach: float):
        closed = np.vstack([outline, outline[:1]]).astype(np.float64)
        self.points = resample(closed, 801)[:-1]
        self.reach = reach

    def snap(self, point: np.ndarray) -> tuple[np.ndarray, int | None]:
        """The nearest rim point and its index, or the point itself where the rim is far."""
        away = np.linalg.norm(self.points - point, axis=1)
        at = int(away.argmin())
        return (self.points[at], at) if away[at] < self.reach else (point, None)

    def between(self, a: int | None, b: int | None, detour: float) -> np.ndarray | None:
        """The shorter way along the rim, or None where that is no way between the two."""
        if a is None or b is None or a == b:
            return None
        count = len(self.points)
        ahead = (b - a) % count
        span = np.arange(ahead + 1) if ahead <= count - ahead else -np.arange(count - ahead + 1)
        path = self.points[(a + span) % count]
        long = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
        return path if long <= detour * np.linalg.norm(path[-1] - path[0]) + 2 else None


def _bent_like(outer: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """A line (n, 2) from start to end that is as crooked as half of `outer` (n, 2)."""
    u = np.linspace(0, 1, len(outer))[:, None]
    sag = outer - (outer[0] * (1 - u) + outer[-1] * u)
    return start * (1 - u) + end * u + 0.5 * sag


def landmark_mesh(
    points: np.ndarray, outline: np.ndarray, neckline_drop: float = 0.08
) -> StripMesh:
    """The mesh that landmarks span; its seams follow the outline where that leads from one to next.

    Args:
        points: landmarks (12, 2).
        outline: closed outline (n, 2) of the garment's mask, n > 2.
        neckline_drop: how far the front neckline lies under the back collar, in chest widths.
    """
    sides = points.reshape(2, 6, 2).astype(np.float64)
    torso = np.linalg.norm(sides[:, 0].mean(0) - sides[:, 5].mean(0))
    rim = _Rim(outline, NEAR * torso)
    seams = []
    for side in sides:
        (neck, n), (shoulder, s), (out, o) = (rim.snap(p) for p in side[:3])
        (cuff, c), (armpit, a), (hem, h) = (rim.snap(p) for p in side[3:])
        straight = lambda p, q: np.stack([p, q])  # noqa: E731
        outer = rim.between(s, o, DETOUR)
        outer = resample(straight(shoulder, out) if outer is None else outer, SLEEVE_ROWS)
        inner = rim.between(a, c, 1.15)
        inner = _bent_like(outer, armpit, cuff) if inner is None else inner
        flank = rim.between(a, h, 1.12)
        yoke = rim.between(s, n, DETOUR)
        yoke = straight(shoulder, neck) if yoke is None else yoke
        flank = straight(armpit, hem) if flank is None else flank
        seams.append(Seams(yoke, flank, outer, inner))
    necks, hems = (rim.between(*(rim.snap(side[k])[1] for side in sides), 1.8) for k in (0, 5))
    ends = [[rim.snap(side[k])[0] for side in sides] for k in (0, 5)]
    collar, hem = (np.stack(e) if p is None else p
                   for p, e in zip((necks, hems), ends, strict=True))  # fmt: skip
    return mesh_of_seams(seams, collar, hem, neckline_drop)


def save_landmarks(path: Path, found: dict[str, tuple[np.ndarray, float]]) -> None:
    """Writes landmarks (12, 2) and their spread by key; a garment without is one to leave out."""
    keys = sorted(found)
    with whole(path) as partial:
        np.savez_compressed(
            partial,
            keys=np.array(keys),
            points=np.stack([found[k][0] for k in keys]).astype(np.float16),
            spread=np.array([found[k][1] for k in keys], np.float16),
        )


def load_landmarks(path: Path = BANK) -> dict[str, tuple[np.ndarray, float]]:
    """Landmarks (12, 2) in photo pixels and their spread in torso lengths, by key."""
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as data:
        points, spread = data["points"].astype(np.float64), data["spread"].astype(float)
        return {str(k): (p, s) for k, p, s in zip(data["keys"], points, spread, strict=True)}
