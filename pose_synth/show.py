"""Contact sheets of the banks and products, for a human eye; not for publication."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from dmvton.errors import OutputError, UsageError
from pose_synth.build import Banks, meshes
from pose_synth.drawn import draw_garments
from pose_synth.garments import Garment
from pose_synth.outfit import Outfit
from pose_synth.overlay import OverlayGenerator
from pose_synth.products import Sample
from pose_synth.recipe import Generator, Recipe
from pose_synth.rendered import RenderedGenerator
from pose_synth.strips import StripMesh

COLOURS = ((0, 255, 255), (255, 0, 255), (255, 255, 0))
ROWS = 240  # pixels of one picture


def _mesh(image: np.ndarray, mesh: StripMesh) -> np.ndarray:
    out = image.copy()
    for grid, colour in zip(mesh, COLOURS, strict=True):
        if grid is not None:
            lines = [*grid, *grid.transpose(1, 0, 2)]
            cv2.polylines(out, [np.round(p).astype(np.int32) for p in lines], False, colour, 1)
    return out


def _label(image: np.ndarray, text: str) -> np.ndarray:
    image = cv2.resize(image, (round(image.shape[1] * ROWS / image.shape[0]), ROWS))
    cv2.putText(image, text, (4, 14), 0, 0.4, (0, 0, 255), 1, cv2.LINE_AA)
    return image


def garment_cell(garment: Garment) -> np.ndarray:
    """The photo with its mesh, the rest greyed."""
    out = np.where(garment.mask[..., None] > 0.5, garment.image, garment.image // 4 + 170)
    return _label(_mesh(out.astype(np.uint8), garment.mesh), f"{garment.misfit:.3f} {garment.key}")


def person_cell(outfit: Outfit) -> np.ndarray:
    """The person with the mesh of the worn top."""
    return _label(_mesh(outfit.image, outfit.mesh), f"{outfit.key} {outfit.layers}")


def sample_cell(sample: Sample) -> np.ndarray:
    """Input, garment, target, and the garment warped by the stored flow."""
    size = sample.target.shape[1::-1]
    flow = cv2.resize(sample.flow.astype(np.float32) / 8, size)
    warped = cv2.remap(sample.garment, flow[..., 0], flow[..., 1], cv2.INTER_LINEAR)
    inside = sample.target_mask[..., None] > 127
    check = np.where(inside, warped, sample.target // 3 + 120).astype(np.uint8)
    parts = (sample.person, sample.garment, sample.target, check)
    names = (sample.person_key, "garment", sample.kind, "flow")
    return np.hstack([_label(p, n) for p, n in zip(parts, names, strict=True)])


def sheet(cells: list[np.ndarray], columns: int) -> np.ndarray:
    """Cells of equal size in rows."""
    blank = np.full_like(cells[0], 255)
    cells = cells + [blank] * (-len(cells) % columns)
    rows = [np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)]
    return np.vstack(rows)


WHAT = ("garments", "persons", "products", "A", "B", "C", "D", "rendered")


def show(
    what: str,
    data: Path,
    out: Path,
    part: str = "train",
    count: int = 60,
    seed: int = 0,
    only: str = "",
    learned: bool = False,
) -> None:
    """Draws a sheet.

    Args:
        what: garments, persons, products (C and D), one product (A, B, C or D), or rendered (A in
            drawn garments, which needs no photo).
        data: folder with `ccp/` and `clothing/train/`; `makehuman/base/` for A, B and rendered.
        out: picture to write.
        part: train, val or test.
        count: cells, drawn at random.
        seed: of the draw.
        only: class of garments to show, such as longsleeve; all if empty.
        learned: also garments whose landmarks a network found.

    Raises:
        UsageError: unknown `what`, or nothing to show.
    """
    if what not in WHAT:
        raise UsageError(f"can't show {what!r}; expected one of {', '.join(WHAT)}")
    if count < 1:
        raise UsageError(f"can't show {count} cells; expected at least 1")
    if what == "rendered":
        draw = RenderedGenerator(draw_garments(40, seed), meshes(data)).draw
        cells = [sample_cell(draw(np.random.default_rng([seed, i]))) for i in range(count)]
        summary: dict | str = "drawn garments"
    else:
        banks = Banks(data, part, learned)
        summary = banks.summary()
        if what in ("garments", "persons"):
            cells = _bank_cells(what, banks, count, seed, only)
        else:
            draw = _product(what, banks, data)
            cells = [sample_cell(draw(np.random.default_rng([seed, i]))) for i in range(count)]
    columns = 12 if what in ("garments", "persons") else 3
    picture = sheet(cells, min(columns, len(cells)))
    if not cv2.imwrite(str(out), picture):
        raise OutputError(f"can't write {out}; name a .jpg or .png in a folder that exists")
    print(f"{out}: {len(cells)} {what}; {summary}")


def _bank_cells(what: str, banks: Banks, count: int, seed: int, only: str) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    if what == "persons":
        people = banks.outfits
        return [person_cell(people[i]) for i in rng.permutation(len(people))[:count]]
    chosen = [g for g in banks.garments if only in ("", g.kind)]
    if not chosen:
        kinds = sorted({g.kind for g in banks.garments})
        raise UsageError(f"no garments of class {only!r}; expected one of {', '.join(kinds)}")
    return [garment_cell(chosen[i]) for i in rng.permutation(len(chosen))[:count]]


def _product(what: str, banks: Banks, data: Path) -> Callable[[np.random.Generator], Sample]:
    """What draws one product."""
    if what in ("A", "B"):
        people = RenderedGenerator(banks.garments, meshes(data))
        return people.draw if what == "A" else OverlayGenerator(people, banks.outfits).draw
    share = {"C": 0.0, "D": 1.0}.get(what, Recipe().real_target)
    return Generator(banks.outfits, banks.garments, Recipe(real_target=share)).draw
