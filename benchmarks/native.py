"""Students of different sizes on photos of twice the usual size, where a finer one can show it.

The evaluation's paired samples are drawn at the size that a network of 256x192 sees. Here the same
held-out people and garments are drawn at 512x384, and each contender gives its result at that size,
as it would to a user with a larger photo. Beside the paired figures: the PSNR in a band about the
edge of the new garment, where hair, fingers and collars are.

    python -m benchmarks.native --data DATA 256=student-256x192 512=student-512x384
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from benchmarks.evaluation import paired, protocol
from benchmarks.evaluation.contenders import Contender, Student
from benchmarks.evaluation.metrics import psnr
from benchmarks.evaluation.rows import Row, figures
from benchmarks.evaluation.statistics import Figure

SCALE = 2.0
BAND = 0.008  # half width of the band about an edge, in picture heights
FIGURES = ("ssim", "ssim_region", "psnr_region", "psnr_edge", "psnr_outside", "perceptual_region",
           "skin_psnr", "sleeve_psnr", "shine")  # fmt: skip


def edge(new: np.ndarray) -> np.ndarray:
    """The band about a mask's edge: (H, W) bool both."""
    size = 2 * round(BAND * len(new)) + 1
    kernel = np.ones((size, size), np.uint8)
    mask = new.astype(np.uint8)
    return cv2.dilate(mask, kernel) > cv2.erode(mask, kernel)


def samples(data: Path, cache: Path, count: int) -> list[protocol.Pair]:
    """The first held-out pairs, drawn at twice the size unless they are there."""
    folder = protocol.draw(data, cache, count, "native", SCALE)
    return list(protocol.pairs(folder, count))


def measure(contenders: list[Contender], pairs: list[protocol.Pair]) -> dict[str, list[Row]]:
    """Rows of every contender."""
    rows: dict[str, list[Row]] = {c.name: [] for c in contenders}
    for pair in pairs:
        seen = paired.view(pair)
        if not paired.usable(seen):
            continue
        band = edge(seen.new)
        for one in contenders:
            result = one.crop(seen.person, seen.cloth, seen.known)
            values = paired.measure(result, seen)
            values["psnr_edge"] = psnr(result, seen.target, band)
            rows[one.name].append(Row(pair.id, pair.person, values))
    return rows


def differences(a: list[Row], b: list[Row]) -> dict[str, Figure]:
    """Of the same samples, `b` less `a`, with intervals, of every measure that applies."""
    apart = []
    for x, y in zip(a, b, strict=True):
        less = {name: y.values[name] - x.values[name] for name in FIGURES}
        apart.append(Row(x.id, x.person, less))
    return figures(apart)


def _line(figure: Figure) -> str:
    return f"{figure.value:8.3f} [{figure.low:7.3f}, {figure.high:7.3f}]"


def main() -> None:
    """Prints a table, and the differences of each contender from the first."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("contenders", nargs="+", help="NAME=WEIGHTS, a folder or a packaged name")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("reports/eval-cache"))
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    given = dict(word.split("=", 1) for word in args.contenders)
    them: list[Contender] = [Student(n, Path(w), args.threads) for n, w in given.items()]
    rows = measure(them, samples(args.data, args.cache, args.samples))
    first, *others = rows
    found = {name: figures(of) for name, of in rows.items()}
    apart = {name: differences(rows[first], rows[name]) for name in others}
    print(f"{len(rows[first])} samples of {len({r.person for r in rows[first]})} people")
    for name in (name for name in FIGURES if name in found[first]):
        print(f"{name:18}", *(f"{n} {_line(found[n][name])}" for n in rows))
        for other in others:
            print(f"{'':18} {other} less {first} {_line(apart[other][name])}")
    if args.out:
        plain = {n: {k: v._asdict() for k, v in of.items()} for n, of in found.items()}
        differ = {n: {k: v._asdict() for k, v in of.items()} for n, of in apart.items()}
        args.out.write_text(json.dumps({"figures": plain, "differences": differ}, indent=1))


if __name__ == "__main__":
    main()
