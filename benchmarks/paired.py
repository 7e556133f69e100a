"""Paired quality on held-out people: how near the result comes to a real photo.

    python -m benchmarks.paired --shards SHARDS [--weights DIR] [--out paired.json]

SHARDS are of the test split (`dmvton synth build --part test`). In samples of kind D the input
shows the person in another garment, often with other sleeves, and the target is the untouched
photo; in kind C the target is the person dressed by the data engine. The crop is the hips-up one
that the runtime finds; no augmentation. `no-op` is the input handed back.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from dmvton.runtime import NetworkPair, to_tensor
from dmvton.shards import RawSample, ShardReader

REAL, RETEXTURED = "D", "C"


def ssim(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Structural similarity map (H, W) of two pictures (H, W, 3) in [0, 255], mean over channels.

    Gaussian window of sigma 1.5 (Wang et al., 2004).
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    blur = lambda x: cv2.GaussianBlur(x, (11, 11), 1.5)  # noqa: E731
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return (luminance * (2 * covariance + c2) / (var_a + var_b + c2)).mean(2)


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None) -> float:
    """PSNR in dB of two pictures in [0, 255], over the pixels of a mask (H, W) if one is given."""
    error = (a.astype(np.float64) - b.astype(np.float64)) ** 2
    mean = error.mean() if where is None else error[where].mean()
    return float(10 * np.log10(255**2 / max(mean, 1e-6)))


def crop(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The hips-up crop (height, width) in the middle of a person canvas."""
    y, x = (image.shape[0] - size[0]) // 2, (image.shape[1] - size[1]) // 2
    return np.ascontiguousarray(image[y : y + size[0], x : x + size[1]])


def garment_picture(raw: RawSample, size: tuple[int, int]) -> np.ndarray:
    """The garment on white, framed as the runtime frames it."""
    x, y, w, h = cv2.boundingRect((raw.garment_mask > 127).astype(np.uint8))
    zoom = 0.88 * min(size[1] / w, size[0] / h)
    shift = np.array([size[1], size[0]]) / 2 - zoom * np.array([x + w / 2, y + h / 2])
    matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
    warp = dict(dsize=size[::-1], flags=cv2.INTER_LINEAR)
    mask = cv2.warpAffine(raw.garment_mask, matrix, **warp)[..., None] / 255.0
    image = cv2.warpAffine(raw.garment, matrix, **warp, borderMode=cv2.BORDER_REPLICATE)
    return np.round(image * mask + 255 * (1 - mask)).astype(np.uint8)


def measure(result: np.ndarray, raw: RawSample, size: tuple[int, int]) -> dict[str, float]:
    """Figures of one result (H, W, 3) uint8 against the sample's target."""
    target = crop(raw.target, size)
    region = np.maximum(crop(raw.person_mask, size), crop(raw.target_mask, size)) > 127
    outside = cv2.dilate(region.astype(np.uint8), np.ones((15, 15), np.uint8)) == 0
    similarity = ssim(result, target)
    return {
        "ssim": float(similarity.mean()),
        "ssim_region": float(similarity[region].mean()),
        "psnr": psnr(result, target),
        "psnr_region": psnr(result, target, region),
        "psnr_outside": psnr(result, target, outside),
    }


def evaluate(network: NetworkPair, reader: ShardReader, kind: str) -> dict[str, dict[str, float]]:
    """Means over all samples whose kind begins with `kind`, for the student and the no-op."""
    figures: dict[str, list[dict[str, float]]] = {"student": [], "no-op": []}
    for i in range(len(reader)):
        raw = reader[i]
        region = crop(np.maximum(raw.person_mask, raw.target_mask), network.size)
        if not raw.kind.startswith(kind) or (region > 127).sum() < 200:
            continue
        person = crop(raw.person, network.size)
        garment = to_tensor(garment_picture(raw, network.size))
        layers = network.run(to_tensor(person), garment, network.encode_garment(garment))
        result = np.round(layers.image * 255).clip(0, 255).astype(np.uint8)
        figures["student"].append(measure(result, raw, network.size))
        figures["no-op"].append(measure(person, raw, network.size))
    return {name: _means(rows) for name, rows in figures.items()}


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    if not rows:
        raise ValueError("no sample of this kind in the shards; build more or other ones")
    means = {k: round(float(np.mean([r[k] for r in rows])), 4) for k in rows[0]}
    return {"samples": len(rows), **means}


def main(argv: list[str] | None = None) -> None:
    """Prints and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args(argv)
    network = NetworkPair(args.weights)
    reader = ShardReader(args.shards)
    report = {k: evaluate(network, reader, k) for k in (REAL, RETEXTURED)}
    report = {"weights": network.name, "size": list(network.size), "kinds": report}
    text = json.dumps(report, indent=1)
    print(text)
    if args.out:
        partial = args.out.with_name(args.out.name + ".part")
        partial.write_text(text + "\n")
        partial.replace(args.out)


if __name__ == "__main__":
    main()
