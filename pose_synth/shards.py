"""Shards: webdataset-style tar files of samples, reproducible from a seed, safe to interrupt.

Sample `i` depends on (seed, i) only, a shard is written to a temporary name and renamed, and
finished shards are skipped: a run that was killed goes on and ends with the same bytes.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from dmvton.errors import DataError
from dmvton.files import whole, write_text
from pose_synth.one_core import use_one_core
from pose_synth.products import Sample

FORMAT = 1
JPEG_QUALITY = 95
# Every filter tried in every row, as is usual, takes three times as long and saves nothing here.
PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # not in OpenCV before 4.12
    PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]


@dataclass(frozen=True)
class ShardPlan:
    """How many samples go where."""

    out: Path
    samples: int
    seed: int = 0
    shard_size: int = 250


def _encode(extension: str, image: np.ndarray, *flags: int) -> bytes:
    ok, data = cv2.imencode(extension, image, list(flags))
    if not ok:
        raise ValueError(f"can't encode a {image.dtype} picture of {image.shape} as {extension}")
    return data.tobytes()


def encode(sample: Sample) -> dict[str, bytes]:
    """Files of one sample by extension."""
    jpeg = (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY)
    # One PNG for the three maps on the person canvas, one 16-bit PNG for the flow (offset 32768).
    maps = np.dstack([sample.person_mask, sample.target_mask, sample.parsing])
    shifted = (sample.flow.astype(np.int32) + 32768).astype(np.uint16)
    flow = np.dstack([shifted, np.zeros_like(shifted[..., :1])])
    meta = {
        "kind": sample.kind,
        "person": sample.person_key,
        "garment": sample.garment_key,
        "keypoints": np.round(sample.keypoints, 2).tolist(),
    }
    return {
        "person.jpg": _encode(".jpg", sample.person, *jpeg),
        "target.jpg": _encode(".jpg", sample.target, *jpeg),
        "garment.jpg": _encode(".jpg", sample.garment, *jpeg),
        "maps.png": _encode(".png", maps, *PNG),
        "garment_mask.png": _encode(".png", sample.garment_mask, *PNG),
        "flow.png": _encode(".png", flow, *PNG),
        "json": json.dumps(meta, sort_keys=True).encode(),
    }


def _write_shard(path: Path, samples: list[tuple[str, dict[str, bytes]]]) -> str:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, files in samples:
            for extension, data in files.items():
                info = tarfile.TarInfo(f"{name}.{extension}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    data = buffer.getvalue()
    with whole(path) as partial:
        partial.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def _finished(path: Path, count: int) -> str | None:
    """Hash of a shard that holds `count` samples; None where it has to be drawn."""
    try:
        with tarfile.open(path) as tar:
            names = {member.name.partition(".")[0] for member in tar}
    except (FileNotFoundError, tarfile.TarError):
        return None
    return hashlib.sha256(path.read_bytes()).hexdigest() if len(names) == count else None


def _claim(plan: ShardPlan) -> None:
    """Keeps the shards of one folder from one seed: writes down the plan, or compares it."""
    path, wanted = plan.out / "plan.json", {"seed": plan.seed, "shard_size": plan.shard_size}
    found = json.loads(path.read_text()) if path.exists() else wanted
    if found != wanted:
        raise DataError(
            f"{plan.out} holds shards of {found}, asked for {wanted}; choose another folder or "
            "delete it"
        )
    write_text(path, json.dumps(wanted))


def write(plan: ShardPlan, draw: Callable[[np.random.Generator], Sample], note: dict) -> Path:
    """Writes all shards and `manifest.json`, on one thread.

    BLAS would start a thread a core for products of a few rows, so that processes beside each other
    would wait for one another.

    Args:
        plan: sizes, seed and folder.
        draw: makes one sample from a random generator.
        note: what else the manifest should say (recipe, versions, rejects).

    Returns:
        The manifest's path.

    Raises:
        DataError: the folder holds shards of another seed or size.
    """
    use_one_core()
    plan.out.mkdir(parents=True, exist_ok=True)
    _claim(plan)
    shards = []
    starts = range(0, plan.samples, plan.shard_size)
    with tqdm(total=plan.samples, unit="sample") as progress:
        for number, start in enumerate(starts):
            path = plan.out / f"shard-{number:05d}.tar"
            count = min(plan.shard_size, plan.samples - start)
            digest = _finished(path, count)
            if digest is None:
                samples = []
                for i in range(start, start + count):
                    sample = draw(np.random.default_rng([plan.seed, i]))
                    samples.append((f"{i:08d}", encode(sample)))
                    progress.update()
                digest = _write_shard(path, samples)
            else:
                progress.update(count)
            shards.append({"file": path.name, "samples": count, "sha256": digest})
    manifest = {"format": FORMAT, "seed": plan.seed, "samples": plan.samples}
    manifest |= {"shards": shards, **note}
    path = plan.out / "manifest.json"
    write_text(path, json.dumps(manifest, indent=1, sort_keys=True))
    return path
