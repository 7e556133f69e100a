"""How much the dressed picture flickers: ``python -m app.engine.flicker``.

A photo, shifted along a smooth path and given a camera's noise, stands for a video of somebody who
holds still, sways or turns up somewhere else all the time. The shifts being known, successive
pictures are laid on each other before they are compared.
"""

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from app.engine.follow import Follower
from app.gallery import EXAMPLE_PERSON, STATIC
from dmvton.image_io import read_picture
from dmvton.tryon import Stream, TryOn, dress

FRAMES, SETTLED = 24, 4  # the first frames are those in which the crop finds its place
NOISE = 4.0  # grey levels
MOTIONS = {"still": (0, 0), "sways": (12, 4), "moves": (40, 15)}  # pixels along x and y
_SIZE = (640, 480)

Look = Callable[[np.ndarray], np.ndarray]  # frame to picture, (480, 640, 3) uint8 both


def film(photo: np.ndarray, motion: tuple[int, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Frames (480, 640, 3) uint8, and (2, 3) float32 what lays each onto the first."""
    rng = np.random.default_rng(0)
    wide = cv2.copyMakeBorder(
        cv2.resize(photo, (560, 560), interpolation=cv2.INTER_AREA),
        *(0, 0, 90, 90),
        cv2.BORDER_REFLECT_101,
    )
    for number in range(FRAMES):
        turn = 2 * np.pi * number / FRAMES
        x, y = motion[0] * np.sin(turn), motion[1] * np.sin(2 * turn)
        there = np.array([[1, 0, -50 - x], [0, 1, -30 - y]], np.float32)
        frame = cv2.warpAffine(wide, there, _SIZE) + rng.normal(0, NOISE, (*_SIZE[::-1], 3))
        noisy = np.rint(frame.clip(0, 255)).astype(np.uint8)
        sent = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
        yield (
            np.asarray(cv2.imdecode(sent, cv2.IMREAD_COLOR)),
            np.array([[1, 0, x], [0, 1, y]], np.float32),
        )


def flicker(look: Look, photo: np.ndarray, motion: tuple[int, int]) -> tuple[float, float]:
    """Mean change from frame to frame within the dressed region, in grey levels.

    Returns:
        Of the dressed pictures, and of the frames themselves.
    """
    aligned: list[tuple[np.ndarray, np.ndarray]] = []
    for frame, back in film(photo, motion):
        shown, given = (
            np.asarray(cv2.warpAffine(picture.astype(np.float32), back, _SIZE))
            for picture in (look(frame), frame)
        )
        aligned.append((shown, given))
    middle = aligned[FRAMES // 2]
    region = np.abs(middle[0] - middle[1]).max(axis=-1) > 20
    steps = range(SETTLED, FRAMES)
    out, ground = (
        float(np.mean([np.abs(aligned[n][k] - aligned[n - 1][k])[region].mean() for n in steps]))
        for k in (0, 1)
    )
    return out, ground


def main() -> None:
    """Print the figures with and without smoothing."""
    tryon = TryOn.load(threads=1)
    garment = tryon.garment(STATIC / "garments" / "striped.jpg")
    photo = read_picture(EXAMPLE_PERSON).rgb

    def steady() -> Look:
        follower = Follower(tryon, garment)

        def look(frame: np.ndarray) -> np.ndarray:
            view = follower.look(frame)
            return frame if view is None else dress(frame, view, garment).image

        return look

    def plain() -> Look:
        stream = Stream(tryon, garment)

        def look(frame: np.ndarray) -> np.ndarray:
            result = stream(frame)
            return frame if result is None else result.image

        return look

    print("mean change from frame to frame in the dressed region, grey levels")
    for name, motion in MOTIONS.items():
        without, ground = flicker(plain(), photo, motion)
        smoothed, _ = flicker(steady(), photo, motion)
        print(f"{name:6} camera {ground:4.1f}  plain {without:4.1f}  smoothed {smoothed:4.1f}")


if __name__ == "__main__":
    main()
