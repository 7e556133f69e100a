"""Reader of Clothing Co-Parsing (photos/ and annotations/pixel-level/ of the public repository)."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import scipy.io

from dmvton.errors import DataError
from dmvton.parsing import Parsing
from pose_synth.labels import ccp_lookup


class SourceError(DataError):
    """A source file is missing or broken; the message names it and the way out."""


@dataclass(frozen=True)
class ClothingCoParsing:
    """Photos of one person each, some with pixel parsing."""

    root: Path

    def ids(self) -> list[str]:
        """Identifiers of all photos, sorted.

        Raises:
            SourceError: no photos under the root.
        """
        found = sorted(p.stem for p in (self.root / "photos").glob("*.jpg"))
        if not found:
            raise SourceError(
                f"no photos in {self.root / 'photos'}; expected a clone of clothing-co-parsing "
                "(photos/, annotations/pixel-level/)"
            )
        return found

    def photo(self, key: str) -> np.ndarray:
        """The photo (H, W, 3) uint8 BGR."""
        path = self.root / "photos" / f"{key}.jpg"
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise SourceError(f"{path} can't be read as a picture; restore it or remove its id")
        return image

    def has_parsing(self, key: str) -> bool:
        """Whether the photo has pixel labels."""
        return self._labels_path(key).exists()

    def tags(self) -> list[str]:
        """Tag names by label index."""
        names = _load(self.root / "label_list.mat", "label_list")[0]
        return [str(n[0]) for n in names]

    def raw_labels(self, key: str) -> np.ndarray:
        """Tag indices (H, W) uint8, as stored."""
        path = self._labels_path(key)
        labels = _load(path, "groundtruth")
        if labels.ndim != 2 or not labels.any():
            raise SourceError(f"{path} holds no labels; skip this id")
        return labels.astype(np.uint8)

    def image_tags(self, key: str) -> set[Parsing]:
        """Classes of the clothes that a photo without pixel labels is tagged with."""
        path = self.root / "annotations/image-level" / f"{key}.mat"
        table, tags = ccp_lookup(self.tags()), _load(path, "tags").ravel()
        if tags.size == 0 or tags.max() >= len(table):
            raise SourceError(f"{path} holds no tags under {len(table)}; skip this id")
        return {Parsing(c) for c in table[tags]}

    def parsing(self, key: str, shape: tuple[int, int]) -> np.ndarray:
        """Merged labels (H, W) uint8 of `Parsing`, checked against the photo's (height, width)."""
        labels = self.raw_labels(key)
        path = self._labels_path(key)
        if labels.shape != tuple(shape):
            raise SourceError(
                f"{path}: labels are {labels.shape}, the photo is {tuple(shape)}; skip this id"
            )
        table = ccp_lookup(self.tags())
        if labels.max() >= len(table):
            raise SourceError(
                f"{path} holds label {labels.max()}, expected under {len(table)}; skip this id"
            )
        return table[labels]

    def _labels_path(self, key: str) -> Path:
        return self.root / "annotations/pixel-level" / f"{key}.mat"


def _load(path: Path, name: str) -> np.ndarray:
    """One array of a .mat file."""
    try:
        return scipy.io.loadmat(path)[name]
    except Exception as error:  # scipy raises many kinds on a corrupt file
        raise SourceError(
            f"{path} is not a readable label file ({type(error).__name__}: {error}); restore it"
        ) from error
