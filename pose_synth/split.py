"""Train / val / test split by person and by garment; near-duplicates stay together.

The split is committed as ids only (`banks/split.json`), so that every later bank, on any machine,
keeps the same people and garments out of training.
"""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np

FILE = Path(__file__).parent / "banks" / "split.json"
DUPLICATE_CORRELATION = 0.93
TEST_SHARE, VAL_SHARE = 14, 3  # per cent


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Zero-mean unit-norm vector of a picture reduced to 24x24."""
    small = cv2.resize(image, (24, 24), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    return small / (np.linalg.norm(small) + 1e-6)


def groups(keys: list[str], thumbnails: np.ndarray) -> list[list[str]]:
    """Groups of near-duplicates by normalised cross-correlation, singletons included."""
    parent = list(range(len(keys)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    near = thumbnails @ thumbnails.T > DUPLICATE_CORRELATION
    for i, j in zip(*np.nonzero(np.triu(near, 1)), strict=True):
        a, b = sorted((root(i), root(j)))
        parent[b] = a
    found: dict[int, list[str]] = {}
    for i, key in enumerate(keys):
        found.setdefault(root(i), []).append(key)
    return list(found.values())


def assign(members: list[list[str]]) -> dict[str, list[str]]:
    """Deterministic assignment of groups to test and val; all others are for training."""
    out: dict[str, list[str]] = {"test": [], "val": []}
    for group in members:
        bucket = int(hashlib.sha256(min(group).encode()).hexdigest(), 16) % 100
        if bucket < TEST_SHARE:
            out["test"] += group
        elif bucket < TEST_SHARE + VAL_SHARE:
            out["val"] += group
    return {name: sorted(keys) for name, keys in out.items()}


def load(path: Path = FILE) -> dict[str, dict[str, list[str]]]:
    """{"persons": {"test": ids, "val": ids}, "garments": {...}}."""
    return json.loads(path.read_text())


def select(keys: list[str], kind: str, name: str) -> list[str]:
    """The keys of one part (train, val or test) among `keys`; `kind` is persons or garments."""
    held = load()[kind]
    if name == "train":
        out = set(held["test"]) | set(held["val"])
        return [k for k in keys if k not in out]
    if name not in held:
        raise ValueError(f"unknown split {name!r}; expected train, val or test")
    return [k for k in keys if k in set(held[name])]
