"""Samples a second of the data engine, drawn and encoded as for a shard, on one process.

    python -m benchmarks.synth_speed --data DATA [--count 60] [--out synth.json]

`DATA` holds `makehuman/base/` for rendered people, and `ccp/` and `clothing/train/` for products C
and D; what is missing is left out. The engine uses one thread: start as many as there are cores.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from dmvton.errors import DataError
from pose_synth.build import Banks, meshes
from pose_synth.drawn import draw_garments
from pose_synth.persons import CANVAS
from pose_synth.products import Sample
from pose_synth.recipe import Generator, Recipe
from pose_synth.rendered import RenderedGenerator
from pose_synth.shards import encode

WARM_UP = 3


def _rendered(data: Path) -> Callable[[np.random.Generator], Sample]:
    return RenderedGenerator(draw_garments(12), meshes(data)).draw


def _from_photos(data: Path) -> Callable[[np.random.Generator], Sample]:
    banks = Banks(data, "val")
    return Generator(banks.outfits, banks.garments, Recipe()).draw


ENGINES = {"A": _rendered, "C and D": _from_photos}


def _time(draw: Callable[[np.random.Generator], Sample], count: int) -> dict[str, np.ndarray]:
    """Seconds of each sample: drawing, and drawing with encoding; wall and processor time."""
    times = []
    for i in range(-WARM_UP, count):
        wall, cpu = time.perf_counter(), time.process_time()
        sample = draw(np.random.default_rng([i + WARM_UP]))
        drawn = time.process_time()
        encode(sample)
        if i >= 0:
            times.append((drawn - cpu, time.process_time() - cpu, time.perf_counter() - wall))
    return dict(zip(("draw", "write", "wall"), np.array(times).T, strict=True))


def main(argv: list[str] | None = None) -> None:
    """Prints and saves the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    report = {"canvas": CANVAS, "threads": 1, "device": "cpu", "batch": 1, "engines": {}}
    print(f"canvas {CANVAS[0]}x{CANVAS[1]}, one thread, cpu")
    for name, make in ENGINES.items():
        try:
            draw = make(args.data)
        except DataError as missing:
            print(f"{name}: skipped: {missing}")
            continue
        figures = {}
        for stage, seconds in _time(draw, args.count).items():
            median, p95 = np.median(seconds), np.percentile(seconds, 95)
            figures[stage] = {"median_ms": median * 1e3, "p95_ms": p95 * 1e3}
        rate = 1e3 / figures["write"]["median_ms"]
        report["engines"][name] = {**figures, "samples_per_core_second": rate}
        row = ", ".join(f"{k} {v['median_ms']:.1f} (p95 {v['p95_ms']:.1f}) ms"
                        for k, v in figures.items())  # fmt: skip
        print(f"{name}: {rate:.1f} samples a second and core; {row}")
    if args.out:
        args.out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
