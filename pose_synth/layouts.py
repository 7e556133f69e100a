"""Folder layouts of public try-on datasets: VITON, VITON-HD, VITON-Clean, DressCode.

Nothing of these sets is shipped or needed; who has one may build shards from it. A layout says
where a file lies; `pose_synth.tryonset` reads and checks it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dmvton.parsing import Parsing

_P = Parsing
# Label values of the public parsers, in their own order.
LIP = (_P.BACKGROUND, _P.HEADWEAR, _P.HAIR, _P.ACCESSORY, _P.HEADWEAR, _P.UPPER, _P.DRESS, _P.OUTER,
       _P.SHOES, _P.LOWER, _P.DRESS, _P.ACCESSORY, _P.LOWER, _P.SKIN, _P.SKIN, _P.SKIN, _P.SKIN,
       _P.SKIN, _P.SHOES, _P.SHOES)  # fmt: skip
CIHP = (*LIP[:10], _P.SKIN, *LIP[11:])  # value 10 is the torso's skin and no jumpsuit
ATR = (_P.BACKGROUND, _P.HEADWEAR, _P.HAIR, _P.HEADWEAR, _P.UPPER, _P.LOWER, _P.LOWER, _P.DRESS,
       _P.ACCESSORY, _P.SHOES, _P.SHOES, _P.SKIN, _P.SKIN, _P.SKIN, _P.SKIN, _P.SKIN, _P.BAG,
       _P.ACCESSORY)  # fmt: skip
ACGPN = (_P.BACKGROUND, _P.HAIR, _P.BAG, _P.ACCESSORY, _P.UPPER, _P.SHOES, _P.SHOES, _P.UPPER,
         _P.LOWER, _P.SKIN, _P.SKIN, _P.SKIN, _P.SKIN, _P.SKIN)  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Where files lie under a root.

    `{part}` is train or test, `{p}` and `{c}` are the names of person and cloth without extension.
    Of several patterns the first that exists counts.
    """

    name: str
    marker: tuple[str, ...]
    """Folders by which the layout is known."""
    pairs: tuple[str, ...]
    person: tuple[str, ...]
    cloth: tuple[str, ...]
    mask: tuple[str, ...]
    labels: tuple[str, ...]
    keypoints: tuple[str, ...]
    table: tuple[Parsing, ...]
    """What each label value means here."""
    keypoint_size: tuple[int, int] | None = None
    """(width, height) that keypoints are given for; None: that of the photo."""

    def lookup(self) -> np.ndarray:
        """(number of values,) uint8 from label value to `Parsing`."""
        return np.array(self.table, np.uint8)


VITON_HD = Layout(
    "VITON-HD",
    ("{part}/image", "{part}/cloth", "{part}/openpose_json|{part}/openpose-json"),
    ("{part}_pairs.txt",),
    ("{part}/image/{p}.jpg",),
    ("{part}/cloth/{c}.jpg",),
    ("{part}/cloth-mask/{c}.jpg", "{part}/cloth-mask/{c}.png"),
    ("{part}/image-parse-v3/{p}.png", "{part}/image-parse/{p}.png"),
    ("{part}/openpose_json/{p}_keypoints.json", "{part}/openpose-json/{p}_keypoints.json"),
    CIHP,
)
VITON = Layout(
    "VITON",
    ("{part}/image", "{part}/cloth", "{part}/pose"),
    ("{part}_pairs.txt",),
    ("{part}/image/{p}.jpg",),
    ("{part}/cloth/{c}.jpg",),
    ("{part}/cloth-mask/{c}.jpg", "{part}/cloth-mask/{c}.png"),
    ("{part}/image-parse/{p}.png", "{part}/image-parse-new/{p}.png"),
    ("{part}/pose/{p}_keypoints.json",),
    LIP,
)
VITON_CLEAN = Layout(
    "VITON-Clean",
    ("{part}_img", "{part}_color", "{part}_edge"),
    ("{part}_pairs.txt",),
    ("{part}_img/{p}.jpg",),
    ("{part}_color/{c}.jpg",),
    ("{part}_edge/{c}.jpg", "{part}_edge/{c}.png"),
    ("{part}_label/{p}.png", "{part}_label/{p}.jpg"),
    ("{part}_pose/{p}.json", "{part}_pose/{p}_keypoints.json"),
    ACGPN,
)
DRESSCODE = Layout(
    "DressCode",
    ("upper_body/images", "upper_body/label_maps", "upper_body/keypoints"),
    ("upper_body/{part}_pairs.txt", "upper_body/{part}_pairs_paired.txt"),
    ("upper_body/images/{p}.jpg",),
    ("upper_body/images/{c}.jpg",),
    ("upper_body/edge/{c}.jpg", "upper_body/cloth_mask/{c}.png"),
    ("upper_body/label_maps/{p[:-2]}_4.png",),
    ("upper_body/keypoints/{p[:-2]}_2.json",),
    ATR,
    (384, 512),
)
LAYOUTS = (VITON_HD, VITON, VITON_CLEAN, DRESSCODE)


def candidates(patterns: tuple[str, ...], root: Path, part: str, **names: str) -> list[Path]:
    """All places where a file may lie."""
    stem = names.get("p", "")
    words = {k: v for k, v in names.items()}
    return [root / p.replace("{p[:-2]}", stem[:-2]).format(part=part, **words) for p in patterns]


def known(root: Path, part: str) -> Layout | None:
    """The layout of a folder, None where it is none of LAYOUTS."""
    for layout in LAYOUTS:
        if all(any((root / one.format(part=part)).is_dir() for one in m.split("|"))
               for m in layout.marker):  # fmt: skip
            return layout
    return None
