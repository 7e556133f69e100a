"""Paired: the input shows the person in another garment, the target is the untouched photo."""

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.evaluation.contenders import Cloth, Contender, Known
from benchmarks.evaluation.metrics import psnr, shine
from benchmarks.evaluation.protocol import Pair
from benchmarks.evaluation.regions import arms
from benchmarks.evaluation.rows import Row
from dmvton.crop import centre_crop
from dmvton.parsing import Parsing
from dmvton.shards import RawSample
from dmvton.similarity import ssim

_ROWS = 256  # height of the hips-up crop that the lengths below are said for
_FILL = 0.88  # of the garment photo's tighter side, as the runtime frames it
_MARGIN = 15  # pixels around the garments that belong to neither side
_LEAST = 200  # pixels of a garment region that can be measured
_LEAST_SLEEVE = 80  # pixels of arm that change between cloth and skin


class View(NamedTuple):
    """A sample as the contenders get it, in sizes of shards of scale 1."""

    person: np.ndarray  # (256, 192, 3) uint8
    target: np.ndarray  # (256, 192, 3) uint8
    cloth: Cloth
    points: np.ndarray  # (13, 3)
    old: np.ndarray  # (256, 192) bool, the input's garment
    new: np.ndarray  # (256, 192) bool, the target's
    parsing: np.ndarray  # (256, 192) uint8 of the target

    @property
    def known(self) -> Known:
        """What a contender may be told: the parsing is right outside of both garments."""
        return Known(self.points, self.old, self.parsing)

    @property
    def scale(self) -> float:
        """Of the shards; lengths in pixels go with it, areas with its square."""
        return len(self.person) / _ROWS


def view(pair: Pair) -> View:
    """The crop that the runtime would choose, and the garment on white."""
    raw, size = pair.raw, pair.raw.crop
    points = raw.keypoints.copy()
    points[:, 0] -= (raw.person.shape[1] - size[1]) // 2
    points[:, 1] -= (raw.person.shape[0] - size[0]) // 2
    maps = (centre_crop(m, size) for m in (raw.person_mask, raw.target_mask))
    old, new = (m > 127 for m in maps)
    person, target, parsing = (centre_crop(x, size) for x in (raw.person, raw.target, raw.parsing))
    return View(person, target, _cloth(raw, pair.id, size), points, old, new, parsing)


def _cloth(raw: RawSample, key: str, shape: tuple[int, int]) -> Cloth:
    """The garment on white, framed as the runtime frames it."""
    x, y, w, h = cv2.boundingRect((raw.garment_mask > 127).astype(np.uint8))
    zoom = _FILL * min(shape[1] / w, shape[0] / h)
    shift = np.array([shape[1], shape[0]]) / 2 - zoom * np.array([x + w / 2, y + h / 2])
    matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
    size = shape[::-1]
    mask = cv2.warpAffine(raw.garment_mask, matrix, size)[..., None] / 255.0
    image = cv2.warpAffine(raw.garment, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    rgb = np.round(image * mask + 255 * (1 - mask)).astype(np.uint8)
    return Cloth(rgb, mask[..., 0] > 0.5, key)


def usable(seen: View) -> bool:
    """Whether there is a garment region to measure."""
    return int((seen.old | seen.new).sum()) >= _LEAST * seen.scale**2


def measure(result: np.ndarray, seen: View) -> dict[str, float]:
    """All paired figures of one result (H, W, 3) uint8."""
    from benchmarks.evaluation.features import perceptual

    region = seen.old | seen.new
    margin, area = round(_MARGIN * seen.scale), seen.scale**2
    outside = cv2.dilate(region.astype(np.uint8), np.ones((margin, margin), np.uint8)) == 0
    out = {}
    maps = {"ssim": ssim(result, seen.target, 255), "perceptual": perceptual(result, seen.target)}
    for name, values in maps.items():
        out[name] = float(values.mean())
        out[f"{name}_region"] = float(values[region].mean())
        out[f"{name}_outside"] = float(values[outside].mean()) if outside.any() else float("nan")
    out["psnr"] = psnr(result, seen.target)
    out["psnr_region"] = psnr(result, seen.target, region)
    out["psnr_outside"] = _psnr(result, seen.target, outside, 1)
    both = seen.old & seen.new
    out["shine"] = float("nan")
    if both.sum() >= _LEAST * area:
        out["shine"] = shine(result, seen.person, seen.target, both)
    bared, covered = sleeves(seen)
    out["skin_psnr"] = _psnr(result, seen.target, bared, _LEAST_SLEEVE * area)
    out["sleeve_psnr"] = _psnr(result, seen.target, covered, _LEAST_SLEEVE * area)
    return out


def sleeves(seen: View) -> tuple[np.ndarray, np.ndarray]:
    """Where arms must be bared and where they must be covered: two masks (H, W) bool."""
    arm = arms(seen.points, seen.old.shape)
    bared = arm & seen.old & ~seen.new & (seen.parsing == Parsing.SKIN)
    return bared, arm & seen.new & ~seen.old


def _psnr(result: np.ndarray, target: np.ndarray, where: np.ndarray, least: float) -> float:
    return psnr(result, target, where) if where.sum() >= least else float("nan")


def run(contenders: list[Contender], samples: Iterable[Pair]) -> dict[str, list[Row]]:
    """Rows of every contender."""
    rows: dict[str, list[Row]] = {c.name: [] for c in contenders}
    for pair in samples:
        seen = view(pair)
        if not usable(seen):
            continue
        for contender in contenders:
            result = contender.crop(seen.person, seen.cloth, seen.known)
            rows[contender.name].append(Row(pair.id, pair.person, measure(result, seen)))
    return rows


def strip(pair: Pair, contenders: list[Contender]) -> list[tuple[str, np.ndarray]]:
    """Pictures of one sample for the report, with captions."""
    seen = view(pair)
    out = [("input", seen.person), ("garment", seen.cloth.rgb), ("target", seen.target)]
    out += [(c.name, c.crop(seen.person, seen.cloth, seen.known)) for c in contenders]
    return out
