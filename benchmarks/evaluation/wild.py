"""Held-out persons and held-out garments as photos, and which goes with which."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.evaluation.contenders import Cloth, Known
from dmvton.errors import DataError
from dmvton.parsing import Parsing
from pose_synth.build import Banks
from pose_synth.garments import Garment as ShopGarment
from pose_synth.outfit import Outfit
from pose_synth.outlines import load_outlines
from pose_synth.persons import CANVAS, canvas_matrix
from pose_synth.pose import NETWORK_KEYPOINTS

SIZE = (256, 192)  # height and width of the hips-up crop that the features see
_CONTRAST = 30.0  # least distance of the two garments' mean colours in RGB levels


class Crop(NamedTuple):
    """Where a person's hips-up crop lies in the photo."""

    matrix: np.ndarray  # (2, 3) photo pixels -> crop pixels

    def cut(self, photo: np.ndarray) -> np.ndarray:
        """(H, W, 3) photo to its crop (256, 192, 3)."""
        zoom = float(self.matrix[0, 0])
        if zoom < 0.8:
            photo = cv2.GaussianBlur(photo, (0, 0), 0.5 * (1 / zoom - 0.5))
        return cv2.warpAffine(photo, self.matrix, SIZE[::-1], borderMode=cv2.BORDER_REPLICATE)

    def points(self, points: np.ndarray) -> np.ndarray:
        """(13, 3) photo pixels to crop pixels."""
        out = points.copy()
        out[:, :2] = points[:, :2] @ self.matrix[:, :2].T + self.matrix[:, 2]
        return out


@dataclass(frozen=True)
class Subject:
    """A person's photo with what is known about it."""

    key: str
    photo: np.ndarray  # (H, W, 3) uint8 RGB
    points: np.ndarray  # (13, 3) photo pixels
    crop: Crop
    worn: np.ndarray  # (H, W) bool, the old top in the photo
    worn_crop: np.ndarray  # (256, 192) bool
    parsing: np.ndarray  # (H, W) uint8, background where the bank's canvas does not reach

    @property
    def known(self) -> Known:
        """What a contender may be told."""
        return Known(self.points, self.worn, self.parsing)


@dataclass(frozen=True)
class Case:
    """One person and two unlike garments."""

    subject: Subject
    cloths: tuple[Cloth, Cloth]
    contrast: float  # distance of the garments' mean colours, RGB levels


def framing(points33: np.ndarray) -> Crop:
    """The crop of BlazePose keypoints (33, 3) in photo pixels."""
    matrix = canvas_matrix(points33, 1.0)
    matrix[:, 2] -= (CANVAS[0] - SIZE[1]) / 2, (CANVAS[1] - SIZE[0]) / 2
    return Crop(matrix)


def subject(banks: Banks, outfit: Outfit) -> Subject:
    """The photo behind a person of the bank."""
    photo = cv2.cvtColor(banks.source.photo(outfit.key), cv2.COLOR_BGR2RGB)
    points, _ = banks.poses.points(outfit.key)
    crop, canvas = framing(points), canvas_matrix(points, 1.0)
    way, size = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP, photo.shape[1::-1]
    worn = cv2.warpAffine(outfit.region.astype(np.uint8), canvas, size, flags=way) > 0
    parsing = cv2.warpAffine(outfit.parsing, canvas, size, flags=way)
    # Cloth beside the top is what was cut off from it in training, see pose_synth.recipe.
    parsing[np.isin(parsing, (Parsing.UPPER, Parsing.OUTER))] = Parsing.SKIN
    parsing[worn] = Parsing.UPPER
    y, x = (CANVAS[1] - SIZE[0]) // 2, (CANVAS[0] - SIZE[1]) // 2
    cut = outfit.region[y : y + SIZE[0], x : x + SIZE[1]]
    picks = points[list(NETWORK_KEYPOINTS)].astype(np.float32)
    return Subject(outfit.key, photo, picks, crop, worn, cut, parsing)


def cloth(garment: ShopGarment, data: Path, outlines: dict[str, np.ndarray]) -> Cloth:
    """The whole garment photo."""
    path = data / "clothing" / "train" / f"{garment.key}.jpg"
    photo = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if photo is None:
        raise DataError(f"{path} can't be read as a picture; restore it")
    mask = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillPoly(mask, [outlines[garment.key].astype(np.int32)], 1)
    return Cloth(cv2.cvtColor(photo, cv2.COLOR_BGR2RGB), mask > 0, garment.key)


def cases(banks: Banks, data: Path, seed: int, count: int) -> list[Case]:
    """Persons in random order, each with two random garments of unlike colour."""
    rng = np.random.default_rng([seed, 1])
    outlines = load_outlines()
    garments = [g for g in banks.garments if g.key in outlines]
    if len(garments) < 2 or not banks.outfits:
        raise DataError(
            f"{len(banks.outfits)} persons and {len(garments)} garments are left of the split's "
            f"part; expected at least one and two under {data}"
        )
    means = np.array([g.image[g.mask > 0.5].mean(0) for g in garments])
    out = []
    for i in rng.permutation(len(banks.outfits))[:count]:
        for _ in range(50):
            a, b = rng.choice(len(garments), 2, replace=False)
            contrast = float(np.linalg.norm(means[a] - means[b]))
            if contrast >= _CONTRAST:
                break
        pair = tuple(cloth(garments[k], data, outlines) for k in (a, b))
        out.append(Case(subject(banks, banks.outfits[i]), pair, contrast))
    return out


def listed(case: Case) -> list[str]:
    """A case as the protocol names it."""
    digest = hashlib.sha256(case.subject.photo.tobytes())
    for one in case.cloths:
        digest.update(one.rgb.tobytes())
    return [case.subject.key, *(one.key for one in case.cloths), digest.hexdigest()[:16]]


class Real(NamedTuple):
    """A real person that no contender dresses."""

    name: list[str]  # as the protocol names it
    crop: np.ndarray  # (256, 192, 3) uint8, hips-up


def reference(banks: Banks, count: int) -> list[Real]:
    """Persons of the part who are sure to be persons and in no case, for FID and KID."""
    cast = {outfit.key for outfit in banks.outfits}
    out: list[Real] = []
    for key in banks.keys:
        if len(out) == count:
            break
        if key in cast or key not in banks.poses.index:
            continue
        points, score = banks.poses.points(key)
        if score > 0.9:
            photo = cv2.cvtColor(banks.source.photo(key), cv2.COLOR_BGR2RGB)
            digest = hashlib.sha256(photo.tobytes()).hexdigest()[:16]
            out.append(Real([key, digest], framing(points).cut(photo)))
    return out
