"""MakeHuman clothes and hair: meshes that are bound to three vertices of the body each."""

from pathlib import Path

import numpy as np
from numba import njit

from pose_synth.body import Body, Figure
from pose_synth.ccp import SourceError

_TO_METRES = 0.1  # MakeHuman's unit is a decimetre


def _parts(path: Path) -> list[list[str]]:
    try:
        return [line.split() for line in path.read_text(errors="replace").splitlines() if line]
    except OSError as error:
        raise SourceError(
            f"can't read {path}: {error}; expected the folder base/ of the public repository "
            "makehumancommunity/makehuman-assets (CC0; its large files need git lfs)"
        ) from error


def _obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Triangles (F, 3) of a Wavefront file and their texture coordinates (F, 3, 2)."""
    coordinates, faces, corners = [], [], []
    for words in _parts(path):
        if words[:1] == ["vt"]:
            coordinates.append([float(w) for w in words[1:3]])
        elif words[:1] == ["f"]:
            ids = [[int(i) - 1 for i in w.split("/")[:2]] for w in words[1:]]
            for k in range(1, len(ids) - 1):
                triangle = (ids[0], ids[k], ids[k + 1])
                faces.append([i[0] for i in triangle])
                corners.append([i[1] if len(i) > 1 else 0 for i in triangle])
    if not faces:
        raise SourceError(
            f"{path} holds no faces; if it is a git lfs pointer, run `git lfs pull` in the clone"
        )
    uv = np.array(coordinates or [[0, 0]], np.float32)
    return np.array(faces, np.int32), uv[np.array(corners)]


@njit(cache=True, fastmath=True)
def _bind(rest, reference, weight, offset):
    out = np.empty((reference.shape[0], 3), np.float32)
    for n in range(reference.shape[0]):
        for c in range(3):
            out[n, c] = offset[n, c]
            for k in range(3):
                out[n, c] += weight[n, k] * rest[reference[n, k], c]
    return out


class Proxy:
    """A mesh that follows the body's shape and skinning."""

    def __init__(self, path: Path, body: Body):
        """Reads `<name>.mhclo` and the mesh that it names.

        Raises:
            SourceError: a file is missing or not of this kind.
        """
        self.name = path.stem
        lines = _parts(path)
        mesh = next((w[1] for w in lines if w[0] == "obj_file"), path.stem + ".obj")
        self.faces, self.uv = _obj(path.with_name(mesh))
        start = next((i for i, w in enumerate(lines) if w[0] == "verts"), None)
        if start is None:
            raise SourceError(f"{path} holds no vertices; expected a MakeHuman .mhclo file")
        self._read_binding([w for w in lines[start + 1 :] if w[0].lstrip("-").isdigit()])
        self._scale = {w[0][0]: (int(w[1]), int(w[2]), float(w[3]))
                       for w in lines if w[0] in ("x_scale", "y_scale", "z_scale")}  # fmt: skip
        self.deleted = _ranges(lines, body.count)
        self._weigh(body)

    def _read_binding(self, lines: list[list[str]]) -> None:
        count = int(self.faces.max()) + 1
        reference = np.zeros((count, 3), np.int32)
        weight = np.zeros((count, 3), np.float32)
        offset = np.zeros((count, 3), np.float32)
        for n, words in enumerate(lines[:count]):
            if len(words) == 1:
                reference[n], weight[n, 0] = int(words[0]), 1
            else:
                reference[n] = [int(w) for w in words[:3]]
                weight[n] = [float(w) for w in words[3:6]]
                offset[n] = [float(w) for w in words[6:9]]
        self.reference, self.weight = reference, weight
        self.offset = offset * _TO_METRES  # x, up, towards the camera

    def _weigh(self, body: Body) -> None:
        """Skinning weights from those of the three vertices, six bones at most."""
        dense = np.zeros((len(self.reference), 24), np.float32)
        rows = np.arange(len(dense))[:, None]
        for k in range(3):
            share = self.weight[:, k, None] * body.skin_weight[self.reference[:, k]]
            np.add.at(dense, (rows, body.skin_index[self.reference[:, k]]), share)
        dense = np.clip(dense, 0, None)
        self.skin_index = np.argsort(-dense, 1)[:, :6].astype(np.int32)
        weight = np.take_along_axis(dense, self.skin_index, 1)
        self.skin_weight = (weight / weight.sum(1, keepdims=True)).astype(np.float32)

    def rest(self, figure: Figure) -> np.ndarray:
        """Vertices (N, 3) float32 on a person at rest."""
        v, axis = figure.vertices, dict(x=0, y=2, z=1)
        scale = {k: abs(v[a, axis[k]] - v[b, axis[k]]) / (width * _TO_METRES)
                 for k, (a, b, width) in self._scale.items()}  # fmt: skip
        x, up, near = (self.offset[:, i] * scale.get(k, 1.0) for i, k in enumerate("xyz"))
        offset = np.stack([x, -near, up], 1).astype(np.float32)
        return _bind(v, self.reference, self.weight, offset)


def _ranges(lines: list[list[str]], count: int) -> np.ndarray:
    """Body vertices (count,) bool that the piece hides: `12 - 15 18` after `delete_verts`."""
    hidden = np.zeros(count, bool)
    start = next((i for i, w in enumerate(lines) if w[0] == "delete_verts"), len(lines))
    for words in lines[start + 1 :]:
        if not words[0].isdigit():
            break
        at = 0
        while at < len(words):
            first = last = int(words[at])
            if at + 2 < len(words) and words[at + 1] == "-":
                last, at = int(words[at + 2]), at + 2
            hidden[first : last + 1] = True
            at += 1
    return hidden


def components(faces: np.ndarray, count: int) -> np.ndarray:
    """Number (count,) of the connected part that each vertex belongs to."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (count, count))
    return connected_components(graph, directed=False)[1]
