"""Trains the garment mask on real photos, before what people really lay garments on.

The shards' garments lie before drawn backgrounds, under the polygon that GrabCut found. Here they
lie on strips of real photos' floors, beds and rugs, on sheets that end beside them, or before the
plain walls of shop photos; one in three has no sleeves, and what a polygon closes in between a
sleeve and the torso is background.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dmvton.augment import colour_map, letterbox_bars, with_shadow
from dmvton.errors import DataError
from dmvton.patterns import background, smooth_noise, surface
from dmvton.runtime import to_tensor
from dmvton.strays import strays
from dmvton.student.encoders import GarmentEncoder
from pose_synth.build import shop_tops
from pose_synth.cuts import cut_garment, draw_cut
from pose_synth.fit import fit
from pose_synth.garments import Garment

SCALE = 1.6  # of the garments' canvas: slits are wide enough there to show their own colour
STRIP = 0.12  # least side of a strip of background, in widths of the canvas
STUDIO = 0.35  # share of other backgrounds that are a plain wall, as in shop photos
BATCH = 16


class Source(NamedTuple):
    """A garment photo to compose from."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    mask: np.ndarray  # (H, W) uint8, 255 inside
    strips: list[np.ndarray]  # (h, w, 3) uint8 RGB, background on each side of the garment


def source_of(garment: Garment) -> Source:
    """From a garment on a canvas of SCALE."""
    rgb = np.ascontiguousarray(garment.image[..., ::-1])
    mask = np.where(strays(rgb, garment.mask), 0, garment.mask)
    return Source(rgb, np.rint(mask * 255).astype(np.uint8), _strips(rgb, garment.mask))


def load_sources(
    data: Path, parts: tuple[str, ...], bare: float = 0.0, seed: int = 0
) -> list[Source]:
    """The usable tops of some parts of the split.

    For each a share `bare` of another one is added: as many tops without sleeves, cut out of them.
    """
    rng = np.random.default_rng(seed)
    tops = [top for part in parts for top in shop_tops(data, part, learned=True, scale=SCALE)]
    cut = [cut_garment(top, draw_cut(rng), rng) for top in tops if rng.random() < bare]
    return [source_of(garment) for garment in tops + cut]


def _strips(rgb: np.ndarray, mask: np.ndarray) -> list[np.ndarray]:
    """The strips above, below and beside a garment that show some texture."""
    x, y, w, h = cv2.boundingRect((mask > 0.02).astype(np.uint8))
    parts = (_textured(p) for p in (rgb[:y], rgb[y + h :], rgb[:, :x], rgb[:, x + w :]))
    return [p for p in parts if min(p.shape[:2]) >= STRIP * rgb.shape[1]]


def _textured(part: np.ndarray) -> np.ndarray:
    """Without the rows and columns that repeat the one before: those of a letterbox do."""
    for axis in (0, 1):
        if part.size == 0:
            return part
        step = np.abs(np.diff(part.astype(np.int16), axis=axis)).mean((1 - axis, 2))
        part = part.compress(np.r_[step > 0.3, False], axis=axis)
    return part


def compose(rng: np.random.Generator, source: Source, strips: list[np.ndarray],
            size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """A garment photo and its mask: (h, w, 3) and (h, w) float32 in [0, 1]."""
    height, width = size
    x, y, w, h = cv2.boundingRect((source.mask > 127).astype(np.uint8))
    zoom = rng.uniform(0.45, 1.0) ** 0.5 * min(width / w, height / h)
    angle = rng.normal(0, 6)
    matrix = cv2.getRotationMatrix2D((x + w / 2, y + h / 2), angle, zoom)
    room = np.maximum(0, (width - zoom * w, height - zoom * h)) / 2
    matrix[:, 2] += (width / 2, height / 2) - np.array([x + w / 2, y + h / 2])
    matrix[:, 2] += rng.uniform(-0.9, 0.9, 2) * room
    if rng.random() < 0.5:
        matrix = np.array([[-1, 0, width - 1], [0, 1, 0]]) @ np.vstack([matrix, [0, 0, 1]])
    image, mask = source.image, source.mask
    if zoom < 0.8:
        image, mask = (cv2.GaussianBlur(p, (0, 0), 0.5 * (1 / zoom - 0.5)) for p in (image, mask))
    photo = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    share = cv2.warpAffine(mask, matrix, (width, height)).astype(np.float32) / 255
    photo = photo.astype(np.float32)
    if rng.random() < 0.5:
        photo = colour_map(rng)(photo)
    if rng.random() < 0.7:
        behind = _behind(rng, photo, share, strips)
        photo = behind + (photo - behind) * share[..., None]
    if rng.random() < 0.35:
        letterbox_bars(photo, share, rng)
    photo *= np.exp(rng.normal(0, 0.06, 3)).astype(np.float32) * rng.uniform(0.5, 1.15)
    if rng.random() < 0.3:
        photo = cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.3, 1.0))
    return np.clip(photo / 255, 0, 1).astype(np.float32), share


def _behind(rng: np.random.Generator, photo: np.ndarray, share: np.ndarray,
            strips: list[np.ndarray]) -> np.ndarray:  # fmt: skip
    """What a garment lies on (h, w, 3) float32 in [0, 255], with its shadow."""
    height, width = share.shape
    if rng.random() < STUDIO:
        out = background((height, width), rng)
        return with_shadow(out, share, rng) if rng.random() < 0.4 else out
    out = _ground(rng, strips, (height, width))
    if rng.random() < 0.4:  # a bed's edge, a towel on the floor, clutter beside
        y, x = np.mgrid[:height, :width].astype(np.float32)
        for _ in range(rng.integers(1, 3)):
            way = rng.uniform(0, 2 * np.pi)
            along = (x / width - 0.5) * np.cos(way) + (y / height - 0.5) * np.sin(way)
            other = _ground(rng, strips, (height, width))
            out = np.where((along > rng.uniform(0.05, 0.45))[..., None], other, out)
    if rng.random() < 0.3:
        out = on_sheet(rng, out, strips, share)
    if rng.random() < 0.25 and share.max() > 0.5:  # nearly the garment's own colour
        gap = photo[share > 0.5].mean(0) - out.mean((0, 1))
        out = np.clip(out + gap * np.float32(rng.uniform(0.5, 1.0)), 0, 255)
    return with_shadow(out, share, rng) if rng.random() < 0.6 else out


def on_sheet(rng: np.random.Generator, behind: np.ndarray, strips: list[np.ndarray],
             share: np.ndarray) -> np.ndarray:  # fmt: skip
    """A sheet or towel on what is behind a garment; it ends beside the garment, or under it.

    What it leaves of itself between a sleeve and its own end has the outline of a garment.

    Args:
        rng: source of everything random.
        behind: (h, w, 3) float32 in [0, 255].
        strips: (h', w', 3) uint8 each, what sheets are made of, drawn ones aside.
        share: (h, w) float32 in [0, 1], the garment's mask.

    Returns:
        (h, w, 3) float32 in [0, 255].
    """
    height, width = share.shape
    x, y, w, h = cv2.boundingRect((share > 0.5).astype(np.uint8))
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    angle, power = rng.normal(0, 0.25), rng.uniform(2, 8)
    half = np.maximum((w, h), 8) / 2 * rng.uniform(0.7, 1.5, 2)
    columns -= x + w / 2 + rng.normal(0, 0.1) * w
    rows -= y + h / 2 + rng.normal(0, 0.1) * h
    along = np.abs(columns * np.cos(angle) + rows * np.sin(angle)) / np.float32(half[0])
    across = np.abs(rows * np.cos(angle) - columns * np.sin(angle)) / np.float32(half[1])
    beyond = (along**power + across**power) ** (1 / power) - 1
    beyond += smooth_noise((height, width), rng, rng.uniform(10, 50), rng.uniform(0.02, 0.15))
    covered = np.clip(0.5 - beyond * half.mean(), 0, 1).astype(np.float32)
    sheet = _ground(rng, strips, (height, width))
    if rng.random() < 0.45:  # bed linen: pale, without much colour, on something darker
        grey = sheet.mean(2, keepdims=True)
        sheet = 255 - (255 - grey - (sheet - grey) * 0.4) * np.float32(rng.uniform(0.15, 0.6))
        sheet *= np.exp(rng.normal(0, 0.05, 3)).astype(np.float32)
        behind = behind * np.float32(rng.uniform(0.1, 0.8))
    if rng.random() < 0.5:
        behind = with_shadow(behind, covered, rng)
    return behind + (sheet - behind) * covered[..., None]


def _ground(rng: np.random.Generator, strips: list[np.ndarray],
            size: tuple[int, int]) -> np.ndarray:  # fmt: skip
    """One floor, cloth or wall, (h, w, 3) float32."""
    if rng.random() < 0.7:
        out = _laid_out(rng, strips[rng.integers(len(strips))], size)
    else:
        out = surface(size, rng)
    return colour_map(rng)(out) if rng.random() < 0.4 else out


def _laid_out(rng: np.random.Generator, strip: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A strip, mirrored again and again until it fills (h, w, 3) float32."""
    zoom = rng.uniform(0.5, 1.2)
    tile = cv2.resize(strip, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    if rng.random() < 0.3:
        tile = tile.transpose(1, 0, 2)
    rows, columns = (
        np.abs((np.arange(n) + rng.integers(2 * side)) % (2 * side) - side + 0.5).astype(int)
        for n, side in zip(size, tile.shape, strict=False)
    )
    return tile[rows.clip(0, len(tile) - 1)][:, columns.clip(0, tile.shape[1] - 1)].astype(
        np.float32
    )


@torch.no_grad()
def report(encoder: GarmentEncoder, sources: list[Source], size: tuple[int, int]) -> None:
    """Prints how the masks of real photos compare with GrabCut's, the rim aside."""
    rows, rim = [], np.ones((3, 3), np.uint8)
    for source in sources:
        image, mask = (cv2.resize(p, size[::-1], interpolation=cv2.INTER_AREA)
                       for p in (source.image, source.mask))  # fmt: skip
        chance = encoder(torch.from_numpy(to_tensor(image))).mask
        found, wanted = chance[0, 0].numpy() > 0.5, mask > 127
        core = wanted.astype(np.uint8)
        outside, inside = cv2.dilate(core, rim) == 0, cv2.erode(core, rim) > 0
        counts = (found & wanted).sum(), (found & outside).sum(), (~found & inside).sum()
        areas = (found | wanted).sum(), wanted.sum(), wanted.sum()
        rows.append([c / max(1, a) for c, a in zip(counts, areas, strict=True)])
    if rows:
        iou, more, less = np.mean(rows, 0)
        print(f"{len(rows)} held-out photos: IoU of the mask {iou:.3f}; of the garment's area "
              f"{more:.2%} too much, {less:.2%} too little")  # fmt: skip


def mask_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy and one minus the soft IoU, of (N, 1, H, W)."""
    chance = logits.sigmoid()
    both, either = (chance * mask).sum((1, 2, 3)), (chance + mask - chance * mask).sum((1, 2, 3))
    return F.binary_cross_entropy_with_logits(logits, mask) + (1 - both / (either + 1)).mean()


def train_masks(encoder: GarmentEncoder, sources: list[Source], size: tuple[int, int], steps: int,
                seed: int) -> None:  # fmt: skip
    """Trains the mask head of an encoder in place; all else stays as it is.

    Raises:
        DataError: no garment, or none with background beside it.
    """
    strips = [strip for source in sources for strip in source.strips]
    if not strips:
        raise DataError(f"{len(sources)} garments, none with background beside it to lay others on")
    batches = _batches(sources, strips, size, np.random.default_rng(seed))

    def losses() -> dict[str, Tensor]:
        pictures, masks = next(batches)
        with torch.no_grad():
            seen = encoder.seen(pictures)
        return {"mask": mask_loss(encoder.mask(*seen), masks)}

    encoder.eval()
    head = encoder.mask
    fit(head, [{"params": list(head.parameters()), "lr": 3e-3, "weight_decay": 1e-3}], steps, 0.1,
        losses)  # fmt: skip


def _batches(sources, strips, size, rng) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        drawn = [compose(rng, sources[rng.integers(len(sources))], strips, size)
                 for _ in range(BATCH)]  # fmt: skip
        pictures, masks = (np.stack(part) for part in zip(*drawn, strict=True))
        pictures = torch.from_numpy(pictures).permute(0, 3, 1, 2)  # channels last, as it is
        yield pictures, torch.from_numpy(masks)[:, None]
