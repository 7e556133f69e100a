"""Whether a student wears a garment in the garment's own cut: its sleeves, neckline and hem.

Held-out people in their own clothes, held-out garments; where the garment belongs, product C of the
data engine says (`pose_synth/recipe.py`), whose rules are its own: a sleeve reaches as far as its
length over the chest tells. The figures compare students, and do not tell how a garment would fit.

    python -m benchmarks.fits --data DATA student-256x192 runs/onnx
"""

from pathlib import Path

import cv2
import numpy as np

from benchmarks.evaluation import paired, protocol
from benchmarks.evaluation.contenders import Student
from benchmarks.evaluation.regions import arms, torso_length
from benchmarks.hands import arguments, shown
from dmvton.keypoints import Keypoint as K
from pose_synth.build import Banks
from pose_synth.recipe import Generator, Recipe
from pose_synth.shards import ShardPlan, write

SEED = 60
LEAST = 60  # pixels of old or new garment in a zone that tell a share
COMMON = dict(real_target=0.0, real_input=1.0, painted_skin=0.9, longest_top=1.5,
              lifelike_skin=True)  # fmt: skip
RECIPES = {
    "sleeves": Recipe(**COMMON, own_sleeves=1.0),
    "neckline": Recipe(**COMMON, own_sleeves=1.0, cut_neck=1.0),
    "cropped hem": Recipe(**COMMON, own_sleeves=1.0, cropped_garment=1.0),
    "sleeveless": Recipe(**COMMON, sleeveless_garment=1.0),
}


def zone(name: str, seen: paired.View) -> np.ndarray:
    """(256, 192) bool: the part of the person that a recipe is measured in."""
    if name == "sleeves":
        return arms(seen.points, seen.old.shape, 0.2)
    shoulders = seen.points[[K.LEFT_SHOULDER, K.RIGHT_SHOULDER], :2]
    hips = seen.points[[K.LEFT_HIP, K.RIGHT_HIP], :2].mean(0)
    neck, length = shoulders.mean(0), torso_length(seen.points)
    axis = (hips - neck) / length
    y, x = np.mgrid[: seen.old.shape[0], : seen.old.shape[1]]
    away = np.stack([x, y], 2) - neck
    down, across = away @ axis / length, away @ np.array([axis[1], -axis[0]])
    half = np.linalg.norm(shoulders[0] - shoulders[1]) / 2
    if name == "neckline":
        return (down > 0) & (down < 0.35) & (np.abs(across) < 0.6 * half)
    if name == "cropped hem":
        return (down > 0.5) & (down < 1.1) & (np.abs(across) < half)
    return (down < 0.35) & (np.abs(across) < 1.5 * half) | arms(seen.points, seen.old.shape, 0.2)


def wrong(student: Student, seen: paired.View, where: np.ndarray) -> tuple[float, float] | None:
    """Of one zone, what is covered and should not be, and what is not and should be.

    Shares of the pixels there of old or new garment; None where these are too few to tell.
    """
    either = where & (seen.old | seen.new)
    if either.sum() < LEAST:
        return None
    cloth = shown(student, seen.person, student.garment(seen.cloth))[1]
    # A pixel of rim is no error: masks are soft.
    near = np.ones((3, 3), np.uint8)
    sure = cv2.erode(seen.new.astype(np.uint8), near) > 0
    may = cv2.dilate(seen.new.astype(np.uint8), near) > 0
    return tuple(float((bad & where).sum() / either.sum()) for bad in (cloth & ~may, sure & ~cloth))


def main() -> None:
    """Prints a line for each set of weights and recipe."""
    args = arguments(__doc__.split("\n")[0], samples=80)
    banks = Banks(args.data, "test")
    students = [Student(weights, Path(weights), 1) for weights in args.weights]
    for name, recipe in RECIPES.items():
        folder = args.cache / f"fits-{name.replace(' ', '-')}-{SEED}-{args.samples}"
        generator = Generator(banks.outfits, banks.garments, recipe)
        write(ShardPlan(folder, args.samples, SEED), generator.draw, {"part": "test"})
        views = [paired.view(pair) for pair in protocol.pairs(folder, args.samples)]
        for student in students:
            found = [wrong(student, seen, zone(name, seen)) for seen in views]
            shares = np.array([share for share in found if share is not None])
            more, less = shares.mean(0)
            print(f"{name}, {student.name}: {more:.1%} too much, {less:.1%} too little, in "
                  f"{len(shares)} samples")  # fmt: skip


if __name__ == "__main__":
    main()
