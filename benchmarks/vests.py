"""Sleeveless tops that no training saw: held-out tops cut as the data engine cuts others."""

from pathlib import Path

import numpy as np

from pose_synth.build import shop_tops
from pose_synth.cuts import cut_garment, draw_cut

SCALE = 2.0  # of the garments' canvas: photos of 640x480


def vests(data: Path, count: int, seed: int, part: str = "test") -> list[np.ndarray]:
    """Photos (640, 480, 3) uint8 RGB of vests, tank tops, camisoles and the like.

    Args:
        data: folder with `clothing/train/`.
        count: how many; a garment comes twice only where there are fewer.
        seed: of the draw of garments and cuts.
        part: of the split.
    """
    tops = [top for top in shop_tops(data, part, scale=SCALE) if top.kind == "t-shirt"]
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(tops))
    chosen = (tops[order[k % len(order)]] for k in range(count))
    cut = (cut_garment(top, draw_cut(rng), rng) for top in chosen)
    return [np.ascontiguousarray(one.image[..., ::-1]) for one in cut]
