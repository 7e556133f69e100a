"""How much of the hands a student changes, and how much of bare arms a long sleeve leaves bare.

Hands lie before the garment, are few pixels, and are the first thing that an eye finds wrong; a
sleeve that ends above the elbow of one arm is the second.

    python -m benchmarks.hands --data DATA student-256x192 runs/onnx
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.evaluation import paired, protocol
from benchmarks.evaluation.contenders import Student
from benchmarks.evaluation.regions import arms
from dmvton.compose import distances
from dmvton.garment import Garment
from dmvton.keypoints import Keypoint as K
from dmvton.parsing import Parsing

REACH = 14  # pixels about a wrist, of 256 rows, in which skin counts as a hand
SEEN = 0.3  # visibility from which a wrist is where its keypoint says
MUCH = 0.25  # share of a hand whose change one sees
LEAST = 30  # pixels of hands in a photo that tell a share
LONG = 0.72  # of the way from elbow to wrist, down to where any long sleeve reaches
LEAST_ARM = 250  # pixels of bare arms in a photo that tell a share
SLEEVES = (  # held-out garment photos with long sleeves
    "longsleeve/0e20abb0-d56a-4f83-b254-9db70fb92794",
    "longsleeve/0ff16b4c-4d65-45ed-bcc3-ee9b325ee011",
    "longsleeve/120db955-d975-4be6-b2d8-b09ab17e7b7c",
    "longsleeve/4c51bd55-f355-4b98-8c83-14e6241a1447",
    "longsleeve/5c1b7a77-1fa3-4af8-9722-cd38e45d89da",
    "longsleeve/93ffa333-f16e-4c9a-9b2c-4561413dfa32",
    "longsleeve/a1207d92-a535-4073-a23a-0ff84fd433a2",
    "shirt/c1f00ac4-8af7-4aa3-be68-2f4879e9f738",
)


class Hands(NamedTuple):
    """Of one set of weights."""

    pixels: float  # share of the hands' pixels that change
    photos: float  # share of the photos in which more than `MUCH` of the hands does
    missing: float  # share of the new garment's pixels that are not covered with it
    count: int  # photos with hands to be seen


class Arms(NamedTuple):
    """Bare ones in untouched photos, in garments with long sleeves."""

    bare: float  # share of their pixels that the sleeves do not cover
    half: float  # share of the results in which that is more than half of them
    count: int  # people


def hands(seen: paired.View) -> np.ndarray:
    """(256, 192) bool: skin near the wrists that neither garment covers."""
    near = np.zeros(seen.old.shape, np.uint8)
    for x, y, visible in seen.points[[K.LEFT_WRIST, K.RIGHT_WRIST]]:
        if visible > SEEN:
            cv2.circle(near, (round(float(x)), round(float(y))), REACH, 1, -1)
    return (near > 0) & (seen.parsing == Parsing.SKIN) & ~seen.old & ~seen.new


def shown(student: Student, person: np.ndarray, garment: Garment) -> tuple[np.ndarray, np.ndarray]:
    """Where a crop changes, and where it shows the new garment: two masks (256, 192) bool."""
    found = distances(student.layers(person, garment), garment)
    change, cloth = (cv2.resize(away, person.shape[1::-1]) > 0 for away in found)
    return change, change & cloth


def measure(student: Student, pairs: Iterable[protocol.Pair]) -> Hands:
    """What a student changes where it may not, and misses where it should."""
    lost = total = missed = worn = 0
    shares = []
    for pair in pairs:
        seen = paired.view(pair)
        change, cloth = shown(student, seen.person, student.garment(seen.cloth))
        skin = hands(seen)
        lost, total = lost + int((change & skin).sum()), total + int(skin.sum())
        missed, worn = missed + int((seen.new & ~cloth).sum()), worn + int(seen.new.sum())
        if skin.sum() > LEAST:
            shares.append(float((change & skin).sum() / skin.sum()))
    photos = float(np.mean(np.array(shares) > MUCH)) if shares else float("nan")
    return Hands(lost / max(1, total), photos, missed / max(1, worn), len(shares))


def stretch(seen: paired.View) -> np.ndarray:
    """(256, 192) bool: what a long sleeve covers of both arms, the hands' ends aside."""
    points = seen.points.copy()
    for elbow, wrist in ((K.LEFT_ELBOW, K.LEFT_WRIST), (K.RIGHT_ELBOW, K.RIGHT_WRIST)):
        points[wrist] += (1 - LONG) * (points[elbow] - points[wrist])
    return arms(points, seen.old.shape, 0.1)


def people(pairs: Iterable[protocol.Pair]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Untouched photos (256, 192, 3) of people with bare arms, and these arms (256, 192) bool."""
    found: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
    for seen in map(paired.view, pairs):
        skin = stretch(seen) & (seen.parsing == Parsing.SKIN) & ~seen.new
        if skin.sum() > LEAST_ARM:
            found.setdefault(seen.target.tobytes(), (seen.target, skin))
    return list(found.values())


def bare_arms(
    student: Student, bare: list[tuple[np.ndarray, np.ndarray]], garments: list[Garment]
) -> Arms:
    """What long sleeves leave bare of the arms of people in their own short ones."""
    shares = [
        1 - float((shown(student, photo, garment)[1] & skin).sum() / skin.sum())
        for photo, skin in bare
        for garment in garments
    ]
    if not shares:
        return Arms(float("nan"), float("nan"), 0)
    return Arms(float(np.mean(shares)), float(np.mean(np.array(shares) > 0.5)), len(bare))


def main() -> None:
    """Prints a line for each set of weights."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("weights", nargs="+", help="folders, or packaged names")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("reports/eval-cache"))
    parser.add_argument("--samples", type=int, default=300)
    args = parser.parse_args()
    folder = protocol.draw(args.data, args.cache, args.samples)
    bare = people(protocol.pairs(folder, args.samples))
    photos = [args.data / "clothing/train" / f"{key}.jpg" for key in SLEEVES]
    for weights in args.weights:
        student = Student(weights, Path(weights), 1)
        found = measure(student, protocol.pairs(folder, args.samples))
        left = bare_arms(student, bare, [student.engine.garment(photo) for photo in photos])
        print(
            f"{weights}: of hands, {found.pixels:.1%} of the pixels change, and in "
            f"{found.photos:.1%} of {found.count} photos more than a quarter; "
            f"{found.missing:.1%} of the new garment is missing; of bare arms, long sleeves leave "
            f"{left.bare:.1%} bare, and of {left.count} people in {left.half:.1%} of the results "
            "more than half"
        )


if __name__ == "__main__":
    main()
