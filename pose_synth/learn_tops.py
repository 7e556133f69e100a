"""Fits the head that tells tops from all else that is handed in as a garment photo.

Trousers, shorts and skirts would be put on as shirts, and people, face and all, as a smear. The
features are those of a trained student and stay as they are.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from dmvton.errors import DataError, GarmentError, ImageError
from dmvton.garment import RULE, encode
from dmvton.image_io import Picture, read_picture
from dmvton.student.encoders import GarmentEncoder, places
from pose_synth import split
from pose_synth.build import shop_tops
from pose_synth.ccp import ClothingCoParsing, SourceError
from pose_synth.garments import EVERY_CLASS, Garment, garment_key, garment_paths
from pose_synth.persons import CANVAS, canvas_matrix, warp_to
from pose_synth.pose import PoseBank

LOWER = ("pants", "shorts", "skirt")
PEOPLE = ("whole person", "person to the hips")
BARE = "sleeveless"
PART = 3  # every third street photo is enough
DECAY = 1e-3  # of the squared weights, over features of unit spread


class _Eye:
    """A garment encoder in the place of `NetworkPair`, for `encode`."""

    def __init__(self, encoder: GarmentEncoder, size: tuple[int, int]):
        self.encoder, self.size = encoder, size

    @torch.no_grad()
    def encode_garment(self, garment: np.ndarray) -> dict[str, np.ndarray]:
        code = self.encoder(torch.from_numpy(garment))
        return {"garment_mask": code.mask.numpy(), "places": places(code).numpy()}


class Example(NamedTuple):
    """What the network makes of a photo."""

    kind: str  # class of the garment, or one of PEOPLE
    known: bool  # whether it is of the training part
    features: np.ndarray  # (2, 6 * width), of the photo and its mirror image

    @property
    def is_top(self) -> bool:
        """Whether it may be worn."""
        return self.kind not in (*LOWER, *PEOPLE)


def sleeveless(garment: Garment, grey: int) -> Picture:
    """A top without its sleeves before a plain wall: vests are rare in the photos, not in shops."""
    edge = np.concatenate([garment.mesh.torso[:, 0], garment.mesh.torso[::-1, -1]])
    torso = np.zeros(garment.mask.shape, np.float32)
    cv2.fillPoly(torso, [np.rint(edge).astype(np.int32)], 1)
    share = cv2.GaussianBlur(torso, (0, 0), 1)[..., None] * garment.mask[..., None]
    rgb = garment.image[..., ::-1] * share + np.float32(grey) * (1 - share)
    return Picture(np.ascontiguousarray(rgb.astype(np.uint8)), None)


def _photos(data: Path) -> Iterator[tuple[str, bool, Picture]]:
    """Kind, whether it is for training, and picture: all garments, and people if there are any."""
    paths = garment_paths(data / "clothing/train", EVERY_CLASS)
    known = set(split.select([garment_key(p) for p in paths], "garments", "train"))
    for path in tqdm(paths, unit="garment"):
        try:
            yield path.parent.name, garment_key(path) in known, read_picture(path)
        except ImageError:
            continue
    for part in ("train", "val", "test"):
        for number, top in enumerate(shop_tops(data, part, learned=True)):
            yield BARE, part == "train", sleeveless(top, (255, 200, 60)[number % 3])
    if not (data / "ccp").is_dir():
        return
    source, poses = ClothingCoParsing(data / "ccp"), PoseBank.load()
    keys = source.ids()[::PART]
    known = set(split.select(keys, "persons", "train"))
    for key in tqdm(keys, unit="person"):
        try:
            photo = source.photo(key)
        except SourceError:
            continue
        close = warp_to(photo, canvas_matrix(poses.points(key)[0], 1.0), CANVAS)
        for kind, bgr in zip(PEOPLE, (photo, close), strict=True):
            yield kind, key in known, Picture(np.ascontiguousarray(bgr[..., ::-1]), None)


def _examples(eye: _Eye, data: Path) -> Iterator[Example]:
    for kind, known, picture in _photos(data):
        try:
            garment = encode(eye, picture)
        except GarmentError:
            continue
        mirrored = np.ascontiguousarray(garment.tensor[..., ::-1])
        both = (garment.features["places"], eye.encode_garment(mirrored)["places"])
        yield Example(kind, known, np.concatenate(both))


def fit(features: Tensor, is_top: Tensor) -> tuple[Tensor, Tensor]:
    """Logistic regression: (n, d) features, (n,) 0 or 1 -> weights (1, d) and bias (1,)."""
    mean, spread = features.mean(0), features.std(0) + 1e-6
    unit = (features - mean) / spread
    weight = torch.zeros(unit.shape[1], requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        found = F.binary_cross_entropy_with_logits(unit @ weight + bias, is_top)
        total = found + DECAY * weight.square().sum()
        total.backward()
        return total

    optimiser.step(loss)
    with torch.no_grad():
        own = weight / spread
        return own[None], bias - own @ mean


def fit_tops(encoder: GarmentEncoder, data: Path, size: tuple[int, int]) -> None:
    """Fits the head of an encoder in place; prints how many held-out photos would be refused.

    Args:
        encoder: trained, in eval mode, its mask too.
        data: folder with `clothing/train/<class>/`, and `ccp/` for the people.
        size: height and width of the network's pictures.

    Raises:
        DataError: no photo of tops, or none of anything else.
    """
    found = list(_examples(_Eye(encoder, size), data))
    known = [e for e in found if e.known]
    labels = torch.tensor([float(e.is_top) for e in known])
    if not 0 < labels.sum() < len(labels):
        raise DataError(
            f"{data}: {len(known)} photos for training, {int(labels.sum())} of them of tops; "
            f"expected clothing/train/<class>/ with tops and with {', '.join(LOWER)}"
        )
    features = torch.from_numpy(np.concatenate([e.features for e in known]))
    weight, bias = fit(features, labels.repeat_interleave(2))
    encoder.top.weight.data.copy_(weight)
    encoder.top.bias.data.copy_(bias)
    _report(encoder, [e for e in found if not e.known])


@torch.no_grad()
def _report(encoder: GarmentEncoder, held: list[Example]) -> None:
    counts, refused = Counter(e.kind for e in held), Counter[str]()
    for example in held:
        logit = encoder.top(torch.from_numpy(example.features[:1]))
        refused[example.kind] += float(logit.sigmoid()) < RULE.top
    for kind, count in sorted(counts.items()):
        print(f"{kind}: {refused[kind]} of {count} held-out photos refused")
