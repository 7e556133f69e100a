"""Structural similarity of two pictures."""

import cv2
import numpy as np

_WINDOW = 1.5  # sigma of the window in pixels (Wang et al., 2004)


def ssim(a: np.ndarray, b: np.ndarray, peak: float) -> np.ndarray:
    """Structural similarity map, mean over channels.

    Args:
        a: (H, W, 3) in [0, peak].
        b: the same.
        peak: the brightest value, 1 or 255.

    Returns:
        (H, W) float64; Gaussian window of sigma 1.5, biased covariances.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)

    def blur(x: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(x, (11, 11), _WINDOW)

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return (luminance * (2 * covariance + c2) / (var_a + var_b + c2)).mean(2)
