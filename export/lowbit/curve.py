"""Quality against size, for uniform widths and for mixed ones of the same sizes."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from export.calibration import Sample
from export.lowbit.packing import packed_runner
from export.lowbit.plot import Line, Panel, svg
from export.lowbit.work import Work
from export.quality import Figures, Judge, Runner

WIDTHS = (8, 7, 6, 5, 4, 3, 2)
MIXED = (5, 4, 3, 2)  # widths whose sizes are given to mixed plans
PANELS = {"ssim": "SSIM", "psnr_region": "PSNR in the region, dB", "distance": "feature distance"}


class Point(NamedTuple):
    """One packed pair, measured."""

    kind: str  # "uniform" or "mixed"
    label: str
    size: int  # bytes of both files and the manifest
    bits: float  # a weight, scales included
    error: float  # root mean square difference of its pictures from those of fp32, in [0, 1]
    figures: Figures


class Shown(NamedTuple):
    """Pictures that are already made, for the judge."""

    pictures: dict[int, torch.Tensor]  # by id of the sample

    def picture(self, sample: Sample) -> torch.Tensor:
        """The one of a sample."""
        return self.pictures[id(sample)]


def points(work: Work, judge: Judge, exact: Shown) -> Iterator[Point]:
    """Measure uniform widths, then mixed plans of the same sizes."""
    sizes = {}
    for bits in WIDTHS:
        with tempfile.TemporaryDirectory() as folder:
            plan, sizes[bits] = work.at_width(Path(folder), bits)
            found = measured(Path(folder), judge, exact)
        yield Point("uniform", str(bits), sizes[bits], work.mean_bits(plan), *found)
    for bits in MIXED:
        with tempfile.TemporaryDirectory() as folder:
            plan, size = work.within(Path(folder), sizes[bits])
            found = measured(Path(folder), judge, exact)
        mean = work.mean_bits(plan)
        yield Point("mixed", f"{mean:.1f}", size, mean, *found)


def shown(runner: Runner, judge: Judge) -> Shown:
    """A pair's pictures of the judge's samples."""
    return Shown({id(sample): runner.picture(sample) for sample in judge.samples})


def measured(folder: Path, judge: Judge, exact: Shown) -> tuple[float, Figures]:
    """Root mean square difference from fp32's pictures, and quality, of a packed folder."""
    found = shown(packed_runner(folder), judge)
    squares = [
        float((found.picture(sample) - exact.picture(sample)).square().mean())
        for sample in judge.samples
    ]
    return float(np.sqrt(np.mean(squares))), judge.figures(found)


def record(point: Point) -> dict[str, Any]:
    """For the report."""
    return {**point._asdict(), "figures": point.figures._asdict()}


def title() -> str:
    """Head of the table that `row` continues."""
    names = ("plan", "MB", "bits", "rms error", *PANELS.values())
    return "  ".join(f"{name:>20}" for name in names)


def row(name: str, size: int, bits: float, error: float, figures: Figures, exact: Figures) -> str:
    """One line of the table, each figure also relative to fp32."""
    pairs = [(getattr(figures, field), getattr(exact, field)) for field in PANELS]
    cells = [f"{value:.4f} ({value / level - 1:+.1%})" for value, level in pairs]
    line = (name, f"{size / 1e6:.2f}", f"{bits:.2f}", f"{error:.4f}", *cells)
    return "  ".join(f"{cell:>20}" for cell in line)


def draw(found: list[Point], exact: Figures) -> str:
    """The picture, SVG."""
    panels = [
        Panel(
            title,
            [
                Line(
                    kind,
                    [
                        (p.size / 1e6, getattr(p.figures, field), p.label)
                        for p in found
                        if p.kind == kind
                    ],
                )
                for kind in ("uniform", "mixed")
            ],
            getattr(exact, field),
        )
        for field, title in PANELS.items()
    ]
    return svg(panels, "size in MB (labels: bits a weight)")
