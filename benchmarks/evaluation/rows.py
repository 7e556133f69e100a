"""What one contender got on one sample, and the figures of many."""

from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.evaluation.statistics import Figure, bootstrap

# Every measure: whether more is better.
BETTER_HIGH = {
    "ssim": True,
    "ssim_region": True,
    "ssim_outside": True,
    "psnr": True,
    "psnr_region": True,
    "psnr_outside": True,
    "perceptual": False,
    "perceptual_region": False,
    "perceptual_outside": False,
    "shine": False,
    "skin_psnr": True,
    "sleeve_psnr": True,
    "fid": False,
    "kid": False,
    "fid_inception": False,
    "kid_inception": False,
    "found": True,
    "kept_psnr": True,
    "kept_share": True,
    "oks": True,
    "leakage": False,
    "ghost": False,
    "garment_colour": False,
    "garment_match": False,
    "flicker": False,
    "epe": False,
    "iou": True,
}


class Row(NamedTuple):
    """Measures of one sample; NaN where one does not apply."""

    id: str
    person: str
    values: dict[str, float]


def figures(rows: Sequence[Row]) -> dict[str, Figure]:
    """Mean and interval of every measure that applies somewhere."""
    names = sorted({name for row in rows for name in row.values})
    out = {}
    for name in names:
        values = [row.values.get(name, float("nan")) for row in rows]
        if any(value == value for value in values):
            out[name] = bootstrap(values, [row.person for row in rows])
    return out
