"""Unpaired: held-out persons in held-out garments, as photos of their own size."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.evaluation.contenders import Cloth, Contender, Student
from benchmarks.evaluation.metrics import (
    colour_distance,
    frechet,
    ghost,
    kernel_distance,
    keypoint_similarity,
    leakage,
    psnr,
)
from benchmarks.evaluation.regions import changeable, torso_length
from benchmarks.evaluation.rows import Row
from benchmarks.evaluation.statistics import Figure, jackknife
from benchmarks.evaluation.wild import Case, Subject
from dmvton.crop import torso_box
from dmvton.errors import NoPersonError
from dmvton.keypoints import Keypoint as K
from pose_synth.flat import flat_mesh

_PATCH = 96  # pixels a side of the rectified chest
_CHEST = (0.15, 0.75)  # below the shoulders, in torso lengths
_SEAM = 1.12  # a garment's shoulder seam over the distance of the shoulder joints
_AREA = 2.0  # of the upper body for OKS, in squared torso lengths
_LEAST = 400  # chest pixels that can be compared
_COMPONENTS = 32  # of the features, for FID
_LEAST_KID = 3  # persons, and reference photos: two leave one when one is left out
_LEAST_FID = 64  # persons, and reference photos


class Tried(NamedTuple):
    """One contender on one case."""

    images: tuple[np.ndarray, np.ndarray]  # the photo in each garment
    found: tuple[bool, bool]


def dress(contender: Contender, case: Case) -> Tried:
    """Both garments; where nobody is found the photo counts as the result."""
    images, found = [], []
    for cloth in case.cloths:
        try:
            images.append(contender.photo(case.subject.photo, cloth, case.subject.known))
            found.append(True)
        except NoPersonError:
            images.append(case.subject.photo)
            found.append(False)
    return Tried((images[0], images[1]), (found[0], found[1]))


def measure(tried: Tried, case: Case, judge: Student, before: np.ndarray) -> list[dict[str, float]]:
    """Figures of the two results; those of the pair as a whole stand in both.

    Args:
        tried: what the contender made of it.
        case: person and garments.
        judge: finds keypoints in the results.
        before: (13, 3) what it found in the photo.
    """
    subject = case.subject
    allowed = changeable(subject.points, subject.worn)
    person = subject.crop.cut(subject.photo)
    views = [subject.crop.cut(image) for image in tried.images]
    core = cv2.erode(subject.worn_crop.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    shared = {"leakage": float("nan"), "ghost": float("nan")}
    if core.sum() >= _LEAST:
        shared["leakage"] = float(leakage(*views, person, case.contrast)[core].mean())
        shared["ghost"] = ghost(*views, person, core)
    out = []
    for image, view, found, cloth in zip(
        tried.images, views, tried.found, case.cloths, strict=True
    ):
        values = {"found": float(found), **shared, **_garment(view, subject, cloth)}
        changed = np.abs(image.astype(np.int16) - subject.photo).max(2) > 2
        values["kept_psnr"] = psnr(image, subject.photo, ~allowed)
        values["kept_share"] = float((~changed[~allowed]).mean())
        area = _AREA * torso_length(subject.points) ** 2
        values["oks"] = keypoint_similarity(_keypoints(image, case, judge), before, area)
        out.append(values)
    return out


def _keypoints(image: np.ndarray, case: Case, judge: Student) -> np.ndarray:
    """The packaged network's keypoints of a photo (13, 3), from one and the same crop."""
    subject = case.subject
    box = torso_box(subject.points, judge.engine.network.size, 2 * max(image.shape))
    garment = judge.garment(case.cloths[0])
    return judge.engine.locator.look(image, box, garment).keypoints


def _garment(view: np.ndarray, subject: Subject, cloth: Cloth) -> dict[str, float]:
    """How like the shop photo's chest the result's is: by colours, and by trunk features."""
    from benchmarks.evaluation.features import perceptual

    flat = flat_chest(cloth)
    nothing = {"garment_colour": float("nan"), "garment_match": float("nan")}
    if flat is None:
        return nothing
    matrix = worn_chest(subject.crop.points(subject.points))
    size = (_PATCH, _PATCH)
    worn = cv2.warpAffine(view, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.warpAffine(subject.worn_crop.astype(np.uint8), matrix, size) > 0
    shop, mask = flat
    seen &= mask
    if seen.sum() < _LEAST:
        return nothing
    return {
        "garment_colour": colour_distance(worn[seen], shop[seen]),
        "garment_match": float(perceptual(worn, shop)[seen].mean()),
    }


def _patch(middle: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """(2, 3) picture -> patch, from mid shoulder, half shoulder width and torso length."""
    corners = [middle + s * 0.85 * across + t * down for s, t in
               ((-1, _CHEST[0]), (1, _CHEST[0]), (-1, _CHEST[1]))]  # fmt: skip
    to = np.array([[0, 0], [_PATCH - 1, 0], [0, _PATCH - 1]], np.float32)
    return cv2.getAffineTransform(np.array(corners, np.float32), to)


def worn_chest(points: np.ndarray) -> np.ndarray:
    """(2, 3) crop -> patch of a person's chest."""
    right, left = points[K.RIGHT_SHOULDER, :2], points[K.LEFT_SHOULDER, :2]
    hips = points[[K.LEFT_HIP, K.RIGHT_HIP], :2].mean(0)
    middle = (left + right) / 2
    return _patch(middle, (left - right) / 2, hips - middle)


def flat_chest(cloth: Cloth) -> tuple[np.ndarray, np.ndarray] | None:
    """The same part of a garment photo and its mask; None where its outline shows no top.

    A torso is taken as 1.4 shoulder widths long, as in `dmvton.crop`.
    """
    found = flat_mesh(cloth.mask)
    if found is None:
        return None
    torso = found[0].torso
    middle = (torso[0, 0] + torso[0, -1]) / 2
    across = (torso[0, -1] - torso[0, 0]) / 2 / _SEAM
    down = torso[-1, 4] - torso[0, 4]
    down = down / np.linalg.norm(down) * 1.4 * 2 * np.linalg.norm(across)
    matrix = _patch(middle, across, down)
    size = (_PATCH, _PATCH)
    small = cv2.GaussianBlur(cloth.rgb, (0, 0), max(0.3, 0.5 * (1 / abs(matrix[0, 0]) - 0.5)))
    shop = cv2.warpAffine(small, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    return shop, cv2.warpAffine(cloth.mask.astype(np.uint8), matrix, size) > 0


Extract = Callable[[np.ndarray], np.ndarray]  # picture (H, W, 3) uint8 to features (C,)


class Unpaired(NamedTuple):
    """Rows by contender, and hips-up crops of the results: a person's two lie side by side."""

    rows: dict[str, list[Row]]
    views: dict[str, list[np.ndarray]]  # (256, 192, 3) uint8
    persons: list[str]  # of the pairs


def run(contenders: list[Contender], cases: Sequence[Case], judge: Student) -> Unpaired:
    """Dresses every case with every contender."""
    rows: dict[str, list[Row]] = {c.name: [] for c in contenders}
    views: dict[str, list[np.ndarray]] = {c.name: [] for c in contenders}
    for number, case in enumerate(cases):
        before = _keypoints(case.subject.photo, case, judge)
        for contender in contenders:
            tried = dress(contender, case)
            for which, values in enumerate(measure(tried, case, judge, before)):
                rows[contender.name].append(Row(f"{number}-{which}", case.subject.key, values))
                views[contender.name].append(case.subject.crop.cut(tried.images[which]))
    return Unpaired(rows, views, [case.subject.key for case in cases])


def distances(
    made: np.ndarray, real: np.ndarray, persons: Sequence[str], components: int | None = None
) -> dict[str, Figure]:
    """FID and KID of features (2 n, C) of n persons' results against those of real photos (m, C).

    The results in the first and in the second garment are two sets, each with every person once,
    and the mean of both distances is taken: in one set, a contender that changes little would be
    punished for its pairs of like pictures. With `components`, features are standardised by the
    reference set and FID takes that many leading principal components: the covariance of more can't
    be had from a hundred persons. FID is left out where either set has fewer than 64 persons, all
    where it has fewer than 3.
    """
    if components:
        mean, spread = real.mean(0), real.std(0) + 1e-6
        made, real = (made - mean) / spread, (real - mean) / spread
    if min(len(persons), len(real)) < _LEAST_KID:
        return {}
    sets = made.reshape(len(persons), 2, -1)

    def both(distance: Callable[[np.ndarray], float]) -> Figure:
        def mean_of_sets(x: np.ndarray) -> float:
            return float(np.mean([distance(x[:, which]) for which in (0, 1)]))

        return jackknife(sets, persons, mean_of_sets)

    out = {"kid": both(lambda x: kernel_distance(x, real))}
    if min(len(persons), len(real)) >= _LEAST_FID:
        axes = np.eye(real.shape[1])
        if components:
            axes = np.linalg.svd(real, full_matrices=False)[2][:components].T
        flat = real @ axes
        out["fid"] = both(lambda x: frechet(x @ axes, flat))
    return out


def all_distances(
    tried: Unpaired, reference: Sequence[np.ndarray], inception: Extract | None
) -> dict[str, dict[str, Figure]]:
    """FID and KID of every contender, by the repository's trunk and, where given, by Inception."""
    from benchmarks.evaluation.features import pooled

    def of(pictures: Sequence[np.ndarray], extract: Extract) -> np.ndarray:
        return np.array([extract(picture) for picture in pictures])

    real = of(reference, pooled)
    out = {
        name: distances(of(views, pooled), real, tried.persons, _COMPONENTS)
        for name, views in tried.views.items()
    }
    if inception is not None:
        real = of(reference, inception)
        for name, views in tried.views.items():
            found = distances(of(views, inception), real, tried.persons)
            out[name] |= {f"{measure}_inception": figure for measure, figure in found.items()}
    return out


def strip(case: Case, which: int, contenders: list[Contender]) -> list[tuple[str, np.ndarray]]:
    """Pictures of one result for the report, with captions."""
    cut = case.subject.crop.cut
    out = [("photo", cut(case.subject.photo)), ("garment", case.cloths[which].rgb)]
    return out + [(c.name, cut(dress(c, case).images[which])) for c in contenders]
