"""What `python -m benchmarks.backends` prints."""

from collections.abc import Mapping, Sequence

from benchmarks.backends.cases import Case
from benchmarks.backends.peaks import Peaks
from benchmarks.harness import Timing
from benchmarks.report import columns


def fastest(timings: Sequence[Timing], threads: int) -> dict[str, Timing]:
    """The quickest of the contenders MODEL:BACKEND, by model, in the order of their first."""
    found: dict[str, Timing] = {}
    for timing in timings:
        model = timing.name.partition(":")[0]
        if timing.threads == threads:
            found[model] = min(found.get(model, timing), timing, key=lambda t: t.median)
    return found


def verdicts(timings: Sequence[Timing], threads: int) -> list[dict[str, object]]:
    """How much faster our quickest runtime is than the quickest of the student of 2023.

    One for each form of ours (fp32, int8) and of theirs (as in the paper, and with its cost volume
    as a product).
    """
    found = fastest(timings, threads)
    return [
        {
            "threads": threads,
            "student": ours.name,
            "rival": theirs.name,
            "ratio": theirs.median / ours.median,
        }
        for model, ours in found.items()
        for other, theirs in found.items()
        if model.startswith("student") and other.startswith("dmvton2023")
    ]


def verdict_line(found: Mapping[str, object]) -> str:
    """A verdict in a sentence."""
    return (
        f"{found['threads']} thread{'s' if found['threads'] != 1 else ''}: {found['student']} is "
        f"{found['ratio']:.1f} times faster than {found['rival']}"
    )


def peaks_line(peaks: Peaks) -> str:
    """The ceilings in a sentence."""
    steps = {size: f"{rate:.0f}" for size, rate in peaks.bandwidth.items()}
    small, large = min(steps), max(steps)
    return (
        f"{peaks.threads} thread{'s' if peaks.threads != 1 else ''}: {peaks.gflops:.0f} GFLOP/s "
        f"(float32 product), copies {steps[small]} GB/s at {small // 1024} KiB to "
        f"{steps[large]} GB/s at {large // 2**20} MiB"
    )


def layer_rows(
    cases: Sequence[Case], timings: Mapping[tuple[int, str], Timing], peaks: Peaks
) -> list[dict[str, object]]:
    """One a layer and backend.

    Args:
        cases: the layers.
        timings: by the index of the case and the name of the backend.
        peaks: at the timings' number of threads.
    """
    return [
        {
            "category": cases[index].category,
            "layer": cases[index].name,
            "times": cases[index].times,
            "mflop": cases[index].operations / 1e6,
            "megabytes": cases[index].moved / 1e6,
            "backend": backend,
            "threads": timing.threads,
            "median_us": timing.median * 1e6,
            "p95_us": timing.p95 * 1e6,
            "roofline_share": peaks.seconds(cases[index].operations, cases[index].moved)
            / timing.median,
        }
        for (index, backend), timing in timings.items()
    ]


def layer_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Microseconds and share of the roofline; a line a layer, a column a backend."""
    backends = list(dict.fromkeys(row["backend"] for row in rows))
    lines: dict[tuple, dict[object, str]] = {}
    for row in rows:
        key = (
            f"{row['category']}: {row['layer']}",
            f"{row['times']}",
            f"{row['mflop']:.1f}",
            f"{row['megabytes']:.2f}",
        )
        cell = f"{row['median_us']:.0f} {row['roofline_share']:.0%}"
        lines.setdefault(key, {})[row["backend"]] = cell
    head = ("layer", "a frame", "MFLOP", "MB", *map(str, backends))
    body = [(*key, *(cells.get(b, "-") for b in backends)) for key, cells in lines.items()]
    return columns([head, *body])


def category_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Share of the roofline by category and backend, layers weighted by their time in a frame."""
    backends = list(dict.fromkeys(row["backend"] for row in rows))
    categories = list(dict.fromkeys(row["category"] for row in rows))
    body = []
    for category in categories:
        cells = []
        for backend in backends:
            members = [r for r in rows if (r["category"], r["backend"]) == (category, backend)]
            spent = sum(r["times"] * r["median_us"] for r in members)
            least = sum(r["times"] * r["median_us"] * r["roofline_share"] for r in members)
            cells.append(f"{spent / 1e3:.2f} {least / spent:.0%}" if spent else "-")
        body.append((str(category), *cells))
    return columns([("category", *map(str, backends)), *body])
