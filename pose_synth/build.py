"""Banks to shards: what `dmvton synth build` does."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from dmvton.errors import UsageError
from pose_synth import split
from pose_synth.ccp import ClothingCoParsing
from pose_synth.drawn import draw_garments
from pose_synth.framing import FramingGenerator
from pose_synth.garments import (
    EVERY_CLASS,
    KINDS,
    TOP_KINDS,
    Garment,
    garment_key,
    garment_paths,
    load_garments,
)
from pose_synth.landmarks import load_landmarks
from pose_synth.one_core import use_one_core
from pose_synth.outfit import Outfit, outfit_of
from pose_synth.overlay import OverlayGenerator
from pose_synth.paired import PairedGenerator, load_pairs
from pose_synth.parsings import ParsingBank
from pose_synth.persons import WIDE_GATES, Person, load_persons
from pose_synth.pose import PoseBank
from pose_synth.products import Sample
from pose_synth.recipe import Generator, Recipe
from pose_synth.rendered import RenderedGenerator, RenderedRecipe
from pose_synth.shards import ShardPlan, write
from pose_synth.tryonset import TryOnSet

TINY_GARMENTS = 48


@dataclass(frozen=True)
class BuildConfig:
    """What to build, and from what."""

    data: Path
    """Folder with `ccp/`, `clothing/train/` and, for rendered people, `makehuman/base/`; with
    `--layout tryon`, a dataset in the layout of VITON, VITON-HD, VITON-Clean or DressCode."""
    out: Path
    samples: int | None = None
    """How many; 9000 if not given, 240 with the preset."""
    layout: Literal["collections", "tryon"] = "collections"
    """`tryon`: pairs of person and garment, read from a try-on dataset."""
    preset: Literal["tiny"] | None = None
    """`tiny`: a minute's work without any photo, rendered people in drawn garments."""
    part: str = "train"
    """Part of the split: train, val or test."""
    seed: int = 0
    learned: bool = False
    """Also garments whose landmarks a network found: most long sleeves and jackets. The protocols
    of `dmvton eval` are drawn without."""
    parsed: bool = False
    """Also people whose photos have no labels and were parsed by a network; product D only."""
    wide: bool = False
    """Also people turned further aside, with a bag before the top or in wide coats; product D
    only."""
    scale: float = 1.0
    """Of the canvases, 336x256 for people at 1; 2 is for training at 512x384. Other than at 1 only
    products C, D and P are drawn: pass `--framing 0`."""
    framing: float = 0.18
    """Share of pose-only samples (whole photos and pictures without a person)."""
    rendered: float = 0.0
    """Share of rendered people (product A)."""
    overlay: float = 0.0
    """Share of rendered garments over real people (product B), of what is not product A."""
    recipe: Recipe = field(default_factory=Recipe)
    people: RenderedRecipe = field(default_factory=RenderedRecipe)


class Banks:
    """Persons and garments of one part of the split, with the reasons of all rejects."""

    def __init__(self, data: Path, part: str, learned: bool = False, parsed: bool = False,
                 wide: bool = False, scale: float = 1.0):  # fmt: skip
        """Loads the banks; takes under a minute with the committed keypoints and outlines.

        `learned` adds the garments whose landmarks a network found, `parsed` the people whose
        parsing a network found, `wide` those who pass `WIDE_GATES`. `scale` is that of the
        canvases.
        """
        use_one_core()
        self.source, self.poses = ClothingCoParsing(data / "ccp"), PoseBank.load()
        self.keys = split.select(self.source.ids(), "persons", part)
        self.outfits: list[Outfit] = []
        self.rejects: dict[str, str] = {}
        parsings = ParsingBank.load() if parsed else None
        for found in load_persons(self.source, self.poses, self.keys, parsings=parsings,
                                  wide=WIDE_GATES if wide else None):  # fmt: skip
            if isinstance(found, Person):
                self.outfits.append(outfit_of(found, scale))
            else:
                self.rejects[found[0]] = found[1]
        self.paths = _of_part(garment_paths(data / "clothing/train", EVERY_CLASS), part)
        self.garments, rejected = _tops(self.paths, learned, scale)
        self.rejects |= rejected

    def summary(self) -> dict:
        """Counts, and the reject reasons with how often they occurred."""
        reasons = Counter(r.split(":")[0] for r in self.rejects.values())
        return {"persons": len(self.outfits), "garments": len(self.garments),
                "rejected": dict(reasons.most_common())}  # fmt: skip


def shop_tops(data: Path, part: str, learned: bool = False, scale: float = 1.0) -> list[Garment]:
    """The usable tops of one part of the split, each on a canvas of that scale."""
    paths = garment_paths(data / "clothing/train", EVERY_CLASS)
    return _tops(_of_part(paths, part), learned, scale)[0]


def _tops(
    paths: list[Path], learned: bool, scale: float = 1.0
) -> tuple[list[Garment], dict[str, str]]:
    """Usable tops among garment photos, and the reasons of the others by key."""
    garments: list[Garment] = []
    rejects: dict[str, str] = {}
    points = {k: p for k, (p, _) in load_landmarks().items()} if learned else None
    kinds = TOP_KINDS if learned else KINDS
    photos = [p for p in paths if p.parent.name in kinds]
    for shop in load_garments(photos, scale, landmarks=points):
        if isinstance(shop, Garment):
            garments.append(shop)
        else:
            rejects[shop[0]] = shop[1]
    return garments, rejects


def _of_part(paths: list[Path], part: str) -> list[Path]:
    keep = set(split.select([garment_key(p) for p in paths], "garments", part))
    return [p for p in paths if garment_key(p) in keep]


def build(cfg: BuildConfig) -> Path:
    """Writes the shards and returns the manifest's path."""
    use_one_core()
    if cfg.scale != 1 and (cfg.preset or cfg.framing or cfg.rendered or cfg.overlay):
        raise UsageError(
            f"scale is {cfg.scale:g}; whole photos and rendered pictures are drawn at 1 only: pass "
            "--framing 0, and no --rendered, --overlay or --preset"
        )
    if cfg.preset == "tiny":
        return _build_tiny(cfg)
    if cfg.layout == "tryon":
        return _build_paired(cfg)
    banks = Banks(cfg.data, cfg.part, cfg.learned, cfg.parsed, cfg.wide, cfg.scale)
    print(banks.summary())
    tryon = Generator(banks.outfits, banks.garments, cfg.recipe)
    framing = FramingGenerator(banks.source, banks.poses, banks.keys, banks.garments, banks.paths)
    people = overlay = None
    if cfg.rendered > 0 or cfg.overlay > 0:
        people = RenderedGenerator(banks.garments, meshes(cfg.data), cfg.people)
    if people is not None and cfg.overlay > 0:
        overlay = OverlayGenerator(people, [o for o in tryon.outfits if not o.target_only])

    def draw(rng: np.random.Generator) -> Sample:
        if people is not None and rng.random() < cfg.rendered:
            return people.draw(rng)
        if overlay is not None and rng.random() < cfg.overlay:
            return overlay.draw(rng)
        return (framing if rng.random() < cfg.framing else tryon).draw(rng)

    note = {"part": cfg.part, "banks": banks.summary(), "rejects": banks.rejects,
            "recipe": asdict(cfg.recipe), "framing": cfg.framing, "learned": cfg.learned,
            "parsed": cfg.parsed, "wide": cfg.wide, "scale": cfg.scale,
            "people": asdict(cfg.people), "rendered": cfg.rendered,
            "overlay": cfg.overlay}  # fmt: skip
    return write(ShardPlan(cfg.out, cfg.samples or 9000, cfg.seed), draw, note)


def meshes(data: Path) -> Path:
    """Where a data folder keeps the MakeHuman meshes."""
    return data / "makehuman" / "base"


def _build_tiny(cfg: BuildConfig) -> Path:
    """Shards that are right in shape and flow, from meshes and drawn garments alone."""
    garments = draw_garments(TINY_GARMENTS, cfg.seed)
    people = RenderedGenerator(garments, meshes(cfg.data), cfg.people)
    note = {"preset": cfg.preset, "garments": len(garments), "recipe": asdict(people.recipe)}
    return write(ShardPlan(cfg.out, cfg.samples or 240, cfg.seed), people.draw, note)


def _build_paired(cfg: BuildConfig) -> Path:
    """Shards from a try-on dataset's own pairs."""
    source = TryOnSet(cfg.data, cfg.part)
    banks = load_pairs(source, scale=cfg.scale)
    note = {"part": cfg.part, "layout": source.layout.name, "recipe": asdict(cfg.recipe),
            "banks": {"persons": len(banks.outfits), "garments": len(banks.garments)},
            "rejects": banks.rejects}  # fmt: skip
    print(note["banks"], len(banks.rejects), "left out; the manifest says why")
    draw = PairedGenerator(banks, [], cfg.recipe).draw
    return write(ShardPlan(cfg.out, cfg.samples or 9000, cfg.seed), draw, note)
