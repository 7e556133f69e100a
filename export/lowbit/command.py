"""`dmvton export lowbit`: a packed pair, at one width or within a size."""

from pathlib import Path
from typing import Any

from dmvton.errors import UsageError
from dmvton.lowbit import pieces
from export.calibration import read_samples
from export.files import staged, write_json
from export.folder import PairFolder, read_pair
from export.lowbit import curve as curves
from export.lowbit.plan import CACHE, parse_size
from export.lowbit.work import Work
from export.quality import Judge, Runner


def lowbit(
    checkpoint: Path,
    out: Path,
    bits: int | None = None,
    budget: str | None = None,
    calibration: Path | None = None,
    evaluation: Path | None = None,
    samples: int = 32,
    held_out: int = 64,
    curve: bool = False,
) -> None:
    """Exports a pair with weights of 1 to 8 bits, packed, which the runtime reads directly.

    Args:
        checkpoint: folder of an exported fp32 pair (`dmvton export onnx`).
        out: folder for garment.lowbit, frame.lowbit, manifest.json and report.json.
        bits: the same width for all layers, 1 to 8.
        budget: size of the files instead, such as 2MB; every layer gets its own width.
        calibration: shards on whose pictures rounding errors are made up for, and layers compared.
        evaluation: other shards, on which the result is measured.
        samples: how many for calibration.
        held_out: how many for evaluation.
        curve: measure all widths from 8 to 2 bits too, uniform and mixed, and draw curve.svg.

    Raises:
        UsageError: an option has a value that is not allowed, or the budget is too small.
        CheckpointError: the checkpoint is no exported fp32 pair.
        DataError: there are no samples in the shards.
        OutputError: the folder cannot be written.
    """
    limit = _limit(bits, budget)
    if curve and not evaluation:
        raise UsageError("--curve without --evaluation, expected shards to measure on; name some")
    if out.resolve() == checkpoint.resolve():
        raise UsageError(f"--out is the checkpoint {out}; name another folder, it stays as it is")
    pair = _read_fp32(checkpoint)
    pictures = read_samples(calibration, pair.size, samples) if calibration else []
    judge = Judge(read_samples(evaluation, pair.size, held_out)) if evaluation else None
    with staged(out) as scratch:
        work = Work(pair, pictures, out / CACHE)
        if limit is None:
            plan, size = work.at_width(scratch, bits)
        else:
            plan, size = work.within(scratch, limit)
        report = {"bytes": size, "budget": limit, "mean_bits": round(work.mean_bits(plan), 3)}
        if judge:
            report["quality"] = _quality(scratch, judge, pair)
        if curve:
            report["curve"] = _curve(scratch, work, judge)
        write_json(scratch / "report.json", report | {"layers": work.layer_rows(plan)})
    print(f"{out}: {size / 1e6:.2f} MB, {report['mean_bits']:.2f} bits a weight with the scales")


def _limit(bits: int | None, budget: str | None) -> int | None:
    """The budget in bytes; None where all layers get the same width."""
    if (bits is None) == (budget is None):
        raise UsageError("expected either --bits 1 to 8 or --budget SIZE, such as --budget 2MB")
    if budget is not None:
        return parse_size(budget)
    pieces(bits)
    return None


def _read_fp32(checkpoint: Path) -> PairFolder:
    pair = read_pair(checkpoint)
    if pair.precision != "fp32":
        raise UsageError(
            f"{checkpoint}: a pair in {pair.precision}, expected fp32; "
            "export it with `dmvton export onnx --precision fp32`"
        )
    return pair


def _quality(folder: Path, judge: Judge, pair: PairFolder) -> dict[str, Any]:
    """Figures of fp32 and of the packed pair on the held-out samples."""
    exact = curves.shown(Runner(pair.models), judge)
    error, found = curves.measured(folder, judge, exact)
    level = judge.figures(exact)
    change = {k: v / getattr(level, k) - 1 for k, v in found._asdict().items()}
    print(" ".join(f"{name} {value:+.2%}" for name, value in change.items()), "against fp32")
    return {
        "samples": len(judge.samples),
        "fp32": level._asdict(),
        "packed": found._asdict(),
        "change": change,
        "rms_error": error,
    }


def _curve(folder: Path, work: Work, judge: Judge) -> list[dict[str, Any]]:
    """Measure and draw quality against size."""
    exact = curves.shown(Runner(work.pair.models), judge)
    level = judge.figures(exact)
    size = sum(len(model.SerializeToString()) for model in work.pair.models.values())
    print(curves.title())
    print(curves.row("fp32", size, 32.0, 0.0, level, level))
    found = []
    for point in curves.points(work, judge, exact):
        found.append(point)
        print(curves.row(f"{point.kind} {point.label}", *point[2:], level), flush=True)
    (folder / "curve.svg").write_text(curves.draw(found, level))
    return [curves.record(point) for point in found]
