"""Everything that is compared, behind one interface."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from dmvton import TryOn
from dmvton.compose import composite
from dmvton.crop import Box, letterbox, sample, torso_box
from dmvton.garment import Garment
from dmvton.image_io import Picture
from dmvton.runtime import Layers, to_tensor


class Known(NamedTuple):
    """What is known of a person beside the picture (H, W, 3); a network in use gets none of it."""

    points: np.ndarray  # (13, 3) x and y in pixels, visibility
    worn: np.ndarray  # (H, W) bool, the old top
    parsing: np.ndarray  # (H, W) uint8, classes of pose_synth.labels


Frame = Callable[[np.ndarray, Known], np.ndarray]


class Cloth(NamedTuple):
    """A garment photo; its mask is for contenders that cannot find the garment themselves."""

    rgb: np.ndarray  # (H, W, 3) uint8
    mask: np.ndarray  # (H, W) bool
    key: str


class Contender(Protocol):
    """One way to dress a person."""

    name: str

    def crop(self, person: np.ndarray, cloth: Cloth, known: Known) -> np.ndarray:
        """A hips-up crop (h, w, 3) uint8 to the dressed one."""

    def photo(self, photo: np.ndarray, cloth: Cloth, known: Known) -> np.ndarray:
        """A photo of any size to the dressed one; NoPersonError where nobody is found."""

    def stream(self, cloth: Cloth) -> Frame:
        """A function from frame, and what is known of it, to the dressed frame."""


class NoOp:
    """Hands the input back: what any contender has to beat."""

    name = "no-op"

    def crop(self, person: np.ndarray, cloth: Cloth, known: Known) -> np.ndarray:
        """The input."""
        return person

    photo = crop

    def stream(self, cloth: Cloth) -> Frame:
        """The frame itself."""
        return lambda frame, known: frame


class Student:
    """An exported pair of graphs through the public engine."""

    def __init__(self, name: str, weights: Path | None, threads: int):
        """Loads the weights; None is the packaged pair."""
        self.name = name
        self.engine = TryOn.load(weights, threads)

    def garment(self, cloth: Cloth) -> Garment:
        """The garment as a user would hand it over: a photo without a mask."""
        return self.engine.garment(Picture(cloth.rgb, None))

    def crop(self, person: np.ndarray, cloth: Cloth, known: Known) -> np.ndarray:
        """One network run on the whole crop."""
        garment = self.garment(cloth)
        box = Box(0, 0, person.shape[1], person.shape[0])
        return composite(person, box, self.layers(person, garment), garment)

    def layers(self, person: np.ndarray, garment: Garment) -> Layers:
        """The network's answer to a whole crop (h, w, 3) uint8."""
        network, box = self.engine.network, Box(0, 0, person.shape[1], person.shape[0])
        small = sample(person, box, network.size)
        return network.run(to_tensor(small), garment.tensor, garment.features)

    def photo(self, photo: np.ndarray, cloth: Cloth, known: Known) -> np.ndarray:
        """The whole call; nothing that is known is used."""
        return self.engine(photo, self.garment(cloth)).image

    def stream(self, cloth: Cloth) -> Frame:
        """`TryOn.stream`; a frame in which it finds nobody stays as it is."""
        stream = self.engine.stream(self.garment(cloth))

        def frame(image: np.ndarray, known: Known) -> np.ndarray:
            result = stream(image)
            return image if result is None else result.image

        return frame


class Student2023:
    """The rebuilt 2023 student with trained weights."""

    name = "student-2023"
    size = (256, 192)

    def __init__(self, checkpoint: Path):
        """Loads a checkpoint folder (config.json and model.safetensors)."""
        import torch

        from benchmarks.dmvton2023 import Student2023 as Network
        from dmvton.checkpoint import load_model

        self.torch, self.model = torch, load_model(checkpoint, lambda config: Network()).eval()

    def crop(self, person: np.ndarray, cloth: Cloth, known: Known) -> np.ndarray:
        """The network's picture: it renders all of the crop anew."""
        box = letterbox(*cloth.rgb.shape[:2], self.size)
        white = np.full(3, 255, np.uint8)
        tensors = [
            to_tensor(sample(person, Box(0, 0, *person.shape[1::-1]), self.size)),
            to_tensor(sample(cloth.rgb, box, self.size, white)),
            (sample(cloth.mask.astype(np.uint8) * 255, box, self.size, np.zeros(1)) / 255)[
                None, None
            ].astype(np.float32),
        ]
        with self.torch.inference_mode():
            out = self.model(*map(self.torch.from_numpy, tensors)).image[0].numpy()
        image = np.rint(out.transpose(1, 2, 0).clip(0, 1) * 255).astype(np.uint8)
        return cv2.resize(image, person.shape[1::-1], interpolation=cv2.INTER_LINEAR)

    def photo(self, photo: np.ndarray, cloth: Cloth, known: Known) -> np.ndarray:
        """The crop that the keypoints ask for, pasted back."""
        box = torso_box(known.points, self.size, 2 * max(photo.shape))
        if box is None:
            return photo
        inside = box.inside(*photo.shape[:2])
        view = sample(photo, box, (box.height, box.width))
        dressed = self.crop(view, cloth, known)
        out = photo.copy()
        out[inside.y : inside.bottom, inside.x : inside.right] = dressed[
            inside.y - box.y : inside.bottom - box.y, inside.x - box.x : inside.right - box.x
        ]
        return out

    def stream(self, cloth: Cloth) -> Frame:
        """Frame by frame."""
        return lambda frame, known: self.photo(frame, cloth, known)
