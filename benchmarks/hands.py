"""How much of the hands a student changes that neither garment covers.

Hands lie before the garment, are few pixels, and are the first thing that an eye finds wrong.

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
from dmvton.compose import distances
from dmvton.keypoints import Keypoint as K
from dmvton.parsing import Parsing

REACH = 14  # pixels about a wrist, of 256 rows, in which skin counts as a hand
SEEN = 0.3  # visibility from which a wrist is where its keypoint says
MUCH = 0.25  # share of a hand whose change one sees
LEAST = 30  # pixels of hands in a photo that tell a share


class Hands(NamedTuple):
    """Of one set of weights."""

    pixels: float  # share of the hands' pixels that change
    photos: float  # share of the photos in which more than `MUCH` of the hands does
    missing: float  # share of the new garment's pixels that are not covered with it
    count: int  # photos with hands to be seen


def hands(seen: paired.View) -> np.ndarray:
    """(256, 192) bool: skin near the wrists that neither garment covers."""
    near = np.zeros(seen.old.shape, np.uint8)
    for x, y, visible in seen.points[[K.LEFT_WRIST, K.RIGHT_WRIST]]:
        if visible > SEEN:
            cv2.circle(near, (round(float(x)), round(float(y))), REACH, 1, -1)
    return (near > 0) & (seen.parsing == Parsing.SKIN) & ~seen.old & ~seen.new


def measure(student: Student, pairs: Iterable[protocol.Pair]) -> Hands:
    """What a student changes where it may not, and misses where it should."""
    lost = total = missed = worn = 0
    shares = []
    for pair in pairs:
        seen = paired.view(pair)
        garment = student.garment(seen.cloth)
        size = seen.old.shape[::-1]
        found = distances(student.layers(seen.person, garment), garment)
        change, cloth = (cv2.resize(away, size) > 0 for away in found)
        cloth &= change
        skin = hands(seen)
        lost, total = lost + int((change & skin).sum()), total + int(skin.sum())
        missed, worn = missed + int((seen.new & ~cloth).sum()), worn + int(seen.new.sum())
        if skin.sum() > LEAST:
            shares.append(float((change & skin).sum() / skin.sum()))
    photos = float(np.mean(np.array(shares) > MUCH)) if shares else float("nan")
    return Hands(lost / max(1, total), photos, missed / max(1, worn), len(shares))


def main() -> None:
    """Prints a line for each set of weights."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("weights", nargs="+", help="folders, or packaged names")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("reports/eval-cache"))
    parser.add_argument("--samples", type=int, default=300)
    args = parser.parse_args()
    folder = protocol.draw(args.data, args.cache, args.samples)
    for weights in args.weights:
        student = Student(weights, Path(weights), 1)
        found = measure(student, protocol.pairs(folder, args.samples))
        print(
            f"{weights}: of hands, {found.pixels:.1%} of the pixels change, and in "
            f"{found.photos:.1%} of {found.count} photos more than a quarter; "
            f"{found.missing:.1%} of the new garment is missing"
        )


if __name__ == "__main__":
    main()
