"""Pose bank: BlazePose keypoints of every photo, and the estimator that made it.

The bank of the project's own photos is committed (numbers only); the estimator is needed for other
photos. BlazePose full is Apache-2.0; the `.tflite` file is part of the npm package
`@mediapipe/pose`.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dmvton.files import whole

KEYPOINTS = 33
BANK = Path(__file__).parent / "banks" / "ccp_pose.npz"
# Indices in BlazePose's 33 of the 13 keypoints that the network predicts (see dmvton.keypoints).
NETWORK_KEYPOINTS = (0, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)


@dataclass(frozen=True)
class PoseBank:
    """Keypoints by photo id."""

    index: dict[str, int]
    values: np.ndarray  # (N, 33, 3) float32: x, y in photo pixels, visibility in [0, 1]
    scores: np.ndarray  # (N,) presence in [0, 1]

    @classmethod
    def load(cls, path: Path = BANK) -> "PoseBank":
        """Reads a bank written by `save`."""
        with np.load(path, allow_pickle=False) as data:
            values = np.concatenate(
                [
                    data["xy"].astype(np.float32) / 8,
                    data["visibility"][..., None] / np.float32(255),
                ],
                2,
            )
            index = {str(k): i for i, k in enumerate(data["ids"])}
            return cls(index, values, data["score"].astype(np.float32) / 255)

    @staticmethod
    def save(path: Path, ids: list[str], values: np.ndarray, scores: np.ndarray) -> None:
        """Writes ids, (N, 33, 3) values and scores; positions keep an eighth of a pixel."""
        with whole(path) as partial:
            np.savez_compressed(
                partial,
                ids=np.array(ids),
                xy=np.clip(np.round(values[..., :2] * 8), -32000, 32000).astype(np.int16),
                visibility=np.round(values[..., 2] * 255).astype(np.uint8),
                score=np.round(scores * 255).astype(np.uint8),
            )

    def points(self, key: str) -> tuple[np.ndarray, float]:
        """(33, 3) keypoints and the presence score of a photo."""
        i = self.index[key]
        return self.values[i], float(self.scores[i])


class BlazePose:
    """BlazePose full on one image of one person, by LiteRT."""

    def __init__(self, model: Path, threads: int = 1):
        from ai_edge_litert.interpreter import Interpreter

        self.net = Interpreter(str(model), num_threads=threads)
        self.net.allocate_tensors()
        self.input = self.net.get_input_details()[0]["index"]
        self.outputs = {d["name"]: d["index"] for d in self.net.get_output_details()}

    def _run(self, image: np.ndarray, centre: np.ndarray, side: float):
        zoom = 256 / side
        matrix = np.array([[zoom, 0, 128 - centre[0] * zoom], [0, zoom, 128 - centre[1] * zoom]])
        crop = cv2.warpAffine(image, matrix, (256, 256), flags=cv2.INTER_AREA)
        self.net.set_tensor(self.input, (crop[None, :, :, ::-1] / 255).astype(np.float32))
        self.net.invoke()
        raw = self.net.get_tensor(self.outputs["Identity"])[0].reshape(39, 5)
        score = float(self.net.get_tensor(self.outputs["Identity_1"])[0, 0])
        xy = raw[:, :2] * side / 256 + centre - side / 2
        return xy, 1 / (1 + np.exp(-raw[:, 3])), score

    def __call__(self, image: np.ndarray, rounds: int = 3) -> tuple[np.ndarray, float]:
        """Keypoints (33, 3) in pixels of a BGR picture and the presence score.

        The crop starts as the whole picture and follows the model's own alignment points.
        """
        height, width = image.shape[:2]
        centre, side = np.array([width / 2, height / 2]), float(max(height, width))
        for _ in range(rounds):
            xy, visibility, score = self._run(image, centre, side)
            centre, side = xy[33], 2.5 * float(np.linalg.norm(xy[34] - xy[33]))
        return np.concatenate([xy[:KEYPOINTS], visibility[:KEYPOINTS, None]], 1).astype(
            np.float32
        ), score
