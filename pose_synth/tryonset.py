"""Reader of try-on datasets in a known folder layout: person, garment, mask, labels, keypoints.

Convention: keypoints come as OpenPose's 18 or 25 and are handed on as BlazePose's 33, in photo
pixels `(x, y)`, with the confidence as visibility; what the set does not hold has visibility 0.
"""

import json
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from pose_synth.ccp import SourceError
from pose_synth.layouts import LAYOUTS, candidates, known

MAX_PIXELS = 50_000_000
MAX_JSON = 1_000_000  # bytes
MAX_PAIRS = 1_000_000
# BlazePose's index by OpenPose's, of the 18 and of the 25 keypoints.
_ARMS = {0: 0, 2: 12, 3: 14, 4: 16, 5: 11, 6: 13, 7: 15}
OPENPOSE = {18: _ARMS | {8: 24, 9: 26, 10: 28, 11: 23, 12: 25, 13: 27},
            25: _ARMS | {9: 24, 10: 26, 11: 28, 12: 23, 13: 25, 14: 27}}  # fmt: skip
TORSO = (11, 12, 23, 24)


class Pair(NamedTuple):
    """Names, without extension, of a person and of what the person wears."""

    person: str
    cloth: str


class TryOnSet:
    """One part of a dataset; a source of photos and poses as `ClothingCoParsing` and `PoseBank`.

    Args:
        root: folder of the dataset.
        part: train or test.

    Raises:
        SourceError: no known layout, or no usable list of pairs.
    """

    def __init__(self, root: Path, part: str = "train"):
        root = Path(root)
        layout = known(root, part)
        if layout is None:
            want = "; ".join(f"{one.name}: {', '.join(m.format(part=part) for m in one.marker)}"
                             for one in LAYOUTS)  # fmt: skip
            raise SourceError(
                f"{root} is in no known layout for part {part!r}; expected the folders of one of "
                f"{want}. Name the folder that holds them"
            )
        self.root, self.part, self.layout = root, part, layout
        self._pairs = {pair.person: pair.cloth for pair in self._read_pairs()}

    def _read_pairs(self) -> list[Pair]:
        path = self._file("pairs", "list of pairs")
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"{path} can't be read ({error}); restore it") from error
        pairs = []
        for number, line in enumerate(lines[:MAX_PAIRS], 1):
            words = line.split()
            if not words:
                continue
            # DressCode's lists carry the category as a third word.
            if len(words) not in (2, 3) or any("/" in w or ".." in w for w in words):
                raise SourceError(
                    f"{path}, line {number}: got {line[:80]!r}, expected two file names (person, "
                    "cloth); mend or delete the line"
                )
            pairs.append(Pair(Path(words[0]).stem, Path(words[1]).stem))
        if not pairs:
            raise SourceError(f"{path} lists no pairs; restore it from the dataset")
        return pairs

    def _file(self, kind: str, what: str, **names: str) -> Path:
        places = candidates(getattr(self.layout, kind), self.root, self.part, **names)
        for path in places:
            if path.is_file():
                return path
        raise SourceError(
            f"no {what} at {' or '.join(map(str, places))}; restore it or delete its line in the "
            f"list of pairs ({self.layout.name} layout)"
        )

    def ids(self) -> list[str]:
        """Names of all persons, sorted."""
        return sorted(self._pairs)

    def cloth(self, key: str) -> str:
        """Name of the garment that a person wears."""
        return self._pairs[key]

    def photo(self, key: str) -> np.ndarray:
        """The person (H, W, 3) uint8 BGR."""
        return _picture(self._file("person", "photo", p=key))

    def garment(self, key: str) -> tuple[np.ndarray, np.ndarray | None, Path]:
        """The person's garment (H, W, 3) uint8 BGR, its mask (H, W) bool or None, and its path."""
        name = self.cloth(key)
        path = self._file("cloth", "garment photo", c=name)
        photo = _picture(path)
        places = candidates(self.layout.mask, self.root, self.part, c=name)
        found = next((p for p in places if p.is_file()), None)
        if found is None:
            return photo, None, path
        mask = _picture(found, cv2.IMREAD_GRAYSCALE) > 127
        if mask.shape != photo.shape[:2]:
            raise SourceError(
                f"{found}: the mask is {mask.shape}, the garment {photo.shape[:2]}; delete it "
                "(a mask will be found anew) or restore it"
            )
        return photo, mask, path

    def has_parsing(self, key: str) -> bool:
        """Whether the person has labels and keypoints."""
        names = dict(p=key)
        return all(any(p.is_file() for p in candidates(patterns, self.root, self.part, **names))
                   for patterns in (self.layout.labels, self.layout.keypoints))  # fmt: skip

    def parsing(self, key: str, shape: tuple[int, int]) -> np.ndarray:
        """Merged labels (H, W) uint8 of `Parsing`, checked against the photo's (height, width)."""
        path = self._file("labels", "label map", p=key)
        labels = _label_values(path)
        if labels.shape != tuple(shape):
            raise SourceError(
                f"{path}: labels are {labels.shape}, the photo is {tuple(shape)}; bring them to "
                "one size or delete the pair"
            )
        table = self.layout.lookup()
        if labels.max() >= len(table):
            raise SourceError(
                f"{path} holds label {labels.max()}, expected under {len(table)} "
                f"({self.layout.name}); it may be a picture of the labels instead of their values, "
                "or saved as JPEG: restore the original PNG"
            )
        return table[labels]

    def points(self, key: str) -> tuple[np.ndarray, float]:
        """(33, 3) keypoints and a score: the least confidence of shoulders and hips, at most 1."""
        path = self._file("keypoints", "keypoints", p=key)
        raw = _keypoints(path)
        order = OPENPOSE.get(len(raw))
        if order is None:
            raise SourceError(f"{path} holds {len(raw)} keypoints, expected OpenPose's 18 or 25; "
                              "delete the pair")  # fmt: skip
        if self.layout.keypoint_size:
            height, width = self.photo(key).shape[:2]
            raw[:, 0] *= width / self.layout.keypoint_size[0]
            raw[:, 1] *= height / self.layout.keypoint_size[1]
        out = np.zeros((33, 3), np.float32)
        for theirs, ours in order.items():
            out[ours] = raw[theirs] if raw[theirs, :2].min() > 0 else 0
        return out, 1.0 if (out[list(TORSO), 2] > 0).all() else 0.0


def _picture(path: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """A picture as OpenCV reads it, bounded in size."""
    try:
        with Image.open(path) as head:
            width, height = head.size
    except (OSError, Image.DecompressionBombError) as error:
        raise SourceError(
            f"{path} is no picture ({error}); restore it or delete its pair"
        ) from error
    if width * height > MAX_PIXELS:
        raise SourceError(f"{path} has {width}x{height} pixels, at most {MAX_PIXELS} are read; "
                          "shrink it")  # fmt: skip
    image = cv2.imread(str(path), flags)
    if image is None:
        raise SourceError(f"{path} can't be read as a picture; restore it or delete its pair")
    return image


def _label_values(path: Path) -> np.ndarray:
    """Label values (H, W) uint8, not their colours: palettes keep their indices."""
    try:
        with Image.open(path) as image:
            if image.size[0] * image.size[1] > MAX_PIXELS:
                raise SourceError(f"{path} is larger than {MAX_PIXELS} pixels; shrink it")
            values = np.asarray(image)
            mode = image.mode
    except (OSError, Image.DecompressionBombError) as error:
        raise SourceError(f"{path} is no label map ({error}); restore it") from error
    if mode not in ("P", "L"):
        raise SourceError(f"{path} is a picture in mode {mode}, expected a channel of label values "
                          "(P or L); restore the original label map")  # fmt: skip
    return values


def _keypoints(path: Path) -> np.ndarray:
    """(K, 3) x, y, confidence of the first person; from OpenPose's or DressCode's JSON."""
    if path.stat().st_size > MAX_JSON:
        raise SourceError(
            f"{path} is larger than {MAX_JSON} bytes, no keypoints file is; restore it"
        )
    try:
        data = json.loads(path.read_text("utf-8"))
        if "people" in data:
            people = data["people"]
            if not people:
                raise SourceError(f"{path} holds no person; delete the pair")
            flat = people[0].get("pose_keypoints_2d", people[0].get("pose_keypoints"))
            raw = np.array(flat, np.float32).reshape(-1, 3)
        else:
            raw = np.array(data["keypoints"], np.float32).reshape(-1, 4)[:, :3]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(
            f"{path} holds no keypoints in OpenPose's or DressCode's form "
            f"({type(error).__name__}: {error}); restore it or delete the pair"
        ) from error
    if not np.isfinite(raw).all():
        raise SourceError(f"{path} holds numbers that are not finite; delete the pair")
    return raw


def check(root: Path, part: str = "train") -> None:
    """Reads every pair of a try-on dataset and names every file at fault.

    Args:
        root: folder in the layout of VITON, VITON-HD, VITON-Clean or DressCode.
        part: train or test.
    """
    data, faults = TryOnSet(root, part), 0
    for key in data.ids():
        try:
            photo = data.photo(key)
            data.garment(key)
            data.parsing(key, photo.shape[:2])
            data.points(key)
        except SourceError as error:
            faults += 1
            print(error)
    print(f"{data.layout.name}, {part}: {len(data.ids())} pairs, {faults} with a fault")
