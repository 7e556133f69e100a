"""Find the person: the network's own keypoints move the crop until it sits hips-up on the torso."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dmvton.crop import TORSO, Box, letterbox, movement, sample, search_boxes, torso_box
from dmvton.errors import NoPersonError
from dmvton.garment import Garment
from dmvton.runtime import Layers, NetworkPair, to_tensor


@dataclass(frozen=True)
class PersonRule:
    """When a crop counts as showing a person, and how long the crop is refined."""

    presence: float = 0.5
    """Least probability of a person with a visible torso, in the final crop."""
    torso_visibility: float = 0.3
    """Least mean visibility of shoulders and hips, in the final crop."""
    hint: float = 0.2
    """Least probability in a first look that is worth a closer one."""
    sure: float = 0.8
    """From here on the first look at the whole picture needs no comparison with its parts."""
    refinements: int = 2
    """Most looks at refined crops, after the first look."""
    settled: float = 0.06
    """A crop that would move less than this, in heights, is final."""


RULE = PersonRule()


class View(NamedTuple):
    """One look at a part of the frame."""

    box: Box
    layers: Layers
    keypoints: np.ndarray  # (13, 3) x and y in frame pixels, visibility in [0, 1]

    @property
    def torso_visibility(self) -> float:
        """Mean visibility of shoulders and hips, in [0, 1]."""
        return float(self.keypoints[list(TORSO), 2].mean())


class Locator:
    """Looks at frames through the network, for one garment at a time."""

    def __init__(self, network: NetworkPair, rule: PersonRule = RULE):
        """Keep the network and the bounds."""
        self.network = network
        self.rule = rule

    def look(self, frame: np.ndarray, box: Box, garment: Garment) -> View:
        """Run the network on one box of the frame, which it overlaps."""
        crop = sample(frame, box, self.network.size)
        layers = self.network.run(to_tensor(crop), garment.tensor, garment.features)
        points = box.to_pixels(layers.keypoints[:, :2])
        return View(box, layers, np.concatenate([points, layers.keypoints[:, 2:]], axis=1))

    def shows_person(self, view: View) -> bool:
        """Whether a view shows a person with a visible torso."""
        return (
            view.layers.presence >= self.rule.presence
            and view.torso_visibility >= self.rule.torso_visibility
        )

    def next_box(self, frame: np.ndarray, view: View) -> Box | None:
        """The crop that a view's keypoints ask for; None where they make no torso in the frame."""
        height, width = frame.shape[:2]
        limit = 2 * letterbox(height, width, self.network.size).height
        box = torso_box(view.keypoints, self.network.size, limit)
        if box is None or 0 in box.inside(height, width)[2:]:
            return None
        return box

    def find(self, frame: np.ndarray, garment: Garment) -> View:
        """Search a frame for a person and refine the crop.

        Raises:
            NoPersonError: nobody with a visible torso was found.
        """
        view = self._first_look(frame, garment)
        for _ in range(self.rule.refinements):
            box = self.next_box(frame, view)
            if box is None or movement(view.box, box) < self.rule.settled:
                break
            view = self.look(frame, box, garment)
        self.require_person(view)
        return view

    def require_person(self, view: View) -> None:
        """Raise ``NoPersonError`` unless the view shows a person."""
        if not self.shows_person(view):
            raise NoPersonError(
                f"no person with a visible torso found (presence {view.layers.presence:.2f}, "
                f"expected at least {self.rule.presence}; torso visibility "
                f"{view.torso_visibility:.2f}, expected at least {self.rule.torso_visibility}); "
                "use a photo of one upright person from the front, hips to head in view"
            )

    def _first_look(self, frame: np.ndarray, garment: Garment) -> View:
        """The whole frame, or the part of it that most likely shows a person."""
        best: View | None = None
        height, width = frame.shape[:2]
        for box in search_boxes(height, width, self.network.size):
            view = self.look(frame, box, garment)
            if best is None or view.layers.presence > best.layers.presence:
                best = view
            if view.layers.presence >= self.rule.sure:
                break
        assert best is not None  # there is always the whole frame
        if best.layers.presence < self.rule.hint:
            self.require_person(best)
        return best
