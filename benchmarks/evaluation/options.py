"""Options of `dmvton eval`."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.evaluation.protocol import FOLDER


@dataclass(frozen=True)
class EvalConfig:
    """What to measure, on what, and where the report goes."""

    data: Path = Path("data")
    """Folder with `ccp/` and `clothing/train/`; with `makehuman/base/`, rendered people too."""
    protocol: str = "heldout"
    """Name of a file in benchmarks/protocols."""
    weights: Path | None = None
    """Folder of the student's exported graphs; the packaged ones if not given."""
    out: Path = Path("reports/eval.json")
    """File for all figures; the HTML report lies beside it under the same name. The report shows
    real people: do not publish it."""
    cache: Path = Path("reports/eval-cache")
    """Folder that keeps the drawn samples."""
    quick: bool = False
    """Fewer samples, about two minutes on one core."""
    other: Path | None = None
    """Another folder of exported graphs, as a contender named `other`."""
    student2023: Path | None = None
    """Checkpoint folder of the rebuilt 2023 student, as a contender."""
    checkpoint: Path | None = None
    """Checkpoint folder (config.json, model.safetensors) as a contender."""
    network: str = "student"
    """Which network the checkpoint is of: student or teacher."""
    inception: Path | None = None
    """torch-fidelity's Inception weights (weights-inception-2015-12-05-6726825d.pth), for FID and
    KID with these features too."""
    threads: int = 1
    """Of the networks."""
    gate: bool = False
    """Compare the student with the baseline and fail where it is worse."""
    write_baseline: bool = False
    """Take this run's student as the baseline of the gate."""
    baseline: Path = FOLDER / "baseline.json"
    """The gate's figures."""
    record: bool = False
    """Write what the protocol says of its samples anew from what is drawn here."""


@dataclass(frozen=True)
class Size:
    """How much of a protocol is run."""

    paired: int
    persons: int
    reference: int
    clips: int
    synthetic: int
    shown: int


FULL = Size(paired=300, persons=89, reference=180, clips=20, synthetic=100, shown=6)
QUICK = Size(paired=50, persons=20, reference=60, clips=4, synthetic=50, shown=3)
