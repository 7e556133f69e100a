"""Following one person through a video, in two steps that may overlap from frame to frame."""

import numpy as np

from app.engine.steady import Steady
from dmvton.garment import Garment
from dmvton.locate import View
from dmvton.tryon import Stream, TryOn


class Follower(Stream):
    """A ``Stream`` that keeps still what stands still, to be looked at and drawn by turns.

    While one frame is drawn (``dmvton.tryon.dress``), the next can be looked at by another worker.
    """

    def __init__(self, engine: TryOn, garment: Garment):
        """Start without a person."""
        super().__init__(engine, garment)
        self._steady = Steady()

    def look(self, rgb: np.ndarray) -> View | None:
        """Find the person in the next frame.

        Args:
            rgb: (H, W, 3) uint8; a change of size starts afresh.

        Returns:
            What ``dmvton.tryon.dress`` draws, or None while nobody is in view.
        """
        view = super().look(rgb)
        return None if view is None else self._steady(rgb, view, self.garment)

    def _searched(self, rgb: np.ndarray) -> View | None:
        self._steady.reset()
        return super()._searched(rgb)
