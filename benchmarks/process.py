"""Cold start and peak memory, each from a process of its own.

A command is started by a small launcher rather than from here: on Linux the peak memory that the
kernel reports for a child is at least that of the process that forked it, and this one may hold
torch.
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.harness import CheckFailed, Unavailable

ROOT = (
    Path(__file__).resolve().parent.parent
)  # what a child needs on its path to import the packages
FIRST_FRAME = "first frame at"  # a child prints this and time.time() when its first frame is done

LAUNCHER = """
import json, resource, subprocess, sys, time
start = time.time()
child = subprocess.run(sys.argv[1:], capture_output=True, text=True)
end = time.time()
unit = 1 if sys.platform == "darwin" else 1024
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
print(json.dumps([start, end, peak, child.returncode, child.stdout, child.stderr[-2000:]]))
"""


@dataclass(frozen=True)
class Cold:
    """A command run from nothing."""

    name: str
    threads: int | None
    """Threads it was told to use; None for its own choice."""
    seconds: float
    """Median time from its start to its first frame, or to its end where it does not say."""
    peak_mb: float
    """Largest resident memory of all runs, in 10^6 bytes."""
    runs: int
    """Number of processes."""

    def report(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def cold(name: str, command: Sequence[str], *, threads: int | None = None, runs: int = 3) -> Cold:
    """Runs a command `runs` times, each in a new process.

    Args:
        name: For the report.
        command: Program and arguments.
        threads: For the report.
        runs: Number of processes, one after the other.

    Raises:
        Unavailable: This system has no `resource` module to read the peak memory with.
        CheckFailed: The command failed.
    """
    if importlib.util.find_spec("resource") is None:
        raise Unavailable("peak memory needs the resource module, which this system lacks")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    seconds, peaks = [], []
    for _ in range(runs):
        launcher = subprocess.run(
            [sys.executable, "-S", "-c", LAUNCHER, *command],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        start, end, peak, code, output, errors = json.loads(launcher.stdout)
        if code != 0:
            last = errors.strip().splitlines()[-1:] or ["no message"]
            raise CheckFailed(f"{name}: the process ended with {code}: {last[0]}")
        seconds.append(_first_frame(output, end) - start)
        peaks.append(peak / 1e6)
    return Cold(name, threads, float(np.median(seconds)), max(peaks), runs)


def _first_frame(output: str, end: float) -> float:
    """When the first frame was done, by the child's own word; `end` where it gives none."""
    for line in output.splitlines():
        if line.startswith(FIRST_FRAME):
            return float(line.removeprefix(FIRST_FRAME))
    return end
