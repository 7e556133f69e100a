"""The text of docs/PRECISION.md."""

from collections.abc import Mapping, Sequence

HEAD = """# Precision

Made by `python -m benchmarks.precision`; do not edit. The student of `{checkpoint}` at {size},
made smaller as `dmvton export` does it, compared with torch and with fp32.

## Size, error and quality

- **error** against torch in fp32, on {compared} held-out samples: the largest difference of any
  value of the frame graph's outputs (a single pixel on a steep edge, mostly), and the root mean
  square difference of the pictures in grey levels of 255.
- **quality** on {judged} held-out samples whose target is known (`export/quality.py`), and its change
  from fp32. The distance is one of ImageNet features, lower is better; the region is where the
  old or the new garment is.
- int8 and fp8 were calibrated, and gated within {gate:.0%} of fp32, on {samples} other samples.
  Numbers are rounded as the graph says.
- 8 to 2 bits are the packed download of `dmvton export lowbit`, unpacked once at load.

| precision | MB | what is in it | largest error | picture | distance | SSIM | region SSIM | region PSNR, dB |
|---|---|---|---|---|---|---|---|---|
"""  # noqa: E501

SPEED = """
## Time of a frame

Garment cached, on {cpu}; medians of {rounds} rounds in turn. Load average {load}: on a machine that
is not idle, read the ratios, which are to ONNX Runtime in fp32 with as many threads. Packed
weights are unpacked to fp32 at load, and no CPU computes in fp8.

| runtime | precision |{columns}
|---|---|{rules}
"""

PROFILE = """
## Where the time goes

Milliseconds a frame by kind of operator in ONNX Runtime on one thread, under its profiler.

| precision | in all | of which |
|---|---|---|
"""
SLOWER = """
int8 takes {ratio:.2f} times as long as fp32 in ONNX Runtime here. QuantizeLinear and
DequantizeLinear take {around:.1f} ms of {total:.1f}.{integer}
"""
NO_INTEGER = """ There is no integer convolution in the profile: ONNX Runtime has
one only where the output is quantised too, which the form that TensorRT takes leaves out, so that
it turns weights and inputs back into fp32 in every frame and computes in that: with it, fp32 is the
format to take."""
OPENVINO = """ OpenVINO takes {ratio:.2f} times as long in int8 as in fp32: it
computes in integers, which pays where the processor multiplies them faster (VNNI).
"""
INTEGER = ("ConvInteger", "MatMulInteger", "QGemm", "QLinearConv", "QLinearMatMul")


def page(report: Mapping) -> str:
    """The page of a report of `benchmarks.precision`."""
    return HEAD.format(**report["facts"]) + "".join(
        [*_quality_rows(report["rows"]), _speed(report), _profile(report)]
    )


def _quality_rows(rows: Mapping[str, Mapping]) -> list[str]:
    return [f"{quality_line(name, row, rows['fp32'])}\n" for name, row in rows.items()]


def quality_line(name: str, row: Mapping, exact: Mapping) -> str:
    """One row of the first table; quality also relative to fp32."""
    if "refused" in row:
        return f"| {name} | refused: {row['refused']} |" + " |" * 7
    figures = []
    for key, digits in (("distance", 4), ("ssim", 4), ("ssim_region", 4), ("psnr_region", 2)):
        value, base = row["quality"][key], exact["quality"][key]
        change = "" if row is exact else f" ({value / base - 1:+.1%})"
        figures.append(f"{value:.{digits}f}{change}")
    error = row["error"]
    cells = (name, f"{row['bytes'] / 1e6:.2f}", row["note"], f"{error['largest']:.1e}",
             f"{error['picture']:.2g}", *figures)  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _speed(report: Mapping) -> str:
    timings: Sequence[Mapping] = report["timings"]
    threads = sorted({t["threads"] for t in timings})
    names = list(dict.fromkeys(t["name"] for t in timings))
    titles = [f"{n} thread{'s' if n > 1 else ''}" for n in threads]
    facts = report["environment"]
    head = SPEED.format(
        cpu=facts["cpu"],
        load=f"{facts['load']:.1f}" if facts["load"] is not None else "unknown",
        rounds=report["facts"]["rounds"],
        columns="".join(f" {title}, ms | ratio |" for title in titles),
        rules="---|---|" * len(threads),
    )
    medians = {(t["name"], t["threads"]): t["median_ms"] for t in timings}
    lines = []
    for name in names:
        runtime, _, precision = name.partition(", ")
        cells = [runtime, precision]
        for count in threads:
            ratio = ratio_of(medians, name, count)
            cells += ["-", "-"] if ratio is None else [
                f"{medians[name, count]:.1f}", f"{ratio:.2f}"]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |\n")
    left_out = "".join(f"\nLeft out: {why}.\n" for why in report["wrong"].values())
    return head + "".join(lines) + left_out


def ratio_of(
    medians: Mapping[tuple[str, int], float],
    name: str,
    threads: int,
    to: str = "onnxruntime, fp32",
) -> float | None:
    """Time over that of another; None where either was not measured."""
    base, found = (medians.get((n, threads)) for n in (to, name))
    return None if base is None or found is None else found / base


def _profile(report: Mapping) -> str:
    profile: Mapping[str, Mapping[str, float]] = report["profile"]
    lines = []
    for name, spent in profile.items():
        top = ", ".join(f"{op} {ms:.1f}" for op, ms in list(spent.items())[:8])
        lines.append(f"| {name} | {sum(spent.values()):.1f} | {top} |\n")
    medians = {(t["name"], t["threads"]): t["median_ms"] for t in report["timings"]}
    threads = min(t["threads"] for t in report["timings"])
    ratio = ratio_of(medians, "onnxruntime, int8", threads)
    other = ratio_of(medians, "openvino, int8", threads, "openvino, fp32")
    said = ""
    if ratio is not None and ratio > 1 and "int8" in profile:
        spent = profile["int8"]
        said = SLOWER.format(
            ratio=ratio,
            around=sum(spent.get(op, 0) for op in ("QuantizeLinear", "DequantizeLinear")),
            total=sum(spent.values()),
            integer="" if any(op in spent for op in INTEGER) else NO_INTEGER,
        ).rstrip()
        said += "\n" if other is None else OPENVINO.format(ratio=other)
    return PROFILE + "".join(lines) + said
