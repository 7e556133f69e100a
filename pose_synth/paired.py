"""Product P: a try-on dataset's own pairs, the person's real garment photo and the untouched photo.

As product D, the input is the person in some other garment; the garment is the real shop photo
where its mesh can be read, and the worn one laid flat where it cannot.
"""

from dataclasses import dataclass

import numpy as np

from pose_synth.ccp import SourceError
from pose_synth.garments import Garment, GarmentGates, garment_of
from pose_synth.outfit import Outfit, outfit_of
from pose_synth.outlines import grabcut_mask
from pose_synth.persons import Person, PersonGates, load_persons
from pose_synth.products import Sample
from pose_synth.recipe import Generator, Recipe
from pose_synth.strips import dense_map
from pose_synth.tryonset import TryOnSet

KIND = "P"
GATES = GarmentGates(min_area=0.05, max_area=0.95, sloping_cuffs=True)


@dataclass
class PairedBanks:
    """People and garments of a try-on dataset that pass the gates."""

    outfits: list[Outfit]
    garments: dict[str, Garment]
    """By the person who wears it."""
    rejects: dict[str, str]


def load_pairs(source: TryOnSet, limit: int | None = None, scale: float = 1.0) -> PairedBanks:
    """Reads the set; faults of single pairs become rejects with a reason.

    Args:
        source: the dataset.
        limit: so many pairs at most, the first by name.
        scale: of the canvases.

    Raises:
        SourceError: nobody in it can be used.
    """
    banks = PairedBanks([], {}, {})
    keys = source.ids()[:limit]
    # Studio photos crop closer than the street; a missing file is a reject with its name.
    for key in keys:
        if not source.has_parsing(key):
            banks.rejects[key] = "no labels or no keypoints"
    for found in load_persons(source, source, keys, scale, PersonGates(max_shoulder_ratio=1.1)):
        if not isinstance(found, Person):
            banks.rejects[found[0]] = found[1]
            continue
        banks.outfits.append(outfit_of(found, scale))
        try:
            photo, mask, path = source.garment(found.key)
        except SourceError as error:
            banks.rejects[f"garment of {found.key}"] = f"source: {error}"
            continue
        mask = grabcut_mask(photo) if mask is None else mask
        name = f"{source.layout.name}/{path.stem}"
        shop = garment_of(photo, mask, name, scale, GATES)
        if isinstance(shop, str):
            banks.rejects[f"garment of {found.key}"] = shop
        else:
            banks.garments[found.key] = shop
    if not banks.outfits:
        why = next(iter(banks.rejects.values()), "it is empty")
        raise SourceError(f"{source.root}: no person of part {source.part} can be used, the first "
                          f"because of: {why}; run `dmvton synth check` on it")  # fmt: skip
    return banks


class PairedGenerator(Generator):
    """Draws pairs; every draw depends on the given rng only."""

    def __init__(self, banks: PairedBanks, others: list[Garment], recipe: Recipe | None = None):
        """`others` are more garments that inputs may wear."""
        own = list(banks.garments.values()) + others
        super().__init__(banks.outfits, own, recipe or Recipe(real_target=0.8))
        self.own = banks.garments

    def _real_target(self, rng: np.random.Generator, outfit: Outfit) -> Sample:
        garment = self.own.get(outfit.key)
        if garment is None:
            return super()._real_target(rng, outfit)
        flow = dense_map(outfit.mesh, garment.mesh, outfit.image.shape[:2])
        person, mask = self._input(rng, outfit)
        return self._pack(outfit, person, mask, outfit.image, outfit.region.astype(np.float32),
                          outfit.region, garment.image, garment.mask, flow, KIND,
                          garment.key)  # fmt: skip
