"""What the benchmark prints and writes."""

import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnxruntime as ort

from benchmarks.harness import Timing
from benchmarks.process import Cold
from dmvton import __version__
from dmvton.sessions import available_cores


def environment() -> dict[str, object]:
    """Machine and versions, as far as they bear on the times."""
    return {
        "dmvton": __version__,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": available_cores(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "onnxruntime": ort.__version__,
        "numpy": np.__version__,
    }


def header(facts: dict[str, object]) -> str:
    """Two lines about the machine, with a warning where others are using it."""
    lines = [
        f"{facts['cpu']}, {facts['cores']} cores, {facts['system']}",
        f"dmvton {facts['dmvton']}, Python {facts['python']}, ONNX Runtime {facts['onnxruntime']}",
    ]
    load = facts["load"]
    if isinstance(load, float) and load > 0.5:
        lines.append(f"load average {load:.1f}: other work is running, trust the ratios only")
    return "\n".join(lines)


def timing_table(timings: Sequence[Timing], baseline: str) -> str:
    """One block a number of threads; `faster` is the baseline's median over the contender's."""
    blocks = []
    for threads in sorted({t.threads for t in timings}):
        block = [t for t in timings if t.threads == threads]
        base = next((t.median for t in block if t.name == baseline), None)
        rows = [
            (
                t.name,
                t.device,
                t.resolution,
                str(t.batch),
                f"{t.median * 1e3:.1f}",
                f"{t.p95 * 1e3:.1f}",
                f"{base / t.median:.2f}x" if base else "-",
            )
            for t in block
        ]
        head = ("contender", "device", "size", "batch", "median ms", "p95 ms", "faster")
        title = f"{threads} thread{'s' if threads > 1 else ''}, {len(block[0].seconds)} rounds"
        blocks.append(f"{title}, faster than {baseline}:\n{columns([head, *rows])}")
    return "\n\n".join(blocks)


def cold_table(colds: Sequence[Cold]) -> str:
    """Cold starts: a new process up to its first frame, and its peak memory."""
    rows = [
        (c.name, str(c.threads or "auto"), f"{c.seconds:.2f}", f"{c.peak_mb:.0f}", str(c.runs))
        for c in colds
    ]
    return "cold start:\n" + columns([("process", "threads", "seconds", "peak MB", "runs"), *rows])


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length, the first column flush left and the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _cpu() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
