"""Person bank: hips-up canvases of photographed people with parsing, keypoints and worn mesh.

A canvas is larger than the crop that the network sees, so that training can shift, scale and rotate
the crop without running out of picture.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from dmvton.parsing import Parsing
from pose_synth.ccp import ClothingCoParsing, SourceError
from pose_synth.flat import mesh_iou
from pose_synth.labels import TOPS, hidden_by
from pose_synth.parsings import ParsingBank
from pose_synth.pose import PoseBank
from pose_synth.worn import LEFT_SIDE, RIGHT_SIDE, WornMesh, torso_frame, worn_mesh

CROP = (192, 256)  # (width, height) of the network's crop at scale 1
CANVAS = (256, 336)  # (width, height) of a canvas at scale 1; the crop lies in its middle
CROP_HEIGHT = 2.35  # in torso lengths
CROP_TOP = 0.78  # above the shoulders, in torso lengths


def scale_of(canvas: np.ndarray) -> float:
    """How many pixels of a person's canvas (H, W, ...) make one of a canvas of scale 1."""
    return canvas.shape[0] / CANVAS[1]


def odd(size: int, scale: float) -> int:
    """An odd kernel size of scale 1 at another scale, odd again."""
    return 2 * round(size // 2 * scale) + 1


def square(size: int, scale: float) -> np.ndarray:
    """A square kernel of ones, of an odd size of scale 1 at another scale."""
    side = odd(size, scale)
    return np.ones((side, side), np.uint8)


@dataclass(frozen=True)
class PersonGates:
    """What a photo must show to be used as a labelled person."""

    min_score: float = 0.9
    """Pose presence score."""
    min_shoulder_ratio: float = 0.48
    """Shoulder width over torso length; below, the person is seen from the side."""
    max_shoulder_ratio: float = 0.95
    min_arm_visibility: float = 0.25
    min_region: float = 0.05
    """Share of the crop that the top must cover."""
    max_bag: float = 0.5
    """Bag pixels over top pixels."""
    max_misfit: float = 0.35
    """1 - IoU of mesh and top."""


# People turned further aside, with a bag before the top or in a wide coat: their labels are as
# good, their meshes are not.
WIDE_GATES = PersonGates(
    min_shoulder_ratio=0.36, min_arm_visibility=0.1, max_bag=1.0, max_misfit=0.45
)


@dataclass
class Person:
    """One person on a canvas of CANVAS * scale."""

    key: str
    image: np.ndarray  # (H, W, 3) uint8 BGR
    parsing: np.ndarray  # (H, W) uint8 of Parsing
    region: np.ndarray  # (H, W) bool, all layers of the top
    points: np.ndarray  # (33, 3) x, y in canvas pixels, visibility
    worn: WornMesh
    layers: str  # "single", "layered" or "dress"
    misfit: float
    scale: float
    target_only: bool = False  # parsing or mesh are not good enough to make a target of


def canvas_matrix(points: np.ndarray, scale: float) -> np.ndarray:
    """(2, 3) affine from photo pixels to canvas pixels, from keypoints (33, 2+)."""
    frame = torso_frame(points[:, :2])
    hips = (points[RIGHT_SIDE[3], :2] + points[LEFT_SIDE[3], :2]) / 2
    zoom = CROP[1] * scale / (CROP_HEIGHT * frame.length)
    centre_x = (frame.neck[0] + hips[0]) / 2
    top = frame.neck[1] - CROP_TOP * frame.length
    dx = CANVAS[0] * scale / 2 - zoom * centre_x
    dy = (CANVAS[1] - CROP[1]) * scale / 2 - zoom * top
    return np.array([[zoom, 0, dx], [0, zoom, dy]])


def warp_to(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int], nearest: bool = False):
    """Affine warp to (width, height); area-averages when it shrinks."""
    zoom = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if not nearest and zoom < 0.8:
        blur = 0.5 * (1 / zoom - 0.5)
        image = cv2.GaussianBlur(image, (0, 0), blur)
    flags = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    border = cv2.BORDER_CONSTANT if nearest else cv2.BORDER_REPLICATE
    return cv2.warpAffine(image, matrix.astype(np.float32), size, flags=flags, borderMode=border)


def _top_region(parsing: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, str]:
    """Mask of all layers of the top, and how it is layered; a dress counts down to the hips."""
    upper, outer, dress = (parsing == c for c in TOPS)
    frame = torso_frame(points)
    y, x = np.mgrid[: parsing.shape[0], : parsing.shape[1]]
    depth = (x - frame.neck[0]) * frame.down[0] + (y - frame.neck[1]) * frame.down[1]
    bodice = dress & (depth < 0.95 * frame.length)
    total = upper | outer | bodice
    count = max(1, int(total.sum()))
    if bodice.sum() > 0.1 * count:
        return total, "dress"
    largest = max(int(upper.sum()), int(outer.sum()))
    return total, "single" if largest > 0.93 * count else "layered"


def _gate_pose(points, score, gates: PersonGates) -> str | None:
    frame = torso_frame(points[:, :2])
    ratio = frame.shoulders / frame.length
    if score < gates.min_score:
        return "pose score"
    if points[LEFT_SIDE[0], 0] <= points[RIGHT_SIDE[0], 0]:
        return "from behind"
    if not gates.min_shoulder_ratio < ratio < gates.max_shoulder_ratio:
        return "turned sideways"
    if points[list(RIGHT_SIDE[1:3] + LEFT_SIDE[1:3]), 2].min() < gates.min_arm_visibility:
        return "arms hidden"
    return None


def load_person(
    source: ClothingCoParsing, poses: PoseBank, key: str, scale: float, gates: PersonGates,
    parsings: ParsingBank | None = None,
) -> Person | str:  # fmt: skip
    """The person of a photo with labels, own or of `parsings`, or the reason why it is not used."""
    labels = None
    try:
        photo = source.photo(key)
        if parsings is None or key not in parsings:
            labels = source.parsing(key, photo.shape[:2])
        points, score = poses.points(key)
    except SourceError as error:
        return f"source: {error}"
    reason = _gate_pose(points, score, gates)
    if reason:
        return reason
    matrix = canvas_matrix(points, scale)
    size = (round(CANVAS[0] * scale), round(CANVAS[1] * scale))
    image = warp_to(photo, matrix, size)
    if labels is not None:
        parsing = warp_to(labels, matrix, size, nearest=True)
    else:
        assert parsings is not None
        parsing = parsings.canvas(key, size)
    points = points.copy()
    points[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    region, layers = _top_region(parsing, points[:, :2])
    if region.sum() < gates.min_region * CROP[0] * CROP[1] * scale**2:
        return "no top"
    if (parsing == Parsing.BAG).sum() > gates.max_bag * region.sum():
        return "bag in front"
    worn = worn_mesh(points[:, :2], region, hidden_by(parsing))
    misfit = 1 - mesh_iou(worn.mesh, region)
    if misfit > gates.max_misfit:
        return "mesh misfit"
    return Person(key, image, parsing, region, points, worn, layers, misfit, scale, labels is None)


def load_persons(
    source: ClothingCoParsing, poses: PoseBank, keys: list[str], scale: float = 2.0,
    gates: PersonGates | None = None, parsings: ParsingBank | None = None,
    wide: PersonGates | None = None,
) -> Iterator[Person | tuple[str, str]]:  # fmt: skip
    """Yields every labelled person among `keys` that passes, and (id, reason) for all others.

    `parsings` gives labels to photos that have none of their own; who passes `wide` alone comes as
    `target_only`.
    """
    for key in keys:
        if source.has_parsing(key) or (parsings is not None and key in parsings):
            found = load_person(source, poses, key, scale, gates or PersonGates(), parsings)
            if isinstance(found, str) and wide is not None:
                found = load_person(source, poses, key, scale, wide, parsings)
                if isinstance(found, Person):
                    found.target_only = True
            yield (key, found) if isinstance(found, str) else found
