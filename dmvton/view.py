"""A random view of a picture: an affine map, a stretch and a smooth bend, exact both ways.

Convention: pixel coordinates count from the centre of the first pixel. A view maps points `p` of
the picture to points `o` of the output with `o + bend(o) = matrix(p)`, so that sampling is explicit
and points are found by iteration.
"""

import cv2
import numpy as np

_KNOTS = (5, 4)  # rows, columns of the random grid that a bend is made of
_REPLICATE, _CUBIC = cv2.BORDER_REPLICATE, cv2.INTER_CUBIC
_ROUNDS = 12  # each leaves about half of the error


class View:
    """Output of `size` (height, width) onto a picture."""

    def __init__(
        self, matrix: np.ndarray, size: tuple[int, int], rng: np.random.Generator,
        stretch: float = 0.0, bend: float = 0.0,
    ):  # fmt: skip
        """Draws stretch and bend.

        Args:
            matrix: (2, 3) affine map of picture points to output points.
            size: height and width of the output.
            rng: of the draw.
            stretch: standard deviation of the log aspect ratio and of the shear.
            bend: standard deviation of the displacement at the knots, in output heights.
        """
        self.size = size
        height, width = size
        aspect, shear = np.exp(rng.normal(0, stretch) / 2), rng.normal(0, stretch / 2)
        middle = np.array([(width - 1) / 2, (height - 1) / 2])
        linear = np.array([[aspect, shear], [0, 1 / aspect]])
        about = np.concatenate([linear, (middle - linear @ middle)[:, None]], 1)
        self.matrix = about @ np.vstack([matrix, [0, 0, 1]])
        limit = 2 * bend * height
        knots = rng.normal(0, bend * height, (*_KNOTS, 2)).clip(-limit, limit)
        self.bend = cv2.resize(knots.astype(np.float32), (width, height), interpolation=_CUBIC)

    def forward(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 2) or (h, w, 2) of the picture -> points of the output, float32."""
        goal = (points @ self.matrix[:, :2].T + self.matrix[:, 2]).astype(np.float32)
        goal = goal if points.ndim == 3 else goal[:, None]  # as rows of a picture
        at = goal
        for _ in range(_ROUNDS):
            at = goal - _sampled(self.bend, at)
        return at.reshape(points.shape)

    def _sources(self, factor: float) -> np.ndarray:
        """Picture points (h, w, 2) of the pixels of the output enlarged by `factor`."""
        height, width = (round(side * factor) for side in self.size)
        y, x = np.mgrid[:height, :width].astype(np.float32)
        at = (np.stack([x, y], 2) + 0.5) / np.float32(factor) - np.float32(0.5)
        at += cv2.resize(self.bend, (width, height))
        inverse = np.linalg.inv(self.matrix[:, :2])
        return ((at - self.matrix[:, 2]) @ inverse.T).astype(np.float32)

    def picture(self, image: np.ndarray, border: int = _REPLICATE) -> np.ndarray:
        """Bilinear view (height, width, ...); drawn at twice the size where it shrinks much."""
        shrinks = abs(np.linalg.det(self.matrix[:, :2])) < 0.5
        at = self._sources(2 if shrinks else 1)
        out = _sampled(image, at, border)
        height, width = self.size
        return cv2.resize(out, (width, height), interpolation=cv2.INTER_AREA) if shrinks else out

    def labels(self, classes: np.ndarray, stride: int) -> np.ndarray:
        """Nearest view of a label map at a `stride`-th of the output's size, 0 outside."""
        return _sampled(classes, self._sources(1 / stride), cv2.BORDER_CONSTANT, cv2.INTER_NEAREST)

    def field(self, values: np.ndarray, stride: float) -> np.ndarray:
        """Bilinear view of values stored at a `stride`-th of the picture's size."""
        at = (self._sources(1) + np.float32(0.5)) / np.float32(stride) - np.float32(0.5)
        return _sampled(values, at)


def _sampled(
    image: np.ndarray, at: np.ndarray, border: int = _REPLICATE, how: int = cv2.INTER_LINEAR
) -> np.ndarray:
    """The picture at points (h, w, 2)."""
    return cv2.remap(image, at[..., 0], at[..., 1], how, borderMode=border)
