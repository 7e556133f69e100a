"""The result at the photo's own size, from layers at network size.

The layers are smooth and can be enlarged; the garment and the person are not, and are taken from
the full-size photos. Enlarging is bilinear between pixel centres (``align_corners=False``, which is
what ``cv2.resize`` does): native pixel ``i`` of ``n`` sits at ``(i + 0.5) * m / n - 0.5`` of ``m``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from dmvton.crop import Box
from dmvton.garment import Garment
from dmvton.hem import HEM, HemRule, with_hem
from dmvton.holes import HOLES, HoleRule, without_holes
from dmvton.runtime import Layers

_BAND = 16  # network rows enlarged at once: bounds the memory, and the size of the matrix product


@dataclass(frozen=True)
class Edges:
    """Where the result may differ from the input, and how it gets there."""

    hem: HemRule | None = HEM
    """How the hem is found; None leaves alpha as the network has it."""
    holes: HoleRule | None = HOLES
    """Which holes in the garment are closed; None leaves them."""
    width: float = 0.7
    """Network pixels over which the change begins, and in it the garment. Cloth has an edge: over
    how far alpha fades says how little the network knows of where it is. And half-transparent
    cloth never looks right: the likelier answer alone makes the better picture."""
    reach: float = 3.0
    """Distances from an edge end at so many network pixels."""
    round: float = 1.5
    """Gaussian in network pixels that smooths the distances, so that where the network is in two
    minds the edge is a line and no archipelago."""
    flat: float = 0.05
    """A chance that changes by less from one network pixel to the next has no edge, but a fade."""
    feather: float = 0.03
    """Width of the fade at a side of the crop that lies inside the frame, in crop heights."""


EDGES = Edges()


class _Maps(NamedTuple):
    """What is enlarged. Distances are, and not weights: they are linear across an edge."""

    x: np.ndarray  # (h, W) float32 column to sample in the garment level
    y: np.ndarray  # (h, W) float32 row to sample there
    change: np.ndarray  # (h, W) float32 network pixels from the edge of what changes, inwards
    garment: np.ndarray  # (h, W) float32 the same from the edge of the garment in it
    rendered: np.ndarray  # (h, W, 3) float32 in [0, 255]
    gain: np.ndarray  # (h, W, 3) float32


def composite(
    frame: np.ndarray, box: Box, layers: Layers, garment: Garment, edges: Edges = EDGES
) -> np.ndarray:
    """Dress the frame.

    Args:
        frame: (H, W, 3) uint8, not changed.
        box: where the crop lay.
        layers: the network's answer for that crop.
        garment: the garment that it was asked about.
        edges: the fading of the change.

    Returns:
        (H, W, 3) uint8; equal to the input, to the bit, wherever nothing changes.
    """
    out = frame.copy()
    final = settled(layers, garment, edges)
    inside, within = _distances(final, edges)
    region = _changed_region(inside > -edges.width / 2, box, frame.shape)
    if region.width == 0 or region.height == 0:
        return out
    level = garment.photo.level(sampling_density(layers, box, garment.box))
    source = source_pixels(final.flow, garment, level.shape)
    maps = _Maps(source[..., 0], source[..., 1], inside, within, layers.rendered * 255, layers.gain)
    fade_x, fade_y = _fades(box, region, frame.shape, edges.feather)
    for rows, band in _bands(maps, box, region):
        warped = cv2.remap(
            level,
            band.x,
            band.y,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        fade = fade_y[rows.start - region.y : rows.stop - region.y, None] * fade_x
        target = out[rows, region.x : region.right]
        target[:] = _blend(target, warped, band, fade, edges)
    return out


def distances(
    layers: Layers, garment: Garment, edges: Edges = EDGES
) -> tuple[np.ndarray, np.ndarray]:
    """Network pixels from the edge of what changes, and from that of the garment in it, inwards.

    Args:
        layers: the network's answer.
        garment: the garment that it was asked about.
        edges: the fading of the change.

    Returns:
        (h, w) float32 both; the second says nothing where the first is below 0.
    """
    return _distances(settled(layers, garment, edges), edges)


def settled(layers: Layers, garment: Garment, edges: Edges = EDGES) -> Layers:
    """The layers with the garment's hem found and its holes closed."""
    alpha, flow = layers.alpha, layers.flow
    if edges.hem is not None:
        alpha, flow = with_hem(alpha, layers.beta, flow, garment.torso, edges.hem)
    if edges.holes is not None:
        alpha = without_holes(alpha, layers, garment.torso, edges.holes)
    return layers._replace(alpha=alpha, flow=flow)


def _distances(layers: Layers, edges: Edges) -> tuple[np.ndarray, np.ndarray]:
    alpha = layers.alpha
    change = alpha + (1 - alpha) * layers.beta
    within = distance(alpha / np.maximum(change, 1e-3), edges, change)
    return distance(change, edges), within


def distance(
    chance: np.ndarray, edges: Edges = EDGES, weight: np.ndarray | None = None
) -> np.ndarray:
    """Pixels from the line where a chance passes a half, positive where it is larger.

    Args:
        chance: (h, w) float32 in [0, 1].
        edges: how far, and how smooth.
        weight: (h, w) float32 in [0, 1], where the chance means something; everywhere by default.

    Returns:
        (h, w) float32.
    """
    dy, dx = np.gradient(chance)
    away = (chance - np.float32(0.5)) / np.maximum(cv2.magnitude(dx, dy), np.float32(edges.flat))
    away = np.clip(away, -edges.reach, edges.reach)
    if weight is None:
        return _blurred(away, edges.round)
    weight = weight + np.float32(1e-3)
    return _blurred(away * weight, edges.round) / _blurred(weight, edges.round)


def _blurred(field: np.ndarray, sigma: float) -> np.ndarray:
    size = 2 * round(2 * sigma) + 1
    return cv2.GaussianBlur(field, (size, size), sigma, borderType=cv2.BORDER_REPLICATE)


def _blend(
    frame: np.ndarray, warped: np.ndarray, band: _Maps, fade: np.ndarray, edges: Edges
) -> np.ndarray:
    """Mix one band: (B, W, 3) uint8 frame and warped garment to (B, W, 3) uint8.

    Where the weight is 0 the sum below is the frame times one plus zeros, exact in float32.
    """
    weight = np.clip(band.change / edges.width + 0.5, 0, 1) * fade
    share = np.clip(band.garment / edges.width + 0.5, 0, 1)
    garment, rendered = _three(weight * share), _three(weight * (1 - share))
    lit = np.minimum(warped * band.gain, 255)
    mixed = frame * (1 - garment - rendered) + garment * lit + rendered * band.rendered
    return np.rint(mixed).clip(0, 255).astype(np.uint8)


def _three(weight: np.ndarray) -> np.ndarray:
    """(B, W) to (B, W, 3): contiguous, which NumPy multiplies faster than a broadcast of 3."""
    return cv2.merge([weight, weight, weight])


def source_pixels(flow: np.ndarray, garment: Garment, level_shape: tuple[int, ...]) -> np.ndarray:
    """Turn a normalised flow into pixels of one level of the garment photo.

    Convention: as in ``dmvton.crop``; the result counts from the centre of the first pixel,
    which is what ``cv2.remap`` expects.

    Args:
        flow: (h, w, 2) (x, y) in [-1, 1] of the garment's letterbox.
        garment: its box and photo.
        level_shape: shape of the level that will be sampled.

    Returns:
        (h, w, 2) float32 in pixels of the level.
    """
    pixels = garment.box.to_pixels(flow)
    height, width = garment.photo.image.shape[:2]
    shrink = np.array([level_shape[1] / width, level_shape[0] / height], np.float32)
    return (pixels + np.float32(0.5)) * shrink - np.float32(0.5)


def sampling_density(layers: Layers, box: Box, garment_box: Box) -> float:
    """How many pixels of the garment photo one pixel of the result steps over, typically.

    The median, over the garment, of the square root of the flow's Jacobian determinant.
    """
    height, width = layers.alpha.shape
    scale = np.array([garment_box.width / 2, garment_box.height / 2], np.float32)
    along_y = np.gradient(layers.flow * scale, axis=0)
    along_x = np.gradient(layers.flow * scale, axis=1)
    area = np.abs(along_x[..., 0] * along_y[..., 1] - along_x[..., 1] * along_y[..., 0])
    shown = area[layers.alpha > 0.5]
    if shown.size == 0:
        return 1.0
    native = (box.width / width) * (box.height / height)  # result pixels per network pixel
    return float(np.sqrt(np.median(shown) / native))


def warp_to_network_size(garment: Garment, layers: Layers) -> tuple[np.ndarray, np.ndarray]:
    """The warped garment and its mask at network size, for whoever wants to see them.

    Returns:
        (h, w, 3) uint8 with the light on it, and (h, w) float32 in [0, 1].
    """
    height, width = layers.alpha.shape
    x, y = cv2.split(Box(0, 0, width, height).to_pixels(layers.flow))
    warped = cv2.remap(garment.picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.remap(garment.mask, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.rint(np.clip(warped * layers.gain, 0, 255)).astype(np.uint8), mask


def _changed_region(change: np.ndarray, box: Box, frame_shape: tuple[int, ...]) -> Box:
    """The part of the frame that can change: (h, w) bool to a box inside the frame."""
    height, width = change.shape
    rows, columns = np.nonzero(change)
    if rows.size == 0:
        return Box(0, 0, 0, 0)
    # Interpolation reaches one network pixel beyond the last one that is over the bound.
    top, bottom = (rows.min() - 1) / height, (rows.max() + 2) / height
    left, right = (columns.min() - 1) / width, (columns.max() + 2) / width
    x, y = box.x + int(np.floor(left * box.width)), box.y + int(np.floor(top * box.height))
    far_x = box.x + int(np.ceil(right * box.width))
    far_y = box.y + int(np.ceil(bottom * box.height))
    within = Box(x, y, far_x - x, far_y - y)
    crop = box.inside(*frame_shape[:2])
    x, y = max(within.x, crop.x), max(within.y, crop.y)
    return Box(x, y, min(within.right, crop.right) - x, min(within.bottom, crop.bottom) - y)


def _fades(
    box: Box, region: Box, frame_shape: tuple[int, ...], feather: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights along x and y that fade the change out at crop sides inside the frame.

    Returns:
        (region width,) and (region height,) float32 in [0, 1].
    """
    reach = max(1.0, feather * box.height)

    def along(start: int, length: int, low: int, high: int, frame_side: int) -> np.ndarray:
        at = np.arange(start, start + length, dtype=np.float32)
        fade = np.ones(length, np.float32)
        if low > 0:
            fade = np.minimum(fade, (at - low) / reach)
        if high < frame_side:
            fade = np.minimum(fade, (high - 1 - at) / reach)
        return fade.clip(0, 1)

    height, width = frame_shape[:2]
    return (
        along(region.x, region.width, box.x, box.right, width),
        along(region.y, region.height, box.y, box.bottom, height),
    )


def _bands(maps: _Maps, box: Box, region: Box) -> Iterator[tuple[slice, _Maps]]:
    """Enlarge the maps to native size, some rows at a time.

    Yields:
        The rows of the frame, and the maps of shape (rows, region width, C).
    """
    height = maps.x.shape[0]
    columns = slice(region.x - box.x, region.right - box.x)
    wide = [
        np.ascontiguousarray(cv2.resize(field, (box.width, height))[:, columns]) for field in maps
    ]
    step = max(1, round(_BAND * box.height / height))
    for start in range(region.y, region.bottom, step):
        rows = slice(start, min(start + step, region.bottom))
        first, product = _row_weights(rows.start - box.y, rows.stop - box.y, box.height, height)
        last = first + product.shape[1]
        yield rows, _Maps(*(_enlarge_rows(field[first:last], product) for field in wide))


def _enlarge_rows(field: np.ndarray, product: np.ndarray) -> np.ndarray:
    """(k, W, C) network rows to (B, W, C) native rows by one matrix product."""
    flat = product @ field.reshape(field.shape[0], -1)
    return flat.reshape(product.shape[0], *field.shape[1:])


def _row_weights(start: int, stop: int, native: int, network: int) -> tuple[int, np.ndarray]:
    """Bilinear weights of network rows for the native rows ``start`` to ``stop``.

    Returns:
        The first network row needed, and (stop - start, k) float32 weights of it and the next ones.
    """
    at = ((np.arange(start, stop) + 0.5) * network / native - 0.5).clip(0, network - 1)
    low = np.minimum(at.astype(np.int64), network - 2)
    first, rows = int(low[0]), np.arange(stop - start)
    weights = np.zeros((stop - start, int(low[-1]) + 2 - first), np.float32)
    weights[rows, low - first] = 1 - (at - low)
    weights[rows, low + 1 - first] = at - low
    return first, weights
