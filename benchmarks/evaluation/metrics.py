"""Measures between pictures, feature sets and poses; NumPy and OpenCV only."""

import cv2
import numpy as np

from pose_synth.oks import oks

PSNR_CAP = 100.0  # dB; equal pictures would give infinity


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None) -> float:
    """PSNR in dB of two pictures in [0, 255], over a mask (H, W) if one is given; at most 100."""
    error = (a.astype(np.float64) - b.astype(np.float64)) ** 2
    mean = error.mean() if where is None else error[where].mean()
    return float(min(10 * np.log10(255**2 / max(mean, 1e-12)), PSNR_CAP))


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet distance of the Gaussians fitted to two feature sets (N, C) and (M, C): FID.

    ``|mean difference|^2 + tr(A + B - 2 (A B)^1/2)``. With ``A = X'X`` and ``B = Y'Y`` of centred
    and scaled features, the trace of the root is the sum of the singular values of ``X Y'``.
    """
    x, y = ((f - f.mean(0)) / np.sqrt(len(f) - 1) for f in (a, b))
    cross = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    shift = ((a.mean(0) - b.mean(0)) ** 2).sum()
    return float(shift + (x**2).sum() + (y**2).sum() - 2 * cross)


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased squared MMD with the kernel (x.y / C + 1)^3 of (N, C) and (M, C): KID."""
    n, m, c = len(a), len(b), a.shape[1]
    aa, bb, ab = ((x @ y.T / c + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    within_a = (aa.sum() - np.trace(aa)) / (n * (n - 1))
    within_b = (bb.sum() - np.trace(bb)) / (m * (m - 1))
    return float(within_a + within_b - 2 * ab.mean())


def keypoint_similarity(found: np.ndarray, expected: np.ndarray, area: float) -> float:
    """COCO's OKS.

    Args:
        found: (13, 2+) x and y in pixels.
        expected: (13, 3) x, y and visibility; only points seen (over 0.5) count.
        area: of the person in square pixels.

    Returns:
        In [0, 1]; NaN where no point is seen.
    """
    seen = expected[:, 2] > 0.5
    if not seen.any():
        return float("nan")
    return oks(expected[:, :2], found[:, :2], seen, area)


def leakage(one: np.ndarray, other: np.ndarray, person: np.ndarray, contrast: float) -> np.ndarray:
    """How much of the old garment still shows, from two results in unlike garments.

    Where the old garment is gone, the results are as far apart as the two new garments, so that at
    least one of them is half that far from the input; where it is left, both equal the input. Skin
    that came to light differs from the input in both and does not count.

    Args:
        one: (..., 3) the person in the first garment, [0, 255].
        other: the same in the second.
        person: the same, the input.
        contrast: distance of the two garments' mean colours, > 0.

    Returns:
        (...) in [0, 1]: 1 where nothing was changed, 0 where one result is at least half the
        contrast from the input.
    """
    person = person.astype(np.float64)
    apart = [np.linalg.norm(x.astype(np.float64) - person, axis=-1) for x in (one, other)]
    return (1 - np.maximum(*apart) / (contrast / 2)).clip(0, 1)


def ghost(one: np.ndarray, other: np.ndarray, person: np.ndarray, where: np.ndarray) -> float:
    """Share of the old garment's colour pattern that both results have in common with it.

    The slope of the two results' mean detail on the input's, in the two opponent colours (folds
    darken all colours alike and cancel). The new garments' own patterns do not resemble the old one
    and average out.

    Args:
        one: (H, W, 3) the person in the first garment, [0, 255].
        other: the same in the second.
        person: the same, the input.
        where: (H, W) bool, the region that the old garment covered.

    Returns:
        1 where nothing was changed, about 0 where the pattern is gone; NaN for an old garment
        without a coloured pattern.
    """
    common = _colour_detail((one.astype(np.float32) + other) / 2, where)
    old = _colour_detail(person.astype(np.float32), where)
    power = float((old**2).mean())
    if power < 4.0:  # grey levels squared: below, it is the noise of JPEG
        return float("nan")
    return float((common * old).mean() / power)


def shine(result: np.ndarray, person: np.ndarray, target: np.ndarray, where: np.ndarray) -> float:
    """Share of the old garment's detail that shines through, where the truth is known.

    The result's detail is fitted as `a input + b truth`, and this is `a`: blur makes `b` smaller,
    and what is wrong in other ways belongs to neither.

    Args:
        result: (H, W, 3) uint8.
        person: the same, the input in the old garment.
        target: the same, the truth in the new one.
        where: (H, W) bool, both garments.

    Returns:
        1 for the input, 0 for the truth; NaN where the input has no detail or that of the truth.
    """
    details = (_detail(x.astype(np.float32), where).ravel() for x in (result, person, target))
    found, old, new = details
    columns = np.stack([old, new], 1).astype(np.float64)
    gram = columns.T @ columns / max(1, len(old))
    if gram[0, 0] < 4.0 or gram[0, 1] ** 2 > 0.9 * gram[0, 0] * gram[1, 1]:
        return float("nan")
    return float(np.linalg.solve(gram, columns.T @ found / len(old))[0])


def _colour_detail(image: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Opponent colours less their surroundings inside a region: (H, W, 3) -> (n, 2)."""
    red, green, blue = cv2.split(image)
    return _detail(np.dstack([red - green, (red + green) / 2 - blue]), where)


def _detail(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Values less their surroundings inside a region: (H, W, C) float32 -> (n, C)."""
    weight = where.astype(np.float32)
    near = cv2.GaussianBlur(weight, (0, 0), 8)[..., None] + 1e-3
    around = cv2.GaussianBlur(values * weight[..., None], (0, 0), 8) / near
    return (values - around)[where]


def colour_distance(a: np.ndarray, b: np.ndarray, directions: int = 16) -> float:
    """Distance of two colour distributions: sliced Wasserstein-1 in CIELAB.

    Args:
        a: (N, 3) RGB uint8.
        b: (M, 3) RGB uint8.
        directions: fixed ones on a half sphere, over which the mean is taken.

    Returns:
        In units of Delta E.
    """
    axes = np.random.default_rng(0).normal(size=(3, directions))
    axes /= np.linalg.norm(axes, axis=0)
    at = np.linspace(0.01, 0.99, 99)
    first, second = (np.quantile(_lab(x) @ axes, at, axis=0) for x in (a, b))
    return float(np.abs(first - second).mean())


def _lab(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor((rgb[None] / np.float32(255)).astype(np.float32), cv2.COLOR_RGB2LAB)[0]
