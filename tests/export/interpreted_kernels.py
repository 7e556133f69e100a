"""The packed kernel under Triton's interpreter; run by test_lowbit_kernels in its own process.

TRITON_INTERPRET must be set before triton is imported. Prints JSON: case -> largest difference from
the numpy reference.
"""

import json

import numpy as np
import torch

from dmvton.lowbit import dequantise
from export.lowbit.kernels import Tiles, pack_rows
from export.lowbit.pointwise import pointwise, to_device

# Output channels, input channels, (height, width), group, tiles; none of them fits the tiles.
SHAPES = {
    "groups of 32": (24, 40, (5, 7), 32, Tiles(32, 32, 32)),
    "whole rows": (33, 70, (2, 9), 0, Tiles(32, 32, 32)),
    "steps of 64": (20, 96, (3, 11), 64, Tiles(32, 32, 64)),
    "whole rows, steps of 64": (16, 96, (2, 8), 0, Tiles(16, 16, 64)),
}


def on_cpu(codes, scales, offsets, bits, group, bias):
    rows = pack_rows(codes, scales, offsets, bits, group)
    return to_device(rows, torch.from_numpy(bias), "cpu")


def exact_case(rng, bits, shape, symmetric, int8):
    """Values that float16 holds exactly, so that one wrong bit shows: the difference must be 0."""
    rows, columns, size, group, tiles = shape
    codes = rng.integers(0, 1 << bits, (rows, columns)).astype(np.uint8)
    codes[0], codes[1] = 0, (1 << bits) - 1
    groups = -(-columns // (group or columns))
    scales = rng.choice([1, 2], (rows, groups)).astype(np.float16)
    offsets = None if symmetric else rng.integers(-60, 60, (rows, groups)).astype(np.float16)
    x = np.zeros((2, columns, *size))
    for picture in x.reshape(2, columns, -1):
        for pixel in picture.T:
            pixel[rng.integers(columns)] = rng.choice([-1, 1])
    bias = rng.integers(-1, 2, rows).astype(np.float32)
    weights = dequantise(codes, scales, offsets, bits, group)
    want = np.einsum("rc,nchw->nrhw", weights, x) + bias[:, None, None]
    packed = on_cpu(codes, scales, offsets, bits, group, bias)
    x = torch.from_numpy(x).to(torch.int8 if int8 else torch.float16)
    return np.abs(pointwise(x, packed, False, tiles=tiles).numpy() - want).max()


def dense_case(rng, bits, int8):
    """Dense activations, small scales, ReLU6."""
    rows, columns, size, group = 33, 80, (4, 8), 32
    codes = rng.integers(0, 1 << bits, (rows, columns)).astype(np.uint8)
    scales = (rng.uniform(0.1, 0.5, (rows, 3)) / (1 << bits)).astype(np.float16)
    offsets = rng.normal(0, 0.05, (rows, 3)).astype(np.float16)
    bias = np.linspace(-4, 10, rows, dtype=np.float32)
    weights = dequantise(codes, scales, offsets, bits, group)
    packed = on_cpu(codes, scales, offsets, bits, group, bias)
    if int8:
        x, scale = rng.integers(-127, 128, (1, columns, *size)).astype(np.int8), 1 / 64
    else:
        x, scale = rng.normal(0, 1, (1, columns, *size)).astype(np.float16), 1.0
    raw = np.einsum("rc,nchw->nrhw", weights, x.astype(np.float32) * scale) + bias[:, None, None]
    assert raw.min() < -1 and raw.max() > 7, "both ends of ReLU6 must be seen"
    found = pointwise(torch.from_numpy(x), packed, True, scale, Tiles(32, 32, 32)).numpy()
    return np.abs(found - raw.clip(0, 6)).max()


def main():
    rng = np.random.default_rng(0)
    found = {}
    for bits in range(1, 9):
        for int8 in (False, True):
            kind = f"{bits} bits, {'int8' if int8 else 'fp16'}"
            for n, (name, shape) in enumerate(SHAPES.items()):
                case = exact_case(rng, bits, shape, bool(n % 2), int8)
                found[f"{kind}, {name}"] = float(case)
            found[f"{kind}, dense"] = float(dense_case(rng, bits, int8))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
