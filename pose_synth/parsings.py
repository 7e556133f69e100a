"""Parsing that a network found for photos without labels, as a bank of canvases."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dmvton.files import whole

BANK = Path(__file__).parent / "banks" / "ccp_parsings.npz"


@dataclass(frozen=True)
class ParsingBank:
    """Labels of canvases of scale 1 (see `persons.canvas_matrix`) by photo id."""

    index: dict[str, int]
    labels: np.ndarray  # (N, 336, 256) uint8 of Parsing

    @classmethod
    def load(cls, path: Path = BANK) -> "ParsingBank":
        """Reads a bank written by `save`."""
        with np.load(path, allow_pickle=False) as data:
            return cls({str(k): i for i, k in enumerate(data["ids"])}, data["labels"])

    @staticmethod
    def save(path: Path, found: dict[str, np.ndarray]) -> None:
        """Writes labels (336, 256) by photo id."""
        keys = sorted(found)
        labels = np.stack([found[key] for key in keys])
        with whole(path) as partial:
            np.savez_compressed(partial, ids=np.array(keys), labels=labels)

    def __contains__(self, key: str) -> bool:
        return key in self.index

    def canvas(self, key: str, size: tuple[int, int]) -> np.ndarray:
        """Labels of a photo's canvas of (width, height), uint8 of Parsing."""
        labels = self.labels[self.index[key]]
        return cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
