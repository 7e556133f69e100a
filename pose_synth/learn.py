"""Finds the landmarks of every top with a network that learned from the tops that need none."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from dmvton.errors import DataError
from pose_synth.flat import mesh_iou
from pose_synth.garment_net import Found, LandmarkNet, find, train
from pose_synth.garments import (
    CANVAS,
    TOP_KINDS,
    Garment,
    asymmetry,
    canvas_matrix,
    fold_share,
    garment_key,
    garment_paths,
    load_garments,
)
from pose_synth.laid import SIZE, source
from pose_synth.landmarks import landmark_mesh, save_landmarks
from pose_synth.one_core import use_one_core
from pose_synth.outlines import load_outlines

LONG = 0.42  # sleeve over torso from which a garment is drawn more often
LONG_WEIGHT = 4
TEACHER_MISFIT, TEACHER_ASYMMETRY = 0.05, 0.25


@dataclass(frozen=True)
class LearnedGates:
    """What a garment must show to be used with the mesh of its found landmarks."""

    max_spread: float = 0.16
    """Disagreement of the network's views about the worst landmark, in torso lengths."""
    min_agreement: float = 0.9
    """IoU of the outline's mask and the network's own."""
    min_iou: float = 0.85
    """IoU of mesh and mask."""
    max_fold: float = 0.03
    max_asymmetry: float = 0.5
    min_area: float = 0.1
    max_area: float = 0.85


def reason_against(found: Found, guess: np.ndarray, mesh_of, gates: LearnedGates) -> str | None:
    """Why found landmarks are not used, or None.

    Args:
        found: what the network says of a picture.
        guess: (96, 72) bool, the outline's mask in the picture.
        mesh_of: makes (mesh, mask of the photo); called last, because it is slow.
        gates: limits.
    """
    area = float(guess.mean())
    if not gates.min_area < area < gates.max_area:
        return "mask size"
    if found.spread > gates.max_spread:
        return "landmarks unsure"
    own = found.mask > 0.5
    if (own & guess).sum() < gates.min_agreement * (own | guess).sum():
        return "masks disagree"
    mesh, mask = mesh_of()
    if mesh_iou(mesh, mask) < gates.min_iou:
        return "mesh misfit"
    if fold_share(mesh) > gates.max_fold:
        return "mesh folds"
    return "sleeves differ" if asymmetry(mesh) > gates.max_asymmetry else None


def picture_of(photo: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The network's picture (96, 72, 3), its mask (96, 72) uint8 and the affine (2, 3) to it."""
    matrix = canvas_matrix(photo.shape[:2], SIZE[0] / CANVAS[0])
    blur = max(0.01, 0.5 * (1 / matrix[0, 0] - 0.6))
    small = cv2.warpAffine(cv2.GaussianBlur(photo, (0, 0), blur), matrix, SIZE,
                           borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    return small, cv2.warpAffine(mask.astype(np.uint8) * 255, matrix, SIZE), matrix


def teachers(root: Path) -> list[Garment]:
    """The garments whose outline tells the landmarks without doubt."""
    found = [g for g in load_garments(garment_paths(root)) if isinstance(g, Garment)]
    good = [g for g in found
            if g.misfit < TEACHER_MISFIT and asymmetry(g.mesh) < TEACHER_ASYMMETRY]  # fmt: skip
    if not good:
        raise DataError(f"{root}: no garment shows its landmarks; expected t-shirt, "
                        "longsleeve, shirt: flat-lay photos with measured outlines")  # fmt: skip
    return good


def find_all(data: Path, out: Path, steps: int, seed: int) -> None:
    """Trains the landmark network and writes the bank of the garments that it adds.

    Two minutes of one core for the training, two for the photos.

    Args:
        data: folder with `clothing/train/`, its outlines measured (`dmvton synth outlines`).
        out: bank to write.
        steps: of training, 24 pictures each.
        seed: of the training.
    """
    use_one_core()
    torch.manual_seed(seed)
    root, outlines, gates = data / "clothing/train", load_outlines(), LearnedGates()
    sources = []
    for garment in teachers(root):
        again = LONG_WEIGHT if garment.mesh.sleeve_ratio() > LONG else 1
        sources += [source(garment)] * again
    net = LandmarkNet()
    train(net, sources, steps, seed)
    bank, reasons = {}, {}
    for path in tqdm(garment_paths(root, TOP_KINDS), unit="photo"):
        key, photo = garment_key(path), cv2.imread(str(path), cv2.IMREAD_COLOR)
        outline = outlines.get(key)
        if photo is None or outline is None or len(outline) < 3:
            reasons[key] = "no outline"
            continue
        mask = cv2.fillPoly(np.zeros(photo.shape[:2], np.uint8), [outline.astype(np.int32)], 1) > 0
        picture, guess, matrix = picture_of(photo, mask)
        found = find(net, picture, guess)
        points = (found.points - matrix[:, 2]) / matrix[0, 0]
        mesh_of = lambda p=points, o=outline, m=mask: (landmark_mesh(p, o), m)  # noqa: E731
        reason = reason_against(found, guess > 127, mesh_of, gates)
        if reason is None:
            bank[key] = (points, found.spread)
        else:
            reasons[key] = reason
    save_landmarks(out, bank)
    counts = {r: list(reasons.values()).count(r) for r in sorted(set(reasons.values()))}
    print(f"{out}: {len(bank)} garments; left out: {counts}")
