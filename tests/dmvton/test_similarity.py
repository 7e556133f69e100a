import numpy as np
from scipy.ndimage import correlate1d

from dmvton.similarity import ssim
from tests.samples import pattern


def reference_ssim(a, b):
    """Wang et al. in another order: moments by explicit 1-D correlations with mirrored borders."""
    x = np.arange(-5, 6)
    window = np.exp(-(x**2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(image):
        for axis in (0, 1):
            image = correlate1d(image, window, axis, mode="mirror")
        return image

    maps = []
    for k in range(3):
        p, q = a[..., k].astype(float), b[..., k].astype(float)
        mp, mq = mean(p), mean(q)
        vp, vq, cov = mean(p * p) - mp**2, mean(q * q) - mq**2, mean(p * q) - mp * mq
        c1, c2 = 6.5025, 58.5225
        maps.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return np.mean(maps, 0)


def test_ssim_agrees_with_another_implementation():
    one = pattern((48, 64), 20)
    noise = np.random.default_rng(0).normal(0, 15, one.shape)
    other = np.clip(one + noise, 0, 255).astype(np.uint8)
    np.testing.assert_allclose(ssim(one, other, 255), reference_ssim(one, other), atol=1e-9)
    assert ssim(one, other, 255).mean() < 0.95
    np.testing.assert_allclose(ssim(one, one, 255), 1)


def test_similarity_of_known_pictures():
    rng = np.random.default_rng(0)
    picture = rng.random((32, 32, 3))
    np.testing.assert_allclose(ssim(picture, picture, 1), 1)
    flat, lighter = np.full((16, 16, 3), 0.2), np.full((16, 16, 3), 0.6)
    c1 = 1e-4
    np.testing.assert_allclose(ssim(flat, lighter, 1), (2 * 0.12 + c1) / (0.04 + 0.36 + c1))
