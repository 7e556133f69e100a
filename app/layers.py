"""The parts of a result, as pictures for people to look at."""

import numpy as np

from app.try_on import flow_picture
from dmvton.tryon import TryOnResult

DRESSED = "Dressed"
VIEWS = (DRESSED, "Warped garment", "Garment mask", "Weight", "Flow")


def layer_pictures(result: TryOnResult) -> list[tuple[np.ndarray, str]]:
    """Every layer with its name: (h, w, 3) uint8 RGB of network size, in the order of ``VIEWS``."""
    pictures = (
        result.warped,
        _grey(result.garment_mask),
        _grey(result.alpha),
        flow_picture(result.flow),
    )
    return list(zip(pictures, VIEWS[1:], strict=True))


def view_picture(result: TryOnResult, view: str) -> np.ndarray:
    """What a view of ``VIEWS`` shows; an unknown one shows the result."""
    names = {name: picture for picture, name in layer_pictures(result)} if view != DRESSED else {}
    return names.get(view, result.image)


def _grey(weights: np.ndarray) -> np.ndarray:
    """(h, w) in [0, 1] to (h, w, 3) uint8."""
    grey = np.rint(weights.clip(0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)
