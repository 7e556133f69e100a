"""The gate: measured figures against those of the released weights."""

import json
from pathlib import Path
from typing import Any

from benchmarks.evaluation.rows import BETTER_HIGH
from dmvton.errors import DataError, DmvtonError
from dmvton.files import write_text

_LEAST_TOLERANCE = 0.02  # of a figure's size


class GateError(DmvtonError):
    """A figure is worse than the baseline allows."""


def baseline_of(report: dict[str, Any], contender: str) -> dict[str, Any]:
    """What a report says of one contender, with tolerances.

    A figure may be worse by half the width of its interval or by 2% of itself, whichever is more.
    """
    figures = {}
    for part, contenders in report["parts"].items():
        for name, figure in contenders.get(contender, {}).items():
            width = (figure["high"] - figure["low"]) / 2
            tolerance = max(width, _LEAST_TOLERANCE * abs(figure["value"]))
            entry = {"value": figure["value"], "tolerance": round(tolerance, 6), "n": figure["n"]}
            figures[f"{part}/{name}"] = entry
    return {"protocol": report["protocol"], "quick": report["quick"], "figures": figures}


def write_baseline(path: Path, report: dict[str, Any], contender: str) -> None:
    """Writes the baseline anew; that of the other size (quick or full) stays."""
    known = json.loads(path.read_text()) if path.is_file() else {}
    known[_size(report)] = baseline_of(report, contender)
    write_text(path, json.dumps(known, indent=1, sort_keys=True) + "\n")


def compare(report: dict[str, Any], path: Path, contender: str) -> None:
    """Compares a contender with the baseline.

    Raises:
        GateError: one or more figures are worse than allowed; the message names them.
        DataError: there is no baseline for this protocol and size, or a figure is missing.
    """
    try:
        baseline = json.loads(path.read_text())[_size(report)]
        wanted, protocol = baseline["figures"], baseline["protocol"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{path} holds no baseline of a {_size(report)} run ({type(error).__name__}: {error}); "
            "write it with --write_baseline true"
        ) from error
    if protocol != report["protocol"]:
        raise DataError(
            f"{path} is of protocol {protocol}, the report of {report['protocol']}; "
            "write the baseline anew with --write_baseline true"
        )
    worse = []
    for key, entry in wanted.items():
        part, name = key.split("/")
        figure = report["parts"].get(part, {}).get(contender, {}).get(name)
        if figure is None:
            raise DataError(f"the baseline has {key}, this run does not; run with the same parts")
        loss = entry["value"] - figure["value"]
        loss = loss if BETTER_HIGH[name] else -loss
        if not loss <= entry["tolerance"]:
            worse.append(
                f"{key} is {figure['value']:.4g}, baseline {entry['value']:.4g} "
                f"(tolerance {entry['tolerance']:.3g})"
            )
    if worse:
        raise GateError(f"worse than the baseline: {'; '.join(worse)}")


def _size(report: dict[str, Any]) -> str:
    return "quick" if report["quick"] else "full"
