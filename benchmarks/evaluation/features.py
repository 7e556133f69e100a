"""Features of the ImageNet trunk that the repository holds; the only part that needs torch.

EfficientNet-Lite0 up to stride 16 (Apache-2.0). It is neither LPIPS' VGG nor FID's Inception:
figures made with it compare contenders in one report, and not with those of papers.
"""

import functools

import cv2
import numpy as np
import torch

from dmvton.student.trunk import Features, Trunk

DISTANCE = "EfficientNet-Lite0, strides 2 to 16, unit-length channel vectors, no learnt weights"
POOLED = "EfficientNet-Lite0 at stride 16, pooled (112), standardised by the reference set"


@functools.cache
def _trunk() -> Trunk:
    return Trunk().eval()


def _features(image: np.ndarray) -> Features:
    return _of_bytes(np.ascontiguousarray(image).tobytes(), image.shape)


@functools.lru_cache(8)  # all contenders are compared with the same target
@torch.inference_mode()
def _of_bytes(pixels: bytes, shape: tuple[int, ...]) -> Features:
    image = np.frombuffer(pixels, np.uint8).reshape(shape).transpose(2, 0, 1)
    tensor = torch.from_numpy(image.copy())[None].float() / 255
    return _trunk()(tensor)


def pooled(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (112,) float64: the mean over positions."""
    return _features(image).s16[0].mean((1, 2)).double().numpy()


def perceptual(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """LPIPS-style distance map of two pictures.

    Args:
        a: (H, W, 3) uint8.
        b: the same.

    Returns:
        (H, W) float32 >= 0: squared distance of the unit-length channel vectors, mean of 4 strides.
    """
    maps = []
    for x, y in zip(_features(a), _features(b), strict=True):
        apart = (_unit(x) - _unit(y)).square().sum(1)[0].numpy()
        maps.append(cv2.resize(apart, a.shape[1::-1], interpolation=cv2.INTER_LINEAR))
    return np.mean(maps, 0)


def _unit(x: torch.Tensor) -> torch.Tensor:
    return x / (x.norm(dim=1, keepdim=True) + 1e-6)
