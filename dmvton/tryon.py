"""The engine: a frame and a garment in, the dressed frame out.

Everything that shows try-on (command line, demo, server) calls this and nothing deeper.
"""

import hashlib
import os
import threading
from collections import OrderedDict
from typing import NamedTuple

import numpy as np

from dmvton.compose import composite, warp_to_network_size
from dmvton.crop import Box, Tracker
from dmvton.errors import NoPersonError
from dmvton.garment import Garment, encode
from dmvton.image_io import Picture, Source, read_picture
from dmvton.locate import Locator, View
from dmvton.runtime import NetworkPair

_CACHED_GARMENTS = 8


class TryOnResult(NamedTuple):
    """The dressed frame and what it was made of.

    ``image`` is in the frame; the layers have network size (h, w) and lie in ``crop``.
    """

    image: np.ndarray  # (H, W, 3) uint8 RGB, the size of the frame
    warped: np.ndarray  # (h, w, 3) uint8 RGB, the garment in place, lit
    garment_mask: np.ndarray  # (h, w) float32 in [0, 1], where warped shows garment
    alpha: np.ndarray  # (h, w) float32 in [0, 1], weight of the warped garment
    beta: np.ndarray  # (h, w) float32 in [0, 1], weight of rendered pixels among the rest
    rendered: np.ndarray  # (h, w, 3) float32 in [0, 1]
    flow: np.ndarray  # (h, w, 2) float32 (x, y) in [-1, 1] of the garment's letterbox
    keypoints: np.ndarray  # (13, 3) float32 x and y in frame pixels, visibility in [0, 1]
    presence: float  # in [0, 1], probability of a person with a visible torso
    crop: Box  # in frame pixels; may reach outside of the frame


class TryOn:
    """Virtual try-on for photos; ``stream`` gives the same for video.

    Instances may be shared between threads.
    """

    def __init__(self, network: NetworkPair):
        """Use a network that is loaded; ``TryOn.load`` does both."""
        self.network = network
        self.locator = Locator(network)
        self._garments: OrderedDict[bytes, Garment] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        weights: str | os.PathLike | None = None,
        threads: int | None = None,
        runtime: str = "onnxruntime",
    ) -> "TryOn":
        """Load the network.

        Args:
            weights: folder of an exported pair, or the name of a packaged one; None is the default.
            threads: of the network; None takes what the machine has, at most 4.
            runtime: "onnxruntime", or "openvino" where that is installed.

        Raises:
            CheckpointError: the weights are missing, damaged or of another version.
            MissingExtraError: the runtime is not installed.
            UsageError: there is no such runtime.
        """
        return cls(NetworkPair(weights, threads, runtime))

    def garment(self, image: Source | Picture) -> Garment:
        """Prepare a garment; the last few are kept, so that asking again costs next to nothing.

        Args:
            image: path, file bytes, or uint8 array (H, W, 3) RGB or (H, W, 4) RGBA, of one garment
                before any background. Transparency is taken as the garment's mask.

        Raises:
            ImageError: it is not a usable picture.
            GarmentError: it shows no garment.
        """
        picture = image if isinstance(image, Picture) else read_picture(image)
        key = _fingerprint(picture)
        with self._lock:
            if key in self._garments:
                self._garments.move_to_end(key)
                return self._garments[key]
        # A copy: the caller may reuse the array, and the photo is sampled for every frame to come.
        own = Picture(picture.rgb.copy(), picture.alpha)
        garment = encode(self.network, own)
        with self._lock:
            self._garments[key] = garment
            while len(self._garments) > _CACHED_GARMENTS:
                self._garments.popitem(last=False)
        return garment

    def __call__(self, frame: Source, garment: Garment) -> TryOnResult:
        """Dress the person in a photo.

        Args:
            frame: (H, W, 3) RGB uint8, any size; or a path, or the bytes of a file.
            garment: from ``garment``.

        Raises:
            ImageError: it is not a usable picture.
            NoPersonError: nobody with a visible torso was found.
        """
        rgb = read_picture(frame).rgb
        return dress(rgb, self.locator.find(rgb, garment), garment)

    def stream(self, garment: Garment) -> "Stream":
        """Start a video: successive frames of one camera or file."""
        return Stream(self, garment)


class Stream:
    """Try-on frame by frame: the last frame's keypoints say where to look in the next.

    One network run a frame while the person is in view. For one thread at a time. ``garment`` may
    be set to another one between frames.
    """

    def __init__(self, engine: TryOn, garment: Garment):
        """Start without a person."""
        self.garment = garment
        self._locator = engine.locator
        self._tracker = Tracker()
        self._shape: tuple[int, ...] | None = None

    def __call__(self, frame: Source) -> TryOnResult | None:
        """Dress the person in the next frame.

        Args:
            frame: (H, W, 3) RGB uint8; a change of size starts afresh.

        Returns:
            The result, or None while nobody with a visible torso is in view.

        Raises:
            ImageError: it is not a usable picture.
        """
        rgb = read_picture(frame).rgb
        view = self.look(rgb)
        return None if view is None else dress(rgb, view, self.garment)

    def look(self, rgb: np.ndarray) -> View | None:
        """Find the person in the next frame: ``dress`` draws what it returns.

        Args:
            rgb: (H, W, 3) uint8; a change of size starts afresh.

        Returns:
            None while nobody with a visible torso is in view.
        """
        if rgb.shape != self._shape:
            self.reset()
            self._shape = rgb.shape
        view = self._followed(rgb) or self._searched(rgb)
        target = None if view is None else self._locator.next_box(rgb, view)
        if target is not None:
            self._tracker.update(target)
        return view

    def _searched(self, rgb: np.ndarray) -> View | None:
        """The view found in the whole frame, or None where nobody is."""
        try:
            return self._locator.find(rgb, self.garment)
        except NoPersonError:
            return None

    def reset(self) -> None:
        """Forget where the person was: the next frame is searched as a whole."""
        self._tracker.reset()

    def _followed(self, frame: np.ndarray) -> View | None:
        """The view of the tracked box, or None where it must be searched for anew."""
        box = self._tracker.box
        if box is None or 0 in box.inside(*frame.shape[:2])[2:]:
            return None
        view = self._locator.look(frame, box, self.garment)
        target = self._locator.next_box(frame, view)
        if not self._locator.shows_person(view) or target is None or self._tracker.jumps_to(target):
            self.reset()
            return None
        return view


def dress(frame: np.ndarray, view: View, garment: Garment) -> TryOnResult:
    """Make the result of a view: (H, W, 3) uint8 frame, unchanged, to the dressed one."""
    layers = view.layers
    warped, mask = warp_to_network_size(garment, layers)
    return TryOnResult(
        image=composite(frame, view.box, layers, garment),
        warped=warped,
        garment_mask=mask,
        alpha=layers.alpha,
        beta=layers.beta,
        rendered=layers.rendered,
        flow=layers.flow,
        keypoints=view.keypoints,
        presence=layers.presence,
        crop=view.box,
    )


def _fingerprint(picture: Picture) -> bytes:
    """Equal for equal pictures."""
    digest = hashlib.blake2b(repr(picture.rgb.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(picture.rgb).data)
    if picture.alpha is not None:
        digest.update(np.ascontiguousarray(picture.alpha).data)
    return digest.digest()
