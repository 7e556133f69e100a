"""How much of the hands a student changes, and what its sleeves do on people with bare arms.

Hands lie before the garment, are few pixels, and are the first thing that an eye finds wrong; a
sleeve that ends above the elbow of one arm is the second, a tank top with sleeves the third.

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
from benchmarks.evaluation.regions import arms, torso_length
from benchmarks.vests import vests
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


VESTS = 8, 29  # sleeveless tops, and the seed that they are drawn with
UPPER = 0.35  # of the way from shoulder to elbow, from where on a sleeveless top bares an arm


class Hands(NamedTuple):
    """Of one set of weights."""

    pixels: float  # share of the hands' pixels that change
    photos: float  # share of the photos in which more than `MUCH` of the hands does
    missing: float  # share of the new garment's pixels that are not covered with it
    count: int  # photos with hands to be seen


class Person(NamedTuple):
    """Somebody with bare forearms."""

    photo: np.ndarray  # (256, 192, 3) uint8, untouched
    bare: np.ndarray  # (256, 192) bool, bare skin of the arms that any long sleeve covers
    upper: np.ndarray  # (256, 192) bool, of the upper arms, what no sleeveless top covers


class Arms(NamedTuple):
    """Of people with bare forearms."""

    wrong: float  # share of the pixels that should be covered and are not, or the other way round
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


def upper_arms(seen: paired.View) -> np.ndarray:
    """(256, 192) bool: the upper arms from `UPPER` on."""
    points = seen.points.copy()
    for shoulder, elbow, wrist in (
        (K.LEFT_SHOULDER, K.LEFT_ELBOW, K.LEFT_WRIST),
        (K.RIGHT_SHOULDER, K.RIGHT_ELBOW, K.RIGHT_WRIST),
    ):
        points[shoulder] += UPPER * (points[elbow] - points[shoulder])
        points[wrist] = points[elbow]
    radius = 0.07 * torso_length(seen.points) / torso_length(points)  # the shoulders have moved
    return arms(points, seen.old.shape, radius)


def people(pairs: Iterable[protocol.Pair]) -> list[Person]:
    """Everybody with bare forearms, once."""
    found: dict[bytes, Person] = {}
    for seen in map(paired.view, pairs):
        skin = stretch(seen) & (seen.parsing == Parsing.SKIN) & ~seen.new
        if skin.sum() > LEAST_ARM:
            found.setdefault(seen.target.tobytes(), Person(seen.target, skin, upper_arms(seen)))
    return list(found.values())


def arms_in(student: Student, bare: list[Person], garments: list[Garment], long: bool) -> Arms:
    """What long sleeves leave bare of their arms, or sleeveless tops cover of the upper arms."""
    shares = []
    for person in bare:
        where = person.bare if long else person.upper
        for garment in garments:
            cloth = shown(student, person.photo, garment)[1]
            shares.append(float(((cloth != long) & where).sum() / where.sum()))
    if not shares:
        return Arms(float("nan"), float("nan"), 0)
    return Arms(float(np.mean(shares)), float(np.mean(np.array(shares) > 0.5)), len(bare))


def arguments(about: str, samples: int) -> argparse.Namespace:
    """Of a command that looks at several sets of weights: `weights`, `data`, `cache`, `samples`."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("weights", nargs="+", help="folders, or packaged names")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("reports/eval-cache"))
    parser.add_argument("--samples", type=int, default=samples)
    return parser.parse_args()


def main() -> None:
    """Prints a line for each set of weights."""
    args = arguments(__doc__.split("\n")[0], samples=300)
    folder = protocol.draw(args.data, args.cache, args.samples)
    bare = people(protocol.pairs(folder, args.samples))
    photos = [args.data / "clothing/train" / f"{key}.jpg" for key in SLEEVES]
    tops = vests(args.data, *VESTS)
    for weights in args.weights:
        student = Student(weights, Path(weights), 1)
        garment = student.engine.garment
        found = measure(student, protocol.pairs(folder, args.samples))
        left = arms_in(student, bare, [garment(photo) for photo in photos], long=True)
        more = arms_in(student, bare, [garment(top) for top in tops], long=False)
        print(
            f"{weights}: of hands, {found.pixels:.1%} of the pixels change, and in "
            f"{found.photos:.1%} of {found.count} photos more than a quarter; "
            f"{found.missing:.1%} of the new garment is missing; of bare arms, long sleeves leave "
            f"{left.wrong:.1%} bare, and of {left.count} people in {left.half:.1%} of the results "
            f"more than half; of upper arms, sleeveless tops cover {more.wrong:.1%}, and in "
            f"{more.half:.1%} more than half"
        )


if __name__ == "__main__":
    main()
