"""A torch checkpoint as a contender: a student before its export, or the teacher.

The teacher gets true parsing and keypoints, which a photo from a user has not; its figures are what
there is to be learned from it.
"""

from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.evaluation.contenders import Cloth, Frame, Known, Student
from dmvton.batch import Batch
from dmvton.compose import composite
from dmvton.crop import Box, sample, torso_box
from dmvton.errors import CheckpointError
from dmvton.garment import Garment
from dmvton.networks import NETWORKS, load_network
from dmvton.runtime import Layers, to_tensor
from dmvton.student.generator import TryOnOutput
from dmvton.teacher.sight import sight

SIZE = (256, 192)


class Checkpoint:
    """One of `dmvton.networks` on the crop that the keypoints ask for."""

    def __init__(self, kind: str, folder: Path, framer: Student):
        """Loads the network; `framer` finds the garment in its photo, as for the released one.

        Raises:
            CheckpointError: it is missing, damaged, of another network, or of another size.
        """
        self.kind, self.name = kind, f"{kind}-checkpoint"
        self.framer = framer
        self.network, self.model = NETWORKS[kind], load_network(kind, folder)
        if self.model.generator.fine is not None:
            raise CheckpointError(
                f"{folder} is a student for pictures of twice the size; expected one of "
                f"{SIZE[0]}x{SIZE[1]}. Export it and compare with `python -m benchmarks.native`"
            )

    @torch.inference_mode()
    def look(self, batch: Batch) -> TryOnOutput:
        """The network's answer to one sample without a batch axis."""
        out, _ = self.network.look(self.model, Batch(*(value[None] for value in batch)))
        return out

    @torch.inference_mode()
    def dressed(self, person: np.ndarray, known: Known, garment: Garment) -> TryOnOutput:
        """The network's answer to a crop (256, 192, 3) uint8; `known` is in its pixels."""
        seen = picture = torch.from_numpy(to_tensor(person))
        if self.kind == "teacher":
            worn = torch.from_numpy(known.worn.astype(np.float32))[None, None]
            parsing = torch.from_numpy(known.parsing[2::4, 2::4].astype(np.int64))[None]
            points = torch.from_numpy(known.points.astype(np.float32))[None]
            seen = sight(picture, worn, parsing, _normalised(points))
        out, _ = self.model(seen, torch.from_numpy(garment.tensor))
        return out

    def _dress(self, image: np.ndarray, box: Box, garment: Garment, known: Known) -> np.ndarray:
        """The picture with what lies in a box of it dressed."""
        out = self.dressed(sample(image, box, SIZE), _in_box(known, box), garment)
        return composite(image, box, _layers(out), garment)

    def crop(self, person: np.ndarray, cloth: Cloth, known: Known) -> np.ndarray:
        """One network run on the whole crop."""
        box = Box(0, 0, person.shape[1], person.shape[0])
        return self._dress(person, box, self.framer.garment(cloth), known)

    def photo(self, photo: np.ndarray, cloth: Cloth, known: Known) -> np.ndarray:
        """The person is where the keypoints say."""
        box = torso_box(known.points, SIZE, 2 * max(photo.shape))
        return photo if box is None else self._dress(photo, box, self.framer.garment(cloth), known)

    def stream(self, cloth: Cloth) -> Frame:
        """Frame by frame."""
        return lambda frame, known: self.photo(frame, cloth, known)


def _in_box(known: Known, box: Box) -> Known:
    """What is known, in pixels of the box once it has `SIZE`; nothing outside of the picture."""
    zoom = np.array([SIZE[1] / box.width, SIZE[0] / box.height])
    # Pixel centres: input i lies at (i + 0.5 - origin) * zoom - 0.5 of the output.
    shift = zoom * (0.5 - np.array(box[:2])) - 0.5
    matrix = np.array([[zoom[0], 0, shift[0]], [0, zoom[1], shift[1]]])
    worn, parsing = (
        cv2.warpAffine(m, matrix, SIZE[::-1], flags=cv2.INTER_NEAREST)
        for m in (known.worn.astype(np.uint8), known.parsing)
    )
    points = known.points.copy()
    points[:, :2] = points[:, :2] * zoom + shift
    return Known(points, worn > 0, parsing)


def _normalised(points: torch.Tensor) -> torch.Tensor:
    """Crop pixels (N, 13, 3) to [-1, 1], and which are seen, as in `Batch.keypoints`."""
    xy = (points[..., :2] + 0.5) / points.new_tensor([SIZE[1], SIZE[0]]) * 2 - 1
    seen = (points[..., 2] > 0.5) & (xy.abs() < 1).all(-1)
    return torch.cat([xy, seen[..., None].float()], -1)


def _layers(out: TryOnOutput) -> Layers:
    """What the composite needs, as the exported graphs give it."""
    maps = {
        name: getattr(out, name)[0].permute(1, 2, 0).contiguous().numpy()
        for name in ("flow", "alpha", "beta", "rendered", "gain")
    }
    maps["alpha"], maps["beta"] = maps["alpha"][..., 0], maps["beta"][..., 0]
    pose = torch.cat([out.pose.xy, out.pose.visibility.sigmoid()[..., None]], 2)[0].numpy()
    return Layers(keypoints=pose, presence=float(out.pose.presence.sigmoid()), **maps)
