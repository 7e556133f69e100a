"""Draw the example garment photos: tops of different sleeves, colours and prints, laid flat.

    python examples/make_garment.py [FOLDER]

Without a folder, each goes where the project keeps it: all to the demo's gallery, the striped one
also beside this file. Drawn at three times their size and shrunk, so that every edge is smooth.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from dmvton.image_io import save_image

SIZE = (800, 640)  # height, width
OVERSAMPLING = 3
GALLERY = Path(__file__).parents[1] / "app" / "static" / "garments"

Colour = tuple[int, int, int]
Points = list[tuple[float, float]]

# Half of an outline, from the middle of the neckline to the middle of the hem, in units of the
# picture's width from its centre; the other half mirrors it.
_ROUND_NECK: Points = [(0.0, 0.250), (0.055, 0.240), (0.098, 0.205), (0.118, 0.160)]
_V_NECK: Points = [(0.0, 0.330), (0.030, 0.290), (0.080, 0.215), (0.112, 0.160)]
_WIDE_NECK: Points = [(0.0, 0.330), (0.070, 0.320), (0.120, 0.270), (0.138, 0.158)]
_SHORT_SLEEVE: Points = (
    [(0.145, 0.155), (0.215, 0.190), (0.270, 0.225)]  # shoulder
    + [(0.330, 0.320), (0.395, 0.450), (0.400, 0.470)]  # sleeve, outside
    + [(0.380, 0.490), (0.305, 0.525), (0.285, 0.520)]  # cuff
    + [(0.262, 0.470), (0.245, 0.440)]  # sleeve, inside
)
_LONG_SLEEVE: Points = (
    [(0.145, 0.155), (0.215, 0.190), (0.270, 0.225)]
    + [(0.335, 0.400), (0.390, 0.680), (0.425, 0.945), (0.428, 0.975)]
    + [(0.420, 0.985), (0.362, 0.995), (0.350, 0.985)]
    + [(0.325, 0.800), (0.285, 0.560), (0.245, 0.440)]
)
_NO_SLEEVE: Points = [
    *[(0.150, 0.152), (0.190, 0.160), (0.205, 0.172)],
    *[(0.196, 0.250), (0.205, 0.350), (0.245, 0.425)],
]
_BODY: Points = (
    [(0.243, 0.600), (0.247, 0.800), (0.255, 1.010), (0.250, 1.030)]  # side
    + [(0.130, 1.043), (0.0, 1.047)]  # hem
)
_BACKGROUND: Colour = (244, 243, 240)


class Design(NamedTuple):
    """One garment."""

    neck: Points
    sleeve: Points
    cloth: Callable[[np.ndarray, np.ndarray], np.ndarray]  # x, y in widths to (H, W, 3) float32
    collar: Colour
    seed: int  # of the folds


def _outline(design: Design, scale: float) -> np.ndarray:
    """The closed outline in pixels, (N, 1, 2) int32."""
    half = np.array(design.neck + design.sleeve + _BODY)
    points = np.concatenate([half, (half[::-1] * (-1, 1))[1:-1]])
    return _rounded(points, scale, closed=True)


def _collar(design: Design, scale: float) -> np.ndarray:
    """The neckline in pixels, an open line (N, 1, 2) int32."""
    half = np.array(design.neck)
    return _rounded(np.concatenate([half[::-1] * (-1, 1), half[1:]]), scale, closed=False)


def _rounded(points: np.ndarray, scale: float, closed: bool) -> np.ndarray:
    """Cut the corners of a line three times (Chaikin) and bring it to pixels."""
    for _ in range(3):
        following = np.roll(points, -1, axis=0)
        cut = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], 1)
        cut = cut.reshape(-1, 2)
        points = cut if closed else np.concatenate([points[:1], cut[1:-3], points[-1:]])
    return ((points + (0.5, 0.0)) * scale).round().astype(np.int32)[:, None]


def _where(mask: np.ndarray, colour: Colour, other: Colour | np.ndarray) -> np.ndarray:
    """(H, W) bool to (H, W, 3) float32: one colour where it holds, another elsewhere."""
    return np.where(mask[..., None], np.float32(colour), np.float32(other))


def _striped(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Stripes that sag a little, with a disc printed on the chest."""
    white, blue, red = (238, 234, 222), (33, 62, 110), (214, 64, 48)
    sag = y - 0.02 * np.cos((x - 0.5) * 9)
    cloth = _where((sag % 0.085) < 0.030, blue, white)
    radius = np.hypot(x - 0.5, y - 0.46)
    cloth[radius < 0.105] = white
    cloth[radius < 0.092] = red
    star = 0.046 + 0.020 * np.cos(5 * np.arctan2(x - 0.5, 0.46 - y))
    cloth[radius < star] = white
    return cloth


def _sunrise(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Black, with a sun in bands over the chest."""
    black, orange, pink = (38, 38, 44), (247, 150, 62), (226, 74, 108)
    radius = np.hypot(x - 0.5, y - 0.55)
    depth = np.clip((y - 0.40) / 0.30, 0, 1)[..., None]
    sun = (1 - depth) * np.float32(orange) + depth * np.float32(pink)
    gap = (y > 0.53) & (((y - 0.53) % 0.036) < 0.004 + 0.06 * (y - 0.53))
    return np.where(((radius < 0.15) & ~gap)[..., None], sun, np.float32(black))


def _plaid(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Red and dark checks with a thin yellow line, woven."""
    red, dark, line = np.float32((178, 40, 44)), np.float32((36, 40, 52)), (226, 190, 96)
    across, down = ((x % 0.12) < 0.06)[..., None], ((y % 0.12) < 0.06)[..., None]
    cloth = 0.5 * (np.where(across, red, dark) + np.where(down, red, dark))
    thin = (np.abs(x % 0.12 - 0.03) < 0.0022) | (np.abs(y % 0.12 - 0.03) < 0.0022)
    return _where(thin, line, cloth)


def _dotted(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mustard with white dots in rows that are offset."""
    row = np.floor(y / 0.052)
    off_x = ((x + 0.03 * (row % 2)) % 0.06) - 0.03
    off_y = (y % 0.052) - 0.026
    return _where(np.hypot(off_x, off_y) < 0.011, (250, 246, 236), (226, 172, 44))


def _teal(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Plain, with a pocket on the wearer's left."""
    cloth, seam = (30, 132, 130), (20, 96, 96)
    across, down = np.abs(x - 0.62), y - 0.44
    bottom = 0.115 - 0.35 * across
    inside = (across < 0.058) & (down > 0) & (down < bottom)
    core = (across < 0.053) & (down > 0.006) & (down < bottom - 0.006)
    hem = inside & (np.abs(down - 0.022) < 0.002)
    return _where((inside & ~core) | hem, seam, cloth)


def _blocks(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Three broad fields of lilac, white and forest green with waves between."""
    lilac, white, green = (176, 156, 214), (246, 244, 240), (38, 92, 66)
    wave = y + 0.014 * np.sin(x * 30)
    return _where(wave < 0.42, lilac, _where(wave < 0.60, white, green))


DESIGNS = {
    "striped": Design(_ROUND_NECK, _SHORT_SLEEVE, _striped, (27, 50, 90), 3),
    "sunrise": Design(_ROUND_NECK, _SHORT_SLEEVE, _sunrise, (26, 26, 30), 5),
    "plaid": Design(_V_NECK, _LONG_SLEEVE, _plaid, (36, 40, 52), 7),
    "dotted": Design(_WIDE_NECK, _NO_SLEEVE, _dotted, (250, 246, 236), 11),
    "teal": Design(_V_NECK, _SHORT_SLEEVE, _teal, (20, 96, 96), 13),
    "waves": Design(_ROUND_NECK, _LONG_SLEEVE, _blocks, (140, 118, 186), 17),
}


def _folds(height: int, width: int, seed: int) -> np.ndarray:
    """Soft light and shade of cloth that lies almost flat: (height, width, 1), about 1."""
    rng = np.random.default_rng(seed)
    coarse = cv2.GaussianBlur(rng.standard_normal((height // 8, width // 8)), (0, 0), 14, 0)
    drawn = cv2.GaussianBlur(rng.standard_normal((height // 8, width // 8)), (0, 0), 4, 0, 22)
    relief = coarse / coarse.std() + 0.9 * drawn / drawn.std()
    relief = cv2.resize(relief, (width, height), interpolation=cv2.INTER_CUBIC)
    slope = np.gradient(relief, axis=1) + 0.4 * np.gradient(relief, axis=0)
    slope = cv2.GaussianBlur(slope, (0, 0), 12)  # enlarging leaves ribs in the slope
    return (1 + 0.055 * slope / slope.std()).clip(0.75, 1.2)[..., None].astype(np.float32)


def draw(design: Design = DESIGNS["striped"]) -> np.ndarray:
    """The picture, (H, W, 3) uint8 RGB."""
    height, width = (side * OVERSAMPLING for side in SIZE)
    mask = cv2.fillPoly(np.zeros((height, width), np.uint8), [_outline(design, width)], 255)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)[..., None] / width
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / width
    cloth = design.cloth(x, y).astype(np.float32)
    line = round(0.036 * width)
    cv2.polylines(cloth, [_collar(design, width)], False, design.collar, line, cv2.LINE_AA)
    rounding = 0.80 + 0.20 * np.clip(inside / 0.035, 0, 1) ** 0.5  # cloth turns away at its edges
    cloth = cloth * _folds(height, width, design.seed) * rounding
    shadow = cv2.GaussianBlur(mask, (0, 0), 0.012 * width).astype(np.float32)[..., None] / 255
    ground = np.float32(_BACKGROUND) * (1 - 0.22 * shadow)
    picture = np.where(mask[..., None] > 0, cloth, ground).clip(0, 255)
    return cv2.resize(picture, SIZE[::-1], interpolation=cv2.INTER_AREA).round().astype(np.uint8)


def main(folder: Path | None = None) -> None:
    """Draw all of them; without a folder, where the project keeps them."""
    target = folder or GALLERY
    target.mkdir(parents=True, exist_ok=True)
    for name, design in DESIGNS.items():
        print(save_image(target / f"{name}.jpg", draw(design), quality=92))
    if folder is None:
        shutil.copyfile(target / "striped.jpg", Path(__file__).with_name("garment_striped.jpg"))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
