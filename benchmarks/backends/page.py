"""The text of docs/DEVICES.md."""

from collections.abc import Mapping, Sequence

HEAD = """# Devices

Made by `python -m benchmarks.backends.devices`; do not edit. The student at 256x192, garment graph
and frame graph, converted, run and compared with ONNX Runtime fp32 on {pictures}.

- **error**: largest difference of any value of any output, which are features of size 1 to 10,
  flows in [-1, 1] and weights in [0, 1].
- **latency**: one frame on one thread, garment cached, as a multiple of ONNX Runtime's in the same
  run on {cpu} (medians of rounds in turn; the processor of a phone has other ratios).
- **beside the fast kernels**: operators of the frame graph that the format's accelerated backend
  leaves to others: XNNPACK (LiteRT, ExecuTorch), Vulkan (ncnn, whose CPU kernels run all), compiled
  kernels (OpenVINO).

| format | converts | runs here | error | MB | latency | beside the fast kernels | GridSample |
|---|---|---|---|---|---|---|---|
"""

TAIL = """
The first row of a format is its command's default. `gather` stands for four gathers of pixel rows
instead of GridSample (`--sampling gather`, `export/mobile/rewrites.py`), `native` for the format's
own way.{split}

*Interpreted*: the operations of the saved file were executed one by one with torch
(`export/mobile/mil.py`), in its own types; the runtime itself exists on Apple's systems alone.

Versions: {versions}.
"""
NO_SPLIT = " GridSample keeps none of them from converting, so that no graph is split."


def page(report: Mapping, order: Sequence[str]) -> str:
    """The page of a report of `benchmarks.backends.devices`, its rows in this order."""
    rows = {key: report["rows"][key] for key in order if key in report["rows"]}
    versions: dict[str, str] = {}
    for row in rows.values():
        versions |= row.get("versions", {})
    told = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    head = HEAD.format(pictures=report["pictures"], cpu=report["environment"]["cpu"])
    lines = [line(key, row) for key, row in rows.items()]
    split = "" if any("failed" in row for row in rows.values()) else NO_SPLIT
    return head + "\n".join(lines) + "\n" + TAIL.format(split=split, versions=told or "none")


def line(key: str, row: Mapping) -> str:
    """One row of the table."""
    if "failed" in row:
        return f"| {key} | no: {row['failed']} | | | | | | |"
    error = "-" if row["error"] is None else f"{row['error']:.1e}"
    ratio = f"{row['ratio']:.2f}" if "ratio" in row else "-"
    place = row["placement"]
    left = ", ".join(f"{count} {name}" for name, count in place["fallback"].items())
    beside = (
        f"{sum(place['fallback'].values())} of {place['operators']}: {left}" if left else "none"
    )
    runs = "no" if row["not_run"] else "yes"
    if row["device"] == "interpreter":
        beside = f"decided on the device ({place['operators']} operations)"
        runs = "no, interpreted"
    cells = (
        key, "yes", runs, error, f"{row['bytes'] / 1e6:.1f}", ratio,
        beside, place["grid_sample"],
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"
