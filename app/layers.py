"""The parts of a result, as pictures for people to look at."""

import numpy as np

from app.try_on import flow_picture
from dmvton.tryon import TryOnResult

DRESSED = "dressed"
LAYERS = {
    "garment": "Warped garment",
    "mask": "Garment mask",
    "weight": "Weight",
    "flow": "Flow",
}
VIEWS = (DRESSED, *LAYERS)  # what a stream may show


def layer_pictures(result: TryOnResult) -> dict[str, np.ndarray]:
    """Every layer by its name in ``LAYERS``: (h, w, 3) uint8 RGB of network size."""
    pictures = (
        result.warped,
        _grey(result.garment_mask),
        _grey(result.alpha),
        flow_picture(result.flow),
    )
    return dict(zip(LAYERS, pictures, strict=True))


def view_picture(result: TryOnResult, view: str) -> np.ndarray:
    """What a view of ``VIEWS`` shows: the result itself, or one of its layers."""
    return result.image if view == DRESSED else layer_pictures(result)[view]


def _grey(weights: np.ndarray) -> np.ndarray:
    """(h, w) in [0, 1] to (h, w, 3) uint8."""
    grey = np.rint(weights.clip(0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)
