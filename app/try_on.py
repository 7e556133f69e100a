"""``dmvton try``: put a garment photo on a person photo."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from app.arguments import Parser, add_network, load_network
from dmvton.errors import OutputError, UsageError
from dmvton.image_io import check_writable, read_picture, save_image
from dmvton.tryon import TryOnResult

CATEGORIES = ("upper",)
_SHEET_HEIGHT = 512


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; errors are raised as ``dmvton.errors``."""
    args = _parser().parse_args(argv)
    if args.category not in CATEGORIES:
        raise UsageError(
            f"garments of category {args.category!r} are not supported; "
            f"use one of: {', '.join(CATEGORIES)}"
        )
    person_path = Path(args.person)
    output = check_writable(args.output or person_path.with_name(f"{person_path.stem}-tryon.png"))
    layers = _layers_folder(args.layers) if args.layers else None
    person, photo = read_picture(person_path), read_picture(args.garment)
    tryon = load_network(args)
    result = tryon(person.rgb, tryon.garment(photo))
    save_image(output, result.image)
    if layers:
        save_layers(layers, result, person.rgb, photo.rgb)
    print(output)
    return 0


def _parser() -> Parser:
    parser = Parser(prog="dmvton try", description="Put a garment photo on a person photo.")
    parser.add_argument(
        "person", metavar="PERSON", help="photo of one person, hips to head in view"
    )
    parser.add_argument("garment", metavar="GARMENT", help="photo of one garment, any background")
    parser.add_argument(
        "-o", "--output", metavar="OUT", help=".png, .jpg or .webp (default: PERSON-tryon.png)"
    )
    parser.add_argument("--category", default="upper", help="kind of garment: upper (the default)")
    parser.add_argument(
        "--layers", metavar="DIR", help="also write what the result was made of, as pictures"
    )
    add_network(parser)
    return parser


def _layers_folder(name: str) -> Path:
    """Make the folder for the layers, before any work is done."""
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made a folder ({error.strerror}); choose another name"
        ) from error
    check_writable(folder / "flow.png")
    return folder


def save_layers(folder: Path, result: TryOnResult, person: np.ndarray, garment: np.ndarray) -> None:
    """Write the layers of a result as pictures, and ``contact.jpg`` with all at a glance.

    Args:
        folder: exists.
        result: of the try-on.
        person: (H, W, 3) uint8, the input.
        garment: (H, W, 3) uint8, the garment photo.
    """
    layers = {
        "warped": result.warped,
        "garment_mask": _grey(result.garment_mask),
        "alpha": _grey(result.alpha),
        "beta": _grey(result.beta),
        "rendered": np.rint(result.rendered * 255).astype(np.uint8),
        "flow": flow_picture(result.flow),
    }
    for name, picture in layers.items():
        save_image(folder / f"{name}.png", picture)
    save_image(folder / "contact.jpg", contact_sheet([person, garment, result.image]))


def _grey(weights: np.ndarray) -> np.ndarray:
    """(h, w) in [0, 1] to (h, w) uint8."""
    return np.rint(weights.clip(0, 1) * 255).astype(np.uint8)


def flow_picture(flow: np.ndarray) -> np.ndarray:
    """Show a flow: red is where from across, green where from down; lines every eighth.

    Args:
        flow: (h, w, 2) (x, y) in [-1, 1].

    Returns:
        (h, w, 3) uint8.
    """
    across = (flow + 1) / 2
    picture = np.dstack([across[..., 0], across[..., 1], np.full(flow.shape[:2], 0.35)])
    lines = (np.abs((across * 8) % 1 - 0.5) > 0.45).any(axis=-1)
    picture[lines] *= 0.6
    return np.rint(picture.clip(0, 1) * 255).astype(np.uint8)


def contact_sheet(pictures: Sequence[np.ndarray], height: int = _SHEET_HEIGHT) -> np.ndarray:
    """Put pictures side by side at one height: (H, W, 3) uint8 each, and the result."""
    columns = []
    for picture in pictures:
        width = max(1, round(picture.shape[1] * height / picture.shape[0]))
        kind = cv2.INTER_AREA if picture.shape[0] > height else cv2.INTER_LINEAR
        columns.append(cv2.resize(picture, (width, height), interpolation=kind))
        columns.append(np.full((height, 8, 3), 255, np.uint8))
    return np.hstack(columns[:-1])
