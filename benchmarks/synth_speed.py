"""Samples a second of the data engine, drawn and encoded as for a shard, on one process.

    python -m benchmarks.synth_speed --data DATA [--count 60] [--part val] [--processes 2]
        [--out synth.json]

`DATA` holds `makehuman/base/` for rendered people, and `ccp/` and `clothing/train/` for products B,
C and D; what is missing is left out. The engine uses one thread: start as many as there are cores,
as `--processes` does for a second figure, the wall time in which so many of them fill shards side
by side, from when the last one is warm to when the last one is done (give it an idle machine).
Also: the largest memory of the process so far, and how well the stored flow makes the target's
garment out of the garment's picture (A: in flat light, where nothing but the flow makes a
difference).
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from dmvton.errors import DataError
from dmvton.parsing import Parsing
from pose_synth.build import Banks, meshes
from pose_synth.drawn import draw_garments
from pose_synth.one_core import use_one_core
from pose_synth.overlay import OverlayGenerator
from pose_synth.persons import CANVAS
from pose_synth.products import Sample
from pose_synth.recipe import Generator, Recipe
from pose_synth.rendered import RenderedGenerator, RenderedRecipe
from pose_synth.shards import ShardPlan, encode, write

WARM_UP = 3


Draw = Callable[[np.random.Generator], Sample]


class Engines:
    """What draws each product; banks are loaded once, when a product first needs them."""

    def __init__(self, data: Path, part: str):
        self.data, self.part = data, part

    @cached_property
    def banks(self) -> Banks:
        """People and garments of the part."""
        return Banks(self.data, self.part)

    def make(self, name: str) -> Draw:
        """The product `name`, or A in flat light as `A flat`."""
        if name.startswith("A"):
            recipe = RenderedRecipe(flat_light=name != "A", close=0 if name != "A" else 0.15)
            return RenderedGenerator(draw_garments(12), meshes(self.data), recipe).draw
        if name == "B":
            people = RenderedGenerator(self.banks.garments, meshes(self.data))
            return OverlayGenerator(people, self.banks.outfits).draw
        recipe = Recipe(real_target=1.0 if name == "D" else 0.0)
        return Generator(self.banks.outfits, self.banks.garments, recipe).draw


PRODUCTS = ("A", "B", "C", "D")
FLOW = {"A": "A flat", "D": "D"}


def flow_psnr(sample: Sample) -> float:
    """Decibels between the garment warped by the stored flow and the target, inside the garment."""
    flow = cv2.resize(sample.flow.astype(np.float32) / 8, sample.target.shape[1::-1])
    warped = cv2.remap(sample.garment, flow[..., 0], flow[..., 1], cv2.INTER_LINEAR)
    seen = (sample.target_mask > 250) & (sample.parsing == Parsing.UPPER)
    if sample.kind == "A":  # beside edges, a pixel of half the size mixes two sides
        seen = cv2.erode(seen.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    error = (warped.astype(float) - sample.target)[seen]
    return float(-10 * np.log10((error**2).mean() / 255**2 + 1e-12)) if len(error) else np.nan


def _memory() -> float:
    """Largest resident memory of this process so far, MB."""
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


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


def _fill(name: str, data: Path, part: str, plan: ShardPlan, ready) -> None:
    """One of the processes of `side_by_side`."""
    try:
        draw = Engines(data, part).make(name)
        for i in range(WARM_UP):
            encode(draw(np.random.default_rng([i])))
    except BaseException:
        ready.abort()  # nobody has to wait for this one
        raise
    ready.wait()
    write(plan, draw, {})


def side_by_side(name: str, data: Path, part: str, count: int, processes: int) -> float:
    """Samples of a product a second that `processes` write to shards, `count` each.

    Raises:
        RuntimeError: one of them failed; it has printed why.
    """
    os.environ["TQDM_DISABLE"] = "1"  # of the processes to start
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(processes + 1)
    with tempfile.TemporaryDirectory() as folder:
        plans = [ShardPlan(Path(folder) / str(i), count, i) for i in range(processes)]
        team = [context.Process(target=_fill, args=(name, data, part, plan, ready), daemon=True)
                for plan in plans]  # fmt: skip
        for process in team:
            process.start()
        try:
            ready.wait(timeout=600)
        except threading.BrokenBarrierError:
            raise RuntimeError(f"{name}: a process failed or was not warm in ten minutes") from None
        started = time.perf_counter()
        for process in team:
            process.join()
        seconds = time.perf_counter() - started
    if any(process.exitcode for process in team):
        raise RuntimeError(f"{name}: a process failed")
    return processes * count / seconds


def main(argv: list[str] | None = None) -> None:
    """Prints and saves the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--part", choices=("train", "val", "test"), default="val")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(argv)
    use_one_core()
    report = {"canvas": CANVAS, "threads": 1, "device": "cpu", "batch": 1, "engines": {}}
    print(f"canvas {CANVAS[0]}x{CANVAS[1]}, one thread, cpu")
    engines = Engines(args.data, args.part)
    for name in PRODUCTS:
        try:
            draw = engines.make(name)
        except DataError as missing:
            print(f"{name}: skipped: {missing}")
            continue
        figures = {}
        for stage, seconds in _time(draw, args.count).items():
            median, p95 = np.median(seconds), np.percentile(seconds, 95)
            figures[stage] = {"median_ms": median * 1e3, "p95_ms": p95 * 1e3}
        rate = 1e3 / figures["write"]["median_ms"]
        report["engines"][name] = {**figures, "samples_per_core_second": rate,
                                   "peak_mb": _memory()}  # fmt: skip
        row = ", ".join(f"{k} {v['median_ms']:.1f} (p95 {v['p95_ms']:.1f}) ms"
                        for k, v in figures.items())  # fmt: skip
        print(f"{name}: {rate:.1f} samples a second and core; {row}; peak {_memory():.0f} MB")
        if args.processes > 1:
            rate = side_by_side(name, args.data, args.part, 8 * args.count, args.processes)
            report["engines"][name][f"samples_per_second_of_{args.processes}"] = rate
            print(f"{name}: {rate:.1f} samples a second of {args.processes} processes, written")
        if name in FLOW:
            draw = engines.make(FLOW[name])
            found = [flow_psnr(draw(np.random.default_rng([5, i]))) for i in range(args.count)]
            median = float(np.nanmedian(found))
            report["engines"][name]["flow_psnr_db"] = median
            print(f"{name}: the stored flow gives the garment back with {median:.1f} dB (median)")
    if args.out:
        args.out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
