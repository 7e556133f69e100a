"""Outlines of garments in their photos: found by GrabCut, kept in a bank, some rejected by eye."""

from pathlib import Path

import cv2
import numpy as np

from dmvton.files import whole

OUTLINES = Path(__file__).parent / "banks" / "garment_outlines.npz"
REJECTS = Path(__file__).parent / "banks" / "garment_rejects.txt"


def grabcut_mask(image: np.ndarray, working_height: int = 240) -> np.ndarray:
    """Garment mask (H, W) bool of a flat-lay photo (H, W, 3) BGR: GrabCut from a centre prior."""
    scale = working_height / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    small = cv2.bilateralFilter(small, 5, 30, 5)
    h, w = small.shape[:2]
    trimap = np.full((h, w), cv2.GC_PR_BGD, np.uint8)
    trimap[int(0.08 * h) : int(0.95 * h), int(0.06 * w) : int(0.94 * w)] = cv2.GC_PR_FGD
    border = max(2, int(0.03 * min(h, w)))
    trimap[:border] = trimap[:, :border] = trimap[:, -border:] = cv2.GC_BGD
    trimap[-max(1, border // 3) :] = cv2.GC_BGD
    trimap[int(0.35 * h) : int(0.6 * h), int(0.42 * w) : int(0.58 * w)] = cv2.GC_FGD
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(small, trimap, None, *models, 5, cv2.GC_INIT_WITH_MASK)
    mask = np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    outline = largest_contour(mask)
    filled = np.zeros_like(mask)
    if outline is not None:
        cv2.drawContours(filled, [outline], -1, 1, -1)
    size = (image.shape[1], image.shape[0])
    return cv2.resize(filled.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) > 0.5


def largest_contour(mask: np.ndarray) -> np.ndarray | None:
    """Contour (n, 1, 2) of the largest part of a mask (H, W) uint8; None where it is empty."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return max(contours, key=cv2.contourArea) if contours else None


def mask_outline(mask: np.ndarray) -> np.ndarray:
    """Outline (n, 2) int16 of the largest part of a mask; empty where the mask is."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return np.zeros((0, 2), np.int16)
    largest = max(contours, key=cv2.contourArea)
    return cv2.approxPolyDP(largest, 0.7, True)[:, 0].astype(np.int16)


def save_outlines(path: Path, outlines: dict[str, np.ndarray]) -> None:
    """Writes outlines (n, 2) int16 by key: masks that were found once need not be found again."""
    keys = sorted(outlines)
    with whole(path) as partial:
        np.savez_compressed(
            partial,
            keys=np.array(keys),
            lengths=np.array([len(outlines[k]) for k in keys], np.int32),
            points=np.concatenate([outlines[k] for k in keys]).astype(np.int16),
        )


def load_outlines(path: Path = OUTLINES) -> dict[str, np.ndarray]:
    """Outlines by key; empty where none were saved."""
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as data:
        parts = np.split(data["points"], np.cumsum(data["lengths"])[:-1])
        return {str(k): p for k, p in zip(data["keys"], parts, strict=True)}


def load_rejects(path: Path = REJECTS) -> dict[str, str]:
    """Reason by key of the garments that an eye has rejected; lines of `key reason`."""
    if not path.exists():
        return {}
    lines = (line.partition(" ") for line in path.read_text("utf-8").splitlines() if line)
    return {key: reason for key, _, reason in lines}
