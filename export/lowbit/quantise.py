"""From float weights to codes and scales, so that the layer's *output* changes least.

Three steps, each of which lowers the error ``tr(D H D^T)``, with ``D`` the change of the weights
and ``H`` the second moments of the layer's inputs (the covariance, where a bias takes up the mean):

1. the scale of each group, by search and then by least squares, instead of from the largest weight;
2. column by column, the error of rounding is made up for by the columns not yet rounded, along
   ``H`` (GPTQ, Frantar et al., 2022);
3. with the codes fixed, all scales of a row once more by least squares, now under all of ``H``.

Last, the bias takes up the mean error. Matrices are (parts, rows, columns), see `to_matrix`.
"""

from typing import NamedTuple

import numpy as np

from dmvton.lowbit import pieces
from export.lowbit.moments import Moments

SHRINKS = np.linspace(0.3, 1.0, 8)  # of the range that the levels cover
DAMPING = 0.01  # of the mean of H's diagonal


class Scheme(NamedTuple):
    """How the weights of a layer are coded."""

    bits: int  # 1 to 8
    group: int  # columns that share a scale, 0 for the whole row
    symmetric: bool


class Coded(NamedTuple):
    """A coded layer."""

    codes: np.ndarray  # (parts, rows, columns) uint8
    scales: np.ndarray  # (parts, rows, groups) float16
    offsets: np.ndarray  # (parts, rows, groups) float16
    weights: np.ndarray  # (parts, rows, columns) float32, what the codes stand for
    error: float  # mean square change of an output, by the moments
    signal: float  # mean square of an output, by the same


def quantise(weights: np.ndarray, moments: Moments, scheme: Scheme, has_bias: bool) -> Coded:
    """Code a layer.

    Args:
        weights: (parts, rows, columns) float32.
        moments: of its inputs.
        scheme: bits, group and symmetry.
        has_bias: a bias will take up the mean error.

    Raises:
        UsageError: the scheme's width is not 1 to 8.
    """
    pieces(scheme.bits)
    exact = weights.astype(np.float64)
    moment = moments.covariance if has_bias else moments.gram
    codes, scales, offsets = _round(exact, damped(moment), scheme)
    found = _refit(exact, damped(moment), codes, scales, offsets, scheme)
    pairs = ((scales, offsets), found)
    coded = [_coded(exact, moment, codes, *pair, scheme) for pair in pairs]
    return min(coded, key=lambda one: one.error)  # in float16, the refit may lose


def damped(moment: np.ndarray) -> np.ndarray:
    """Moments that can be inverted."""
    level = np.trace(moment, axis1=1, axis2=2) / moment.shape[1]
    return moment + np.eye(moment.shape[1]) * (DAMPING * level + 1e-12)[:, None, None]


def output_error(change: np.ndarray, moment: np.ndarray) -> float:
    """Mean square of an output of the weights `change`: (parts, rows, columns)."""
    return float(np.einsum("prk,pkl,prl->", change, moment, change, optimize=True)) / (
        change.shape[0] * change.shape[1]
    )


def _coded(exact, moment, codes, scales, offsets, scheme: Scheme) -> Coded:
    """Round the scales to what is stored, and measure."""
    scales = scales.astype(np.float16)
    offsets = offsets.astype(np.float16)
    weights = _decode(codes, scales, offsets, scheme)
    error = output_error(exact - weights, moment)
    return Coded(codes, scales, offsets, weights, error, output_error(exact, moment))


def _decode(codes, scales, offsets, scheme: Scheme) -> np.ndarray:
    """The formula of `dmvton.lowbit.dequantise`, for parts."""
    place = np.arange(codes.shape[2]) // (scheme.group or codes.shape[2])
    scales = scales.astype(np.float32)
    low = scales * np.float32(-middle(scheme)) if scheme.symmetric else offsets.astype(np.float32)
    return scales[..., place] * codes + low[..., place]


def middle(scheme: Scheme) -> float:
    """The code that stands for 0 in a symmetric scheme; it lies between two codes."""
    return ((1 << scheme.bits) - 1) / 2


def _round(exact, moment, scheme: Scheme):
    """Codes column by column; later columns make up for the error of earlier ones.

    Returns:
        codes (parts, rows, columns) uint8, scales and offsets (parts, rows, groups) float64.
    """
    parts, rows, columns = exact.shape
    group = scheme.group or columns
    left = exact.copy()
    codes = np.zeros(exact.shape, np.uint8)
    scales, offsets = np.zeros((2, parts, rows, -(-columns // group)))
    importance = np.diagonal(moment, axis1=1, axis2=2)  # (parts, columns)
    # Row k of the upper factor of H^-1: how column k's error is spread over those after it.
    factor = np.linalg.cholesky(np.linalg.inv(moment)).transpose(0, 2, 1)
    for start in range(0, columns, group):
        part = slice(start, min(start + group, columns))
        scale, offset = _fit_group(left[..., part], importance[:, None, part], scheme)
        scales[..., start // group], offsets[..., start // group] = scale, offset
        for k in range(part.start, part.stop):
            codes[..., k] = _nearest(left[..., k : k + 1], scale, offset, scheme)[..., 0]
            change = left[..., k] - (scale * codes[..., k] + offset)
            spread = factor[:, k, k + 1 :] / factor[:, k, k, None]
            left[..., k + 1 :] -= change[..., None] * spread[:, None]
    return codes, scales, offsets


def _nearest(values, scale, offset, scheme: Scheme) -> np.ndarray:
    """The codes nearest to (parts, rows, n) values under a scale (parts, rows)."""
    step = np.where(scale == 0, 1, scale)[..., None]
    return np.rint((values - offset[..., None]) / step).clip(0, (1 << scheme.bits) - 1)


def _fit_group(values, importance, scheme: Scheme):
    """Scale and offset of one group: the best of some ranges, polished by least squares.

    Args:
        values: (parts, rows, n).
        importance: (parts, 1, n), weight of the square error of each column.
        scheme: bits and symmetry.

    Returns:
        scale, offset: (parts, rows) float64.
    """
    best = (np.zeros(values.shape[:2]), np.zeros(values.shape[:2]))
    least = np.full(values.shape[:2], np.inf)
    for shrink in SHRINKS:
        pair = _range(values * shrink, scheme)
        for _ in range(3):
            codes = _nearest(values, *pair, scheme)
            change = values - (pair[0][..., None] * codes + pair[1][..., None])
            error = (importance * change**2).sum(-1)
            better = error < least
            least = np.where(better, error, least)
            best = tuple(np.where(better, new, old) for new, old in zip(pair, best, strict=True))
            pair = _least_squares(values, codes, importance, scheme)
    return best


def _range(values, scheme: Scheme):
    """The scale and offset whose levels just cover the values."""
    top = (1 << scheme.bits) - 1
    if scheme.symmetric:
        scale = 2 * np.abs(values).max(-1) / top
        return scale, -scale * middle(scheme)
    low, high = values.min(-1), values.max(-1)
    return (high - low) / top, low


def _least_squares(values, codes, importance, scheme: Scheme):
    """The best scale and offset for given codes under a diagonal importance."""
    weight = np.broadcast_to(importance, values.shape)
    if scheme.symmetric:
        levels = codes - middle(scheme)
        scale = (weight * values * levels).sum(-1) / (weight * levels**2).sum(-1).clip(1e-30)
        return scale, -scale * middle(scheme)
    total = weight.sum(-1).clip(1e-30)
    mean_code, mean_value = (weight * codes).sum(-1) / total, (weight * values).sum(-1) / total
    centred = codes - mean_code[..., None]
    scale = (weight * centred * values).sum(-1) / (weight * centred**2).sum(-1).clip(1e-30)
    return scale, mean_value - scale * mean_code


def _refit(exact, moment, codes, scales, offsets, scheme: Scheme):
    """All scales of a row together, by least squares under the whole moment matrix."""
    parts, rows, columns = exact.shape
    groups = scales.shape[2]
    member = np.arange(columns) // (scheme.group or columns) == np.arange(groups)[:, None]
    levels = codes - middle(scheme) if scheme.symmetric else codes.astype(np.float64)
    basis = levels[:, :, None, :] * member  # (parts, rows, groups, columns)
    if not scheme.symmetric:
        ones = np.broadcast_to(member.astype(np.float64), basis.shape)
        basis = np.concatenate([basis, ones], axis=2)
    across = np.einsum("prgk,pkl->prgl", basis, moment, optimize=True)
    normal = across @ basis.transpose(0, 1, 3, 2)
    level = np.trace(normal, axis1=2, axis2=3)[..., None, None] / normal.shape[-1]
    normal = normal + np.eye(normal.shape[-1]) * (1e-6 * level + 1e-30)
    found = np.linalg.solve(normal, across @ exact[..., None])[..., 0]
    if scheme.symmetric:
        return found, -found * middle(scheme)
    return found[..., :groups], found[..., groups:]


def bias_change(weights: np.ndarray, coded: Coded, moments: Moments) -> np.ndarray:
    """What to add to the bias, (parts * rows,), so that the mean output stays."""
    change = weights.astype(np.float64) - coded.weights
    return np.einsum("prk,pk->pr", change, moments.mean).reshape(-1)
