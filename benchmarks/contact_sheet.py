"""Contact sheets of held-out people in held-out garments, for a human eye.

    python -m benchmarks.contact_sheet --data DATA --out sheet.png [--kind t-shirt] [--pairs 40]

`--kind sleeveless` cuts held-out t-shirts into vests, tank tops and camisoles: no photo shows one.

DATA holds `ccp/` and `clothing/train/`. People and garments are those of the committed test split,
which no training saw; the pairs are drawn at random from a seed and none is left out: a pair that
fails is shown with its error. Do not publish the sheets: the pictures are of real people.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from benchmarks.vests import vests
from dmvton import TryOn
from dmvton.errors import DmvtonError
from dmvton.image_io import read_picture
from pose_synth import split
from pose_synth.ccp import ClothingCoParsing
from pose_synth.pose import PoseBank

SLEEVELESS = "sleeveless"
CELL = (180, 240)  # (width, height) of one picture on the sheet


def fit(image: np.ndarray, size: tuple[int, int] = CELL) -> np.ndarray:
    """Letterboxes (H, W, 3) onto grey."""
    zoom = min(size[0] / image.shape[1], size[1] / image.shape[0])
    small = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    out = np.full((size[1], size[0], 3), 128, np.uint8)
    y, x = (size[1] - small.shape[0]) // 2, (size[0] - small.shape[1]) // 2
    out[y : y + small.shape[0], x : x + small.shape[1]] = small
    return out


def frontal(poses: PoseBank, keys: list[str]) -> list[str]:
    """Keys of photos whose person faces the camera, by the sign and width of the shoulders."""
    kept = []
    for key in keys:
        points, score = poses.points(key)
        torso = np.linalg.norm(points[[11, 12], :2].mean(0) - points[[23, 24], :2].mean(0))
        if score > 0.9 and points[11, 0] - points[12, 0] > 0.45 * torso:
            kept.append(key)
    return kept


def pairs(data: Path, part: str, kind: str, count: int, seed: int) -> list[tuple[str, np.ndarray]]:
    """Random (person id, garment photo (H, W, 3) uint8 RGB) pairs of one part of the split."""
    rng = np.random.default_rng(seed)
    poses = PoseBank.load()
    present = set(ClothingCoParsing(data / "ccp").ids())
    people = split.select(sorted(set(poses.index) & present), "persons", part)
    people = frontal(poses, people)
    people = [people[i] for i in rng.permutation(len(people))[:count]]
    if kind == SLEEVELESS:
        return list(zip(people, vests(data, len(people), seed, part), strict=True))
    folder = data / "clothing" / "train" / kind
    keys = [f"{kind}/{p.stem}" for p in sorted(folder.glob("*.jpg"))]
    clothes = split.select(keys, "garments", part)
    chosen = [clothes[rng.integers(len(clothes))].split("/")[1] for _ in people]
    photos = [read_picture(folder / f"{name}.jpg").rgb for name in chosen]
    return list(zip(people, photos, strict=True))


def cell(engine: TryOn, photo: np.ndarray, shop: np.ndarray) -> np.ndarray:
    """Person, garment and result side by side; the person's pictures cut to the crop."""
    try:
        result = engine(photo, engine.garment(shop))
    except DmvtonError as error:
        blank = np.full((CELL[1], CELL[0], 3), 60, np.uint8)
        cv2.putText(blank, type(error).__name__, (6, 120), 0, 0.55, (255, 80, 80), 1, cv2.LINE_AA)
        return np.hstack([fit(photo), fit(shop), blank])
    box = result.crop.inside(*photo.shape[:2])
    view = (slice(box.y, box.bottom), slice(box.x, box.right))
    return np.hstack([fit(photo[view]), fit(shop), fit(result.image[view])])


def main(argv: list[str] | None = None) -> None:
    """Writes one sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("contact_sheet.png"))
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--part", default="test", choices=("train", "val", "test"))
    parser.add_argument("--kind", default="t-shirt")
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--columns", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    engine = TryOn.load(args.weights)
    source = ClothingCoParsing(args.data / "ccp")
    cells = []
    for key, garment in pairs(args.data, args.part, args.kind, args.pairs, args.seed):
        photo = cv2.cvtColor(source.photo(key), cv2.COLOR_BGR2RGB)
        image = cell(engine, photo, garment)
        cv2.putText(image, key, (4, 14), 0, 0.45, (255, 0, 0), 1, cv2.LINE_AA)
        cells.append(image)
    while len(cells) % args.columns:
        cells.append(np.full_like(cells[0], 128))
    rows = [np.hstack(cells[i : i + args.columns]) for i in range(0, len(cells), args.columns)]
    cv2.imwrite(str(args.out), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))
    print(f"{args.out}: {len(cells)} cells, {args.kind}, {args.part} split, seed {args.seed}")


if __name__ == "__main__":
    main()
