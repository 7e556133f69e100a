"""Contact sheets of the banks and products, for a human eye; not for publication."""

from pathlib import Path

import cv2
import numpy as np

from pose_synth.build import Banks, meshes
from pose_synth.drawn import draw_garments
from pose_synth.garments import Garment
from pose_synth.outfit import Outfit
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


def show(what: str, data: Path, out: Path, part: str = "train", count: int = 60, seed: int = 0):
    """Draws a sheet.

    Args:
        what: garments, persons, products or rendered (people in drawn garments).
        data: folder with `ccp/` and `clothing/train/`; `makehuman/base/` for rendered.
        out: picture to write.
        part: train, val or test.
        count: cells, drawn at random.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    if what == "rendered":
        people = RenderedGenerator(draw_garments(40, seed), meshes(data))
        cv2.imwrite(str(out), sheet([sample_cell(people.draw(rng)) for _ in range(count)], 3))
        print(f"{out}: {count} rendered people")
        return
    banks = Banks(data, part)
    if what == "products":
        generator = Generator(banks.outfits, banks.garments, Recipe())
        cells = [sample_cell(generator.draw(rng)) for _ in range(count)]
    elif what in ("garments", "persons"):
        items = banks.garments if what == "garments" else banks.outfits
        draw = garment_cell if what == "garments" else person_cell
        cells = [draw(items[i]) for i in rng.permutation(len(items))[:count]]
    else:
        raise ValueError(f"can't show {what!r}; expected garments, persons, products, rendered")
    cv2.imwrite(str(out), sheet(cells, 3 if what == "products" else 12))
    print(f"{out}: {len(cells)} {what}; {banks.summary()}")
