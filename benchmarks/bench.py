"""The command `dmvton bench`: student, rebuilt 2023 student and whole call, side by side."""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from benchmarks.contenders import Sources, contenders
from benchmarks.harness import Contender, Plan, Timing, Unavailable, measure, ready
from benchmarks.options import BenchConfig, configuration
from benchmarks.process import Cold, cold
from benchmarks.report import cold_table, environment, header, timing_table
from dmvton.errors import UsageError
from dmvton.files import write_text


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints the tables and writes the JSON file; returns the exit status.

    Raises:
        UsageError: An option has a value that is not allowed.
        CheckFailed: A contender gives a wrong result.
        OutputError: The JSON file cannot be written.
    """
    config = configuration(sys.argv[1:] if argv is None else argv)
    facts = environment()
    print(header(facts))
    timings = time_all(
        chosen(config), config.threads, Plan(config.rounds, config.warmup), tqdm.write
    )
    if not timings:
        raise Unavailable("none of the contenders can run here; what is missing stands above")
    baseline = compared_with(config, [t.name for t in timings])
    print("", timing_table(timings, baseline), sep="\n")
    colds = cold_starts(config, [t.name for t in timings], config.threads[0])
    if colds:
        print("", cold_table(colds), sep="\n")
    report = {
        "environment": facts,
        "config": asdict(config),
        "baseline": baseline,
        "timings": [t.report() for t in timings],
        "cold": [c.report() for c in colds],
    }
    write(config.out, report)
    print(f"\nwritten: {config.out}")
    return 0


def sources(config: BenchConfig) -> Sources:
    """What the contenders read."""
    return Sources(config.person, config.garment, config.weights, config.cache)


def chosen(config: BenchConfig) -> list[Contender]:
    """The contenders that `--only` names.

    Raises:
        UsageError: It names one that does not exist.
    """
    known = contenders(sources(config))
    if not config.only:
        return known
    if unknown := set(config.only) - {c.name for c in known}:
        names = ", ".join(c.name for c in known)
        raise UsageError(f"--only: no contender {', '.join(sorted(unknown))}; there are {names}")
    return [c for c in known if c.name in config.only]


def time_all(
    able: Sequence[Contender], counts: Sequence[int], plan: Plan, say: Callable[[str], None]
) -> list[Timing]:
    """Checks and times the contenders, once for each number of threads."""
    timings: list[Timing] = []
    for threads in counts:
        # What cannot run with one number of threads cannot with another: told once.
        able = ready(able, threads, say)
        if not able:
            break
        total = len(able) * (plan.rounds + plan.warmup)
        with tqdm(total=total, desc=f"{threads} threads", leave=False) as bar:
            timings += measure(able, threads, plan, tick=bar.update)
    return timings


def compared_with(config: BenchConfig, names: Sequence[str]) -> str:
    """The baseline, or the first contender where the default one was not timed.

    Raises:
        UsageError: A baseline was asked for that was not timed.
    """
    if config.baseline in names:
        return config.baseline
    if config.baseline != BenchConfig.baseline:
        raise UsageError(
            f"--baseline {config.baseline}: not among those timed ({', '.join(names)})"
        )
    print(f"{config.baseline} was not timed: compared with {names[0]} instead")
    return names[0]


def cold_starts(config: BenchConfig, names: Sequence[str], threads: int) -> list[Cold]:
    """Each contender's first frame in a new process, and the command `dmvton try` as a whole."""
    if config.processes == 0:
        return []
    probe = [sys.executable, "-m", "benchmarks.probe"]
    read = json.dumps(sources(config)._asdict(), default=str)
    jobs: list[tuple[str, int | None, list[str]]] = [
        (name, threads, [*probe, name, str(threads), read]) for name in dict.fromkeys(names)
    ]
    with tempfile.TemporaryDirectory() as folder:
        if "tryon" in names:
            pictures = [str(config.person), str(config.garment)]
            command = [sys.executable, "-m", "app.cli", "try", *pictures]
            command += ["-o", f"{folder}/out.png", "--weights", str(config.weights)]
            jobs.append(("dmvton try", None, command))
        return [
            cold(name, command, threads=told, runs=config.processes)
            for name, told, command in tqdm(jobs, desc="cold start", leave=False)
        ]


def write(path: Path, report: Mapping[str, object]) -> None:
    """Writes JSON whole or not at all.

    Raises:
        OutputError: The file cannot be written.
    """
    write_text(path, json.dumps(report, indent=1, default=str) + "\n", "pass another --out")


if __name__ == "__main__":
    sys.exit(main())
