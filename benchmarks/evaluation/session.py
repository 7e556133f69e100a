"""One run: data, contenders, all parts, and the pictures to look at."""

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.evaluation import inception, paired, protocol, synthetic, unpaired, video, wild
from benchmarks.evaluation.checkpoint import Checkpoint
from benchmarks.evaluation.contenders import Contender, NoOp, Student, Student2023
from benchmarks.evaluation.features import DISTANCE, POOLED
from benchmarks.evaluation.inception import NAMED
from benchmarks.evaluation.options import FULL, EvalConfig, Size
from benchmarks.evaluation.overlay import Overlay
from benchmarks.evaluation.page import Strip
from benchmarks.evaluation.rows import BETTER_HIGH, Row, figures
from benchmarks.evaluation.statistics import Figure
from pose_synth.build import Banks, meshes

T = TypeVar("T")

NOTES = (
    f"perceptual: {DISTANCE}. FID (32 leading components) and KID: {POOLED}; they do not compare "
    "with figures of Inception features. Their reference is photos of other held-out persons: the "
    "no-op's is what two sets of real photos are apart.",
    "region: the old and the new garment; outside: more than 7 pixels from both, 256x192 crops.",
    "skin_psnr: arms that a shorter sleeve bares; sleeve_psnr: arms that a longer one covers.",
    "shine: share of the old garment's detail left where both garments lie, from a fit of the "
    "result by input and truth; 1 for the no-op, 0 for the truth.",
    "leakage and ghost: 1 for the no-op, 0 where nothing of the old garment is left. kept: outside "
    "of the region that a try-on may change; kept_share: pixels that differ by 2 levels at most.",
    "garment_colour (Delta E) and garment_match (trunk features): the result's chest, brought back "
    "onto the shop photo's by keypoints and outline.",
    "oks: between the packaged network's keypoints of input and result, in the same crop.",
    "flicker: grey levels between successive results, camera move undone; the no-op's is that of "
    "resampling.",
    "A teacher's checkpoint gets true parsing and keypoints, which no photo of a user has.",
    "epe: pixels of the 256x192 garment picture; iou: mean over the parsing's classes.",
    "Where a contender finds nobody, the photo itself counts as its result.",
    "Intervals: bootstrap over persons, 1000 rounds; for FID and KID a jackknife of 20 blocks.",
)
_NO_INCEPTION = "FID and KID with Inception features: not measured, no weights given (--inception)."


class Session:
    """Everything that one run shares."""

    def __init__(self, config: EvalConfig, size: Size):
        """Loads data and contenders.

        Raises:
            DataError: the data is missing or not that of the protocol.
        """
        self.config, self.size = config, size
        recording = protocol.load(config.protocol)
        self.judge = Student("judge", None, config.threads)
        self.contenders = _contenders(config, self.judge)
        self.banks = Banks(config.data, recording.part)
        self.shards: dict[str, Path] = {}  # by the name of the part that has synthetic truth
        self._draw(recording)
        self.inception = inception.load(config.inception) if config.inception else None
        self.rows: dict[str, dict[str, list[Row]]] = {}
        self.seconds: dict[str, float] = {}

    def _draw(self, recording: protocol.Recording) -> None:
        """Samples, cases and reference, recorded or compared with the protocol."""
        size, data = FULL if self.config.record else self.size, self.config.data
        self.folder = self._folder(f"{recording.name}-{recording.seed}-{size.paired}")
        self.shards["synthetic D"] = self.folder
        people = self._folder(f"rendered-{recording.seed}-{size.synthetic}")
        if self.config.record:  # what is recorded must come from this very code
            for folder in (self.folder, people):
                shutil.rmtree(folder, ignore_errors=True)
        cases = wild.cases(self.banks, data, recording.seed, size.persons)
        real = wild.reference(self.banks, size.reference)
        found = replace(
            recording,
            paired=protocol.prepare(recording, self.banks, self.folder, size.paired),
            rendered=self._rendered(people, size.synthetic, recording.seed),
            cases=[wild.listed(case) for case in cases],
            reference=[one.name for one in real],
        )
        if self.config.record:
            print(protocol.record(found, self.folder))
        else:
            protocol.check(recording, found)
        self.cases = cases[: self.size.persons]
        self.real = [one.crop for one in real[: self.size.reference]]

    def _rendered(self, folder: Path, count: int, seed: int) -> list[list[Any]]:
        """Rendered people, where the meshes are."""
        if not meshes(self.config.data).is_dir():
            return []
        self.shards["synthetic A"] = folder
        return synthetic.rendered(self.banks, self.config.data, folder, count, seed)

    def _folder(self, name: str) -> Path:
        """Where drawn samples are kept."""
        return self.config.cache / name

    def _timed(self, part: str, run: Callable[[], T]) -> T:
        """Runs a part, notes its seconds and says that it is done."""
        started = time.monotonic()
        result = run()
        self.seconds[part] = round(time.monotonic() - started, 1)
        print(f"{part}: {self.seconds[part]:.0f} s", file=sys.stderr)
        return result

    def measure(self) -> dict[str, Any]:
        """All parts; the rows stay for the choice of pictures."""
        pairs = protocol.pairs(self.folder, self.size.paired)
        clips = self.cases[: self.size.clips]
        them = self.contenders
        self.rows["paired"] = self._timed("paired", lambda: paired.run(them, pairs))
        tried = self._timed("unpaired", lambda: unpaired.run(them, self.cases, self.judge))
        self.rows["unpaired"] = tried.rows
        self.rows["video"] = self._timed("video", lambda: video.run(them, clips))
        parts = {
            part: {name: figures(rows) for name, rows in by_name.items()}
            for part, by_name in self.rows.items()
        }
        real, extract = self.real, self.inception
        apart = self._timed("fid", lambda: unpaired.all_distances(tried, real, extract))
        for name, found in apart.items():
            parts["unpaired"][name] |= found
        parts |= self._timed("synthetic", self._synthetic)
        return {
            "protocol": self.config.protocol,
            "quick": self.config.quick,
            "weights": self._named(),
            "part_seconds": self.seconds,
            "reference_photos": len(real),
            "banks": self.banks.summary(),
            "parts": _plain(parts),
            "notes": [*NOTES, NAMED if self.inception else _NO_INCEPTION],
        }

    def _named(self) -> str:
        student = next(c for c in self.contenders if c.name == "student")
        return student.engine.network.name

    def _synthetic(self) -> dict[str, dict[str, dict[str, Figure]]]:
        """Flow and parsing against exact truth, of every network."""
        count = self.size.synthetic
        networks = [c for c in self.contenders if isinstance(c, (Student, Checkpoint))]
        return {
            part: {c.name: figures(synthetic.run(c, folder, count)) for c in networks}
            for part, folder in self.shards.items()
        }

    def strips(self) -> list[Strip]:
        """The student's worst and median results, paired and unpaired."""
        out = []
        pairs = {p.id: p for p in protocol.pairs(self.folder, self.size.paired)}
        for rank, row in self._chosen("paired", "perceptual_region"):
            title = f"paired, {rank} perceptual_region {row.values['perceptual_region']:.3f}"
            out.append(Strip(f"{title}: {row.id}", paired.strip(pairs[row.id], self.contenders)))
        for measure in ("garment_match", "leakage"):
            for rank, row in self._chosen("unpaired", measure):
                number, which = map(int, row.id.split("-"))
                title = f"unpaired, {rank} {measure} {row.values[measure]:.3f}: {row.person}"
                pictures = unpaired.strip(self.cases[number], which, self.contenders)
                out.append(Strip(title, pictures))
        return out

    def _chosen(self, part: str, measure: str) -> list[tuple[str, Row]]:
        """The student's worst rows and those around the median, one a person."""
        sign = 1 if BETTER_HIGH[measure] else -1
        kept: dict[str, Row] = {}
        rows = [r for r in self.rows[part]["student"] if np.isfinite(r.values[measure])]
        for row in sorted(rows, key=lambda r: sign * r.values[measure]):
            kept.setdefault(row.person, row)
        ranked, n = list(kept.values()), self.size.shown
        middle = max(0, len(ranked) // 2 - n // 2)
        chosen = [("worst", r) for r in ranked[:n]]
        return chosen + [("median", r) for r in ranked[middle : middle + n] if r not in ranked[:n]]


def _contenders(config: EvalConfig, framer: Student) -> list[Contender]:
    """In the order of the report."""
    out: list[Contender] = [NoOp(), Overlay(), Student("student", config.weights, config.threads)]
    if config.other is not None:
        out.append(Student("other", config.other, config.threads))
    if config.student2023 is not None:
        out.append(Student2023(config.student2023))
    if config.checkpoint is not None:
        out.append(Checkpoint(config.network, config.checkpoint, framer))
    return out


def _plain(parts: dict) -> dict:
    """Figures as dictionaries of rounded numbers."""
    return {
        part: {
            name: {
                measure: {
                    k: round(v, 6) if isinstance(v, float) else v for k, v in f._asdict().items()
                }
                for measure, f in found.items()
            }
            for name, found in by_name.items()
        }
        for part, by_name in parts.items()
    }
