"""`dmvton eval`: quality on held-out people and garments, one report for all contenders.

    dmvton eval --data DATA [--protocol NAME] [--weights DIR] [--out FILE.json] [--quick true]

DATA holds `ccp/` and `clothing/train/`. Needs the extras `train` and `synth`.
"""

import importlib.util
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.evaluation.options import FULL, QUICK, EvalConfig
from dmvton.errors import MissingExtraError, UsageError
from dmvton.files import cannot_write, write_text

_NEEDED = ("torch", "safetensors", "scipy", "numba")


def check(config: EvalConfig) -> None:
    """Refuses before anything is drawn.

    Raises:
        UsageError: options that exclude each other.
        MissingExtraError: a package that the base install leaves out is needed.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            f"'dmvton eval' needs {', '.join(missing)}; run: pip install \"dmvton[train,synth]\""
        )
    if config.gate and config.write_baseline:
        raise UsageError("--gate compares with the baseline that --write_baseline replaces")
    if config.network not in ("student", "teacher"):
        raise UsageError(f"got --network {config.network}, expected student or teacher")


def evaluate(config: EvalConfig) -> dict[str, Any]:
    """Measures, writes JSON and HTML, and holds the gate.

    Raises:
        DataError: data is missing, or is not what the protocol names.
        GateError: with `gate`, a figure is worse than the baseline.
    """
    check(config)
    import cv2
    import torch

    from benchmarks.evaluation.gate import compare, write_baseline
    from benchmarks.evaluation.page import page
    from benchmarks.evaluation.session import Session

    cv2.setNumThreads(1)
    torch.set_num_threads(config.threads)
    started = time.monotonic()
    session = Session(config, QUICK if config.quick else FULL)
    report = session.measure()
    report["seconds"] = round(time.monotonic() - started, 1)
    _write(config.out, json.dumps(report, indent=1) + "\n")
    _write(config.out.with_suffix(".html"), page(report, session.strips()))
    print(table(report))
    print(f"{config.out} and {config.out.with_suffix('.html')}: {report['seconds']:.0f} s")
    if config.write_baseline:
        write_baseline(config.baseline, report, "student")
    if config.gate:
        compare(report, config.baseline, "student")
    return report


def table(report: dict[str, Any]) -> str:
    """The figures as text."""
    lines = []
    for part, contenders in report["parts"].items():
        lines.append(f"[{part}]")
        for name, figures in contenders.items():
            for measure, f in figures.items():
                lines.append(
                    f"  {name:14}{measure:20}{f['value']:10.4f}  [{f['low']:.4f}, {f['high']:.4f}]"
                    f"  N={f['n']} persons={f['groups']}"
                )
    return "\n".join(lines)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error, "choose another --out") from error
    write_text(path, text, "choose another --out")


def main(argv: list[str] | None = None) -> None:
    """Parses the options and evaluates."""
    from jsonargparse import ArgumentParser, set_parsing_settings

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(prog="dmvton eval", description="Measure quality on held-out data.")
    parser.add_class_arguments(EvalConfig)
    args = parser.instantiate_classes(parser.parse_args(argv))
    evaluate(EvalConfig(**args.as_dict()))


if __name__ == "__main__":
    main()
