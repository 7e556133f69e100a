"""Background that a garment's mask covers.

A sleeve that hangs beside the torso leaves a slit of background a few pixels wide. The network's
mask runs across it, and so the slit would be worn as a stripe of table or bed sheet. Elsewhere the
mask takes in a patch of carpet.
"""

import cv2
import numpy as np

RARE = 8
"""A colour is the background's where it is so many times as frequent there as in the garment."""
REACH = 1 / 16
"""Widest slit, as a share of the picture's width."""
PATCH = 5
"""Smallest patch that lies beside the garment, in pixels."""

_BITS = 4  # kept of each channel
_BINS = 1 << _BITS


def strays(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Where a garment's mask covers background.

    That is, pixels of a colour that the garment hardly has and the background has, from which such
    pixels lead outside: a print is shut in by the cloth. They have cloth close by on the left and
    on the right, or are a patch: a cuff or a hem has nothing beside it, and is narrow.

    Args:
        picture: (h, w, 3) uint8, the garment photo at network size.
        mask: (h, w) float32 in [0, 1].

    Returns:
        (h, w) bool, with the pixel around them that is a mixture.
    """
    garment = mask > 0.5
    kernel = np.ones((3, 3), np.uint8)
    away = cv2.dilate(garment.astype(np.uint8), kernel) == 0
    empty = np.zeros_like(garment)
    if not garment.any() or not away.any():
        return empty
    colour = colour_numbers(picture, _BITS)
    here, there = (_histogram(colour[area]) for area in (garment, away))
    foreign = RARE * here * int(away.sum()) < there * int(garment.sum())
    found = foreign[colour] & garment
    patch = np.ones((PATCH, PATCH), np.uint8)
    patches = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, patch) > 0
    found &= _between(garment & ~found, round(REACH * mask.shape[1])) | patches
    _, parts = cv2.connectedComponents((found | ~garment).astype(np.uint8), connectivity=8)
    found &= np.isin(parts, np.unique(parts[~garment]))
    return (cv2.dilate(found.astype(np.uint8), kernel) > 0) & garment


def colour_numbers(picture: np.ndarray, bits: int) -> np.ndarray:
    """(h, w, 3) uint8 to (h, w) int64: the highest bits of the three channels as one number."""
    r, g, b = np.moveaxis(picture.astype(np.int64) >> (8 - bits), 2, 0)
    return (((r << bits) | g) << bits) | b


def _histogram(colours: np.ndarray) -> np.ndarray:
    """Counts of the colours and of their neighbours, (bins ** 3,) int64."""
    counts = np.bincount(colours, minlength=_BINS**3).reshape(_BINS, _BINS, _BINS)
    for axis in range(3):
        wide = np.pad(counts, [(1, 1) if a == axis else (0, 0) for a in range(3)])
        counts = np.sum([np.take(wide, range(k, k + _BINS), axis) for k in range(3)], axis=0)
    return counts.ravel()


def _between(cloth: np.ndarray, reach: int) -> np.ndarray:
    """Pixels (h, w) bool on a stretch of at most `reach` pixels between cloth left and right."""
    far = 2 * cloth.shape[1]
    column = np.arange(cloth.shape[1])
    left = np.maximum.accumulate(np.where(cloth, column, -far), axis=1)
    right = np.minimum.accumulate(np.where(cloth, column, far)[:, ::-1], axis=1)[:, ::-1]
    return right - left <= reach + 1
