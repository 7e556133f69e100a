"""The garment before a plain wall, as shop photos show it: what is not wall is garment.

The network's mask has holes in prints and loses straps, half of a grey cardigan or a black hem.
Before a plain wall it need not be believed: the wall is what leads inwards from the border of the
photo without an edge. But for loops of straps it only adds to the mask, as a white shirt before a
white wall has no edge.
"""

import cv2
import numpy as np

from dmvton.strays import colour_numbers

STEP = 4
"""Largest difference between neighbours on a wall, in levels of each channel: it may be lit from
one side and take up soft shadows."""
FAR = 32
"""Largest difference of a wall from the border's colour."""
RIM = 0.75
"""Share of the photo's rim from which on the wall is plain; garments may touch the rim."""
KNOWN = 0.25
"""Least share of a thing before the wall that the network takes for garment."""
ALIKE = 0.6
"""Least share of a missing piece in colours of the garment: a hanger has others."""
OWN = 1 / 200
"""Least share of the garment in a colour that is one of its own."""
SAME = 8
"""Largest difference from the border's colour of wall in the loop of a strap."""
LEAK = 0.15
"""Share of the garment in the wall's colour from which on its loops are not looked for."""

_BITS = 3  # kept of each channel where colours are counted
_KERNEL, _POCKET, _LOOP = (np.ones((side, side), np.uint8) for side in (3, 5, 13))


def before_wall(photo: np.ndarray, mask: np.ndarray, border: np.ndarray) -> np.ndarray:
    """The mask of a garment, completed where the photo shows it before a plain wall.

    Args:
        photo: (h, w, 3) uint8, the garment photo at network size, without a letterbox's bars.
        mask: (h, w) float32 in [0, 1], the network's.
        border: (3,) uint8, the colour of the photo's border.

    Returns:
        (h, w) float32, less than the mask in loops of straps alone; the mask itself where the wall
        is not plain.
    """
    wall, known = _wall(photo, border), mask > 0.5
    rim = np.ones_like(known)
    rim[1:-1, 1:-1] = False
    if wall[rim].mean() < RIM or not known.any():
        return mask
    things = (~wall).astype(np.uint8)
    narrow = (things > 0) & (cv2.morphologyEx(things, cv2.MORPH_OPEN, _KERNEL) == 0)
    # The rim is a mixture with the wall, but of a strap there is little else.
    things = (cv2.erode(things, _KERNEL) > 0) | narrow
    _, label = cv2.connectedComponents(things.astype(np.uint8))
    size = np.bincount(label.ravel())
    taken = np.bincount(label[known], minlength=size.size) > KNOWN * size
    taken[0] = False
    missing = taken[label] & ~known
    cloth, rest, paint = _histograms(photo, known, wall)
    # Wall that a sleeve shuts in is no print.
    pocket = cv2.morphologyEx((missing & (paint > cloth)).astype(np.uint8), cv2.MORPH_OPEN, _POCKET)
    missing &= cv2.dilate(pocket, _KERNEL) == 0
    count, piece = cv2.connectedComponents(missing.astype(np.uint8))
    size, alike, foreign = (
        np.bincount(piece[where], minlength=count)
        for where in (np.ones_like(known), (cloth >= OWN) & (cloth >= rest), rest > cloth)
    )
    open_ = np.unique(piece[cv2.dilate((~known & ~missing).astype(np.uint8), _KERNEL) > 0])
    accepted = (alike > ALIKE * size) | ~np.isin(np.arange(count), open_)
    accepted &= foreign < 0.5 * size
    accepted[0] = accepted[np.unique(piece[rim])] = False
    sure = accepted[piece] | (taken[label] & known)
    whole = np.maximum(mask, sure.astype(np.float32))
    same = _near(photo, border, SAME)
    if (known & same).sum() < LEAK * known.sum():
        whole[_loops(same & ~wall, wall)] = 0
    return whole


def _near(photo: np.ndarray, border: np.ndarray, levels: int) -> np.ndarray:
    """(h, w) bool: at most so many levels of each channel from the border's colour."""
    return np.abs(photo.astype(np.int16) - border.astype(np.int16)).max(2) <= levels


def _loops(shut_in: np.ndarray, wall: np.ndarray) -> np.ndarray:
    """Pixels in the wall's colour that something close to the wall shuts in, as a strap does."""
    beside = cv2.dilate(wall.astype(np.uint8), _LOOP) > 0
    count, part = cv2.connectedComponents(shut_in.astype(np.uint8))
    loop = np.bincount(part[~beside], minlength=count) == 0
    loop[0] = False
    return loop[part]


def _wall(photo: np.ndarray, border: np.ndarray) -> np.ndarray:
    """(h, w) bool: what leads inwards from the border in small steps of colour."""
    colour = [int(level) for level in border]
    framed = cv2.copyMakeBorder(photo, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=colour)
    # OpenCV fills no pixel that this has, which is one pixel wider than what it fills.
    filled = np.zeros((framed.shape[0] + 2, framed.shape[1] + 2), np.uint8)
    filled[2:-2, 2:-2] = ~_near(photo, border, FAR)
    step, way = (STEP,) * 3, 4 | cv2.FLOODFILL_MASK_ONLY | 2 << 8
    cv2.floodFill(framed, filled, (0, 0), 0, step, step, way)
    return filled[2:-2, 2:-2] == 2


def _histograms(photo: np.ndarray, known: np.ndarray, wall: np.ndarray) -> list[np.ndarray]:
    """How large a share of the garment, of what is away from it and of the wall has each colour.

    Three of (h, w), for the colour of each pixel.
    """
    colour = colour_numbers(photo, _BITS)
    away = cv2.dilate(known.astype(np.uint8), _KERNEL) == 0
    return [
        (np.bincount(colour[area], minlength=1 << 3 * _BITS) / max(1, area.sum()))[colour]
        for area in (known, away, wall)
    ]
