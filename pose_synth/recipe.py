"""Draws samples: which person, which garments, which changes of cut."""

from dataclasses import dataclass, replace

import numpy as np

from dmvton.parsing import Parsing
from pose_synth.borrowed import nearest_tops, put_over, tops_of
from pose_synth.bystander import with_bystander
from pose_synth.cuts import (
    Cut,
    cut_garment,
    cut_outfit,
    draw_cut,
    draw_neck,
    with_back,
)
from pose_synth.garments import Garment
from pose_synth.outfit import (
    LONG_SLEEVE,
    Outfit,
    add_sleeves,
    bare_arms,
    bare_shoulders,
    change_neckline,
    crop_hem,
    lower_hem,
    raise_hem,
    see_through,
)
from pose_synth.products import (
    Sample,
    dress,
    flatten,
    flow_to_grid,
    garment_layers,
    shading,
)
from pose_synth.sizes import flat_hem, is_long, sleeve_reach, unlike
from pose_synth.strips import StripMesh
from pose_synth.trims import neckwear_of, pinned, with_neckwear

NO_SLEEVE = 0.1  # share of the arm up to which a top counts as sleeveless
LOWEST_WAIST = 1.08  # torso lengths; a hem from here on has a skirt or trousers below it


@dataclass(frozen=True)
class Recipe:
    """Shares and probabilities of the sample generator."""

    real_target: float = 0.5
    """Share of product D; the rest is product C."""
    real_input: float = 0.5
    """Among product C, share whose input is the untouched photo."""
    painted_skin: float = 0.2
    """Chance that product C may shorten sleeves with painted skin in the target."""
    sleeve_change: float = 0.6
    """Chance that an input's sleeves are made longer or shorter than the photo's."""
    hem_change: float = 0.3
    neckline_change: float = 0.3
    natural_hem: float = 0.9
    """Among product C, share in which a garment on a coat or dress ends where its own length says,
    the rest of the coat staying below it; else a t-shirt is stretched to the coat's length."""
    sleeveless: float = 0.0
    """Chance that an input's sleeves are cut at the shoulder, half of the time with a low neck."""
    off_shoulder: float = 0.0
    """Chance that an input's top ends below the shoulders, half of the time without sleeves."""
    cropped: float = 0.0
    """Chance that an input's hem is cut above the hips and the belly painted bare."""
    sheer: float = 0.0
    """Chance that the skin shows through an input's top."""
    borrowed: float = 0.0
    """Among product D, chance that the input wears a real top of somebody else, over the other."""
    pinned: float = 0.0
    """Chance that an input's top has badges, buttons, a pocket or a zip that the target has not."""
    neckwear: float = 0.0
    """Chance that an input wears somebody's scarf or tie, which the target has not. Above 0, who
    wears one in the photo is no target: it would teach to leave it on."""
    bystander: float = 0.0
    """Chance that somebody else stands beside the person, who keeps their clothes."""
    bare_target: float = 1.0
    """How many times as often a short-sleeved person is drawn: few are, and arms are learnt from
    them."""
    sleeveless_garment: float = 0.0
    """Among product C, chance that the garment is cut into a vest, tank top, camisole, strapless
    or cropped top, which no collection of shop photos here has."""
    sleeveless_target: float = 1.0
    """How many times as often a person without sleeves is drawn; one in thirty is."""
    open_skin: float = 0.0
    """Among product D, chance that the flat garment has the worn one's neckline and armholes; else
    it has a shop garment's, and of the neckline the network can only learn to leave it."""
    shown_back: float = 0.0
    """Among those, chance that the inside of the back shows in the neckline, as in shop photos."""
    cropped_garment: float = 0.0
    """Among product C, chance that a garment with sleeves is cropped, and the belly bare where the
    old top covered it."""
    cut_neck: float = 0.0
    """Among product C, chance that a garment with sleeves gets another neckline, which the person
    wears too, be the old one deeper or higher; else every garment takes the old one's."""
    own_sleeves: float = 0.0
    """Chance that sleeves are as long as the flat garment's own say: in product C the person's are
    changed, in product D the flat garment is chosen. Else any short garment lies on any short
    sleeve, and a wide t-shirt, which is neither short nor long, may be drawn down to the hands."""
    longest_top: float = 0.0
    """Single tops whose hem lies above this, in torso lengths, are worn at their whole length: the
    rest of one, below a new hem, would look like the old top left behind."""
    lifelike_skin: bool = False
    """Whether painted skin has the tone of face and arms, bared shoulders are as round as the
    sleeve was, and sleeves that are put on lie close; else the tone is that of all skin, legs
    included, and from thin shoulders and wide sleeves the network learns to puff sleeves up."""
    max_holes: float = 0.45
    """Share of a flattened garment that may have been hidden."""


class Rejected(Exception):
    """This draw gives no usable sample; draw again."""


def _in_cut(outfit: Outfit, cut: Cut) -> Outfit:
    """The person in a top of that cut.

    Raises:
        Rejected: the picture shows no skin to paint what it bares with.
    """
    fitted = cut_outfit(outfit, cut)
    if fitted is None:
        raise Rejected
    return fitted


def _happens(rng: np.random.Generator, chance: float) -> bool:
    """Draws nothing where the chance is 0, so that older recipes draw what they drew."""
    return chance > 0 and rng.random() < chance


class Generator:
    """Samples from a person bank and a garment bank; every draw depends on the given rng only."""

    def __init__(
        self, outfits: list[Outfit], garments: list[Garment], recipe: Recipe | None = None
    ):
        self.recipe = recipe or Recipe()
        self.neckwear = neckwear_of(outfits) if self.recipe.neckwear > 0 else []
        wearers = {one.key for one in self.neckwear}
        outfits = [o for o in outfits if o.key not in wearers]
        if self.recipe.lifelike_skin:
            outfits = [replace(o, lifelike=True) for o in outfits]
        self.outfits, self.garments = outfits, garments
        self.long = [g for g in garments if is_long(g)]
        self.short = [g for g in garments if not is_long(g)]
        weight = {"single": 1.0, "dress": 0.6, "layered": 0.6}
        more = {True: self.recipe.bare_target, False: 1.0}
        chance = np.array([weight[o.layers] * more[o.sleeve < LONG_SLEEVE] for o in outfits])
        chance[[o.sleeve < NO_SLEEVE for o in outfits]] *= self.recipe.sleeveless_target
        self.chance = chance / chance.sum()
        self.tops = tops_of(outfits) if self.recipe.borrowed > 0 else []

    def draw(self, rng: np.random.Generator) -> Sample:
        """One sample; tries again until a draw is usable."""
        for _ in range(50):
            try:
                kind = "D" if rng.random() < self.recipe.real_target else "C"
                outfit = self.outfits[rng.choice(len(self.outfits), p=self.chance)]
                # A target painted by a network's parsing would teach its mistakes; a photo can't.
                real = kind == "D" or outfit.target_only
                sample = (self._real_target if real else self._retexture)(rng, outfit)
                return self._in_company(rng, sample, outfit)
            except Rejected:
                continue
        raise RuntimeError("50 draws in a row were rejected; loosen the gates or enlarge the banks")

    def _in_company(self, rng, sample: Sample, outfit: Outfit) -> Sample:
        if not _happens(rng, self.recipe.bystander):
            return sample
        other = self.outfits[rng.integers(len(self.outfits))]
        return sample if other is outfit else with_bystander(rng, sample, outfit, other)

    def _garment(self, rng, long: bool) -> Garment:
        pool = self.long if long else self.short
        pool = pool or self.garments
        return pool[rng.integers(len(pool))]

    def _any_garment(self, rng) -> Garment:
        return self._garment(rng, bool(rng.random() < 0.45))

    def _fit_sleeves(self, rng, outfit: Outfit, garment: Garment) -> Outfit:
        """The outfit with sleeves that suit a long- or short-sleeved garment."""
        worn_long, long = outfit.sleeve > LONG_SLEEVE, is_long(garment)
        if _happens(rng, self.recipe.own_sleeves):
            reach = min(sleeve_reach(garment.mesh) + rng.normal(0, 0.03), 1.0)
            if outfit.sleeve > reach + 0.08 and reach < 0.88:
                self._may_bare(rng, outfit)
                return bare_arms(outfit, reach)
            return add_sleeves(outfit, reach) if outfit.sleeve < reach - 0.08 else outfit
        if long and not worn_long:
            return add_sleeves(outfit, rng.uniform(0.85, 1.0))
        if not long and worn_long:
            self._may_bare(rng, outfit)
            return bare_arms(outfit, rng.uniform(0.22, 0.45))
        if not long and outfit.sleeve < NO_SLEEVE:
            return add_sleeves(outfit, rng.uniform(0.2, 0.35))
        return outfit

    def _may_bare(self, rng, outfit: Outfit) -> None:
        """Rejects most draws that paint long-sleeved arms bare, where the recipe says so."""
        if outfit.sleeve > LONG_SLEEVE and rng.random() > self.recipe.painted_skin:
            raise Rejected

    def _recut(self, rng, outfit: Outfit) -> Outfit:
        """Random changes of cut for an input."""
        r = self.recipe
        if _happens(rng, r.sleeveless):
            outfit = bare_arms(outfit, rng.uniform(0.01, 0.06))
            if rng.random() < 0.5:
                outfit = change_neckline(outfit, rng.uniform(0.15, 0.4))
        elif rng.random() < r.sleeve_change:
            if outfit.sleeve > LONG_SLEEVE:
                outfit = bare_arms(outfit, rng.uniform(0.15, 0.55))
            else:
                outfit = add_sleeves(outfit, rng.uniform(max(0.3, outfit.sleeve + 0.1), 1.0))
        if _happens(rng, r.off_shoulder):
            if rng.random() < 0.5:
                outfit = bare_arms(outfit, rng.uniform(0.01, 0.06))
            outfit = bare_shoulders(outfit, rng.uniform(0.1, 0.26))
        if _happens(rng, r.cropped):
            outfit = crop_hem(outfit, rng.uniform(0.1, 0.35))
        elif rng.random() < r.hem_change:
            outfit = lower_hem(outfit, rng.uniform(0.05, 0.35))
        if rng.random() < r.neckline_change:
            outfit = change_neckline(outfit, rng.uniform(0.08, 0.3) if rng.random() < 0.6 else -1.0)
        return outfit

    def _light(self, rng, outfit: Outfit) -> np.ndarray:
        return shading(outfit.image, garment_layers(outfit), rng.uniform(0.7, 1.1))

    def _input(self, rng, outfit: Outfit):
        """The person in another garment and another cut: (picture, mask)."""
        changed = self._recut(rng, outfit)
        long = changed.sleeve > LONG_SLEEVE
        dressed = dress(changed, self._garment(rng, long), self._light(rng, changed))
        image = dressed.image
        if _happens(rng, self.recipe.sheer):
            image = see_through(changed, image, rng.uniform(0.35, 0.75))
        return image, dressed.mask

    def _retexture(self, rng, outfit: Outfit) -> Sample:
        """Product C: the target is the person dressed in a shop garment."""
        garment = self._any_garment(rng)
        if _happens(rng, self.recipe.sleeveless_garment):
            cut = draw_cut(rng)
            garment = cut_garment(garment, cut, rng)
            self._may_bare(rng, outfit)
            return self._redressed(rng, outfit, _in_cut(self._raised(rng, outfit), cut), garment)
        fitted = self._fit_sleeves(rng, outfit, garment)
        r = self.recipe
        if _happens(rng, r.cropped_garment):
            return self._recut_sleeved(rng, outfit, self._raised(rng, fitted), garment, True)
        lack = flat_hem(garment.mesh) - fitted.worn.hem
        if lack > 0.08 and rng.random() < 0.6:
            fitted = lower_hem(fitted, min(lack, 0.35))
        fitted = self._natural_hem(rng, fitted, garment)
        if _happens(rng, r.cut_neck):
            return self._recut_sleeved(rng, outfit, fitted, garment, False)
        return self._redressed(rng, outfit, fitted, garment)

    def _recut_sleeved(self, rng, outfit, fitted: Outfit, garment: Garment, crop: bool) -> Sample:
        """Product C with a garment that keeps its sleeves and gets a neckline, and a hem if `crop`.

        `fitted` is the outfit in that garment's length and sleeves.
        """
        cut = draw_neck(rng)
        if crop:
            cut = cut._replace(hem=rng.uniform(0.55, 0.85) / flat_hem(garment.mesh))
            if cut.hem > 0.85 or fitted.worn.hem < 0.85 or outfit.layers == "layered":
                raise Rejected
        fitted = _in_cut(fitted, cut)
        return self._redressed(rng, outfit, fitted, cut_garment(garment, cut, rng))

    def _raised(self, rng, outfit: Outfit) -> Outfit:
        """The outfit without what lies below the hips, of a coat or dress."""
        if self._one_top(outfit):
            return outfit
        return raise_hem(outfit, LOWEST_WAIST + rng.uniform(0, 0.15), rng.uniform(-0.04, 0.06))

    def _one_top(self, outfit: Outfit) -> bool:
        return outfit.layers == "single" and outfit.worn.hem < self.recipe.longest_top

    def _redressed(self, rng, outfit: Outfit, fitted: Outfit, garment: Garment) -> Sample:
        """Product C, once the person's outfit is `fitted` to the garment."""
        target = dress(fitted, garment, self._light(rng, fitted))
        if rng.random() < self.recipe.real_input:
            person, mask, kind = outfit.image, outfit.region.astype(np.float32), "C-real"
        else:
            (person, mask), kind = self._input(rng, outfit), "C"
        person, mask = self._trimmed(rng, outfit, person, mask)
        return self._pack(outfit, person, mask, target.image, target.mask, fitted.region,
                          garment.image, garment.mask, target.flow, kind, garment.key)  # fmt: skip

    def _natural_hem(self, rng, outfit: Outfit, garment: Garment) -> Outfit:
        """The outfit cut to the garment's length; above the hips nothing could lie below a hem."""
        depth = max(flat_hem(garment.mesh), LOWEST_WAIST) + rng.normal(0, 0.05)
        if rng.random() > self.recipe.natural_hem or self._one_top(outfit):
            return outfit
        return raise_hem(outfit, depth, rng.uniform(-0.04, 0.06))

    def _real_target(self, rng, outfit: Outfit) -> Sample:
        """Product D: the target is the untouched photo."""
        layout = self._layout(rng, outfit)
        r = self.recipe
        open_skin = _happens(rng, r.open_skin)
        flat = flatten(outfit, layout.mesh, open_skin)
        if flat.holes > self.recipe.max_holes:
            raise Rejected
        if np.isnan(flat.flow).all():
            raise Rejected
        cloth, cloth_mask = flat.image, flat.mask
        if open_skin and rng.random() < r.shown_back:
            cloth, cloth_mask = with_back(cloth, cloth_mask, layout.mesh, rng)
        person, mask = self._input(rng, outfit)
        if _happens(rng, self.recipe.borrowed):
            person, mask = self._over(rng, outfit, person, mask)
        person, mask = self._trimmed(rng, outfit, person, mask)
        return self._pack(outfit, person, mask, outfit.image, outfit.region.astype(np.float32),
                          outfit.region, cloth, cloth_mask, flat.flow, "D",
                          f"worn/{outfit.key}")  # fmt: skip

    def _over(self, rng, outfit: Outfit, person: np.ndarray, mask: np.ndarray):
        """(picture, mask) with somebody's top over the other, where one fits."""
        near = nearest_tops(self.tops, outfit)
        for index in rng.permutation(len(near))[:4]:
            worn = put_over(near[index], outfit, person)
            if worn is not None:
                return worn[0], np.maximum(mask, worn[1])
        return person, mask

    def _trimmed(self, rng, outfit: Outfit, person: np.ndarray, mask: np.ndarray):
        """(picture, mask) of an input with what hangs on its top."""
        r = self.recipe
        if _happens(rng, r.pinned):
            person = pinned(rng, outfit, person, mask)
        if self.neckwear and rng.random() < r.neckwear:
            worn = self.neckwear[rng.integers(len(self.neckwear))]
            cloth = self._any_garment(rng) if rng.random() < 0.5 else None
            person, mask = with_neckwear(rng, worn, cloth, outfit, person, mask)
        return person, mask

    def _layout(self, rng, outfit: Outfit) -> Garment:
        """A shop garment whose outline is borrowed: sleeves and length are like the worn ones."""
        own = _happens(rng, self.recipe.own_sleeves)
        if own:
            picks = [self._any_garment(rng) for _ in range(12)]
        else:
            picks = [self._garment(rng, outfit.sleeve > LONG_SLEEVE) for _ in range(6)]
        hem, sleeve = outfit.worn.hem, outfit.sleeve if own else None
        best = min(picks, key=lambda g: unlike(g.mesh, hem, sleeve))
        mesh = best.mesh
        sleeves = [None if w is None else f for w, f in zip(outfit.mesh[1:], mesh[1:], strict=True)]
        cut = StripMesh(mesh.torso, *sleeves)
        return Garment(best.key, best.kind, best.image, best.mask, best.extended, cut, best.misfit)

    def _pack(self, outfit, person, mask, target, target_mask, region, garment, garment_mask, flow,
              kind, garment_key) -> Sample:  # fmt: skip
        parsing = outfit.parsing.copy()
        parsing[np.isin(parsing, (Parsing.UPPER, Parsing.OUTER)) & ~region] = Parsing.SKIN
        parsing[region] = Parsing.UPPER
        byte = lambda m: np.round(np.clip(m, 0, 1) * 255).astype(np.uint8)  # noqa: E731
        return Sample(person, byte(mask), target, byte(target_mask), parsing, garment,
                      byte(garment_mask), flow_to_grid(flow), outfit.keypoints, kind, outfit.key,
                      garment_key)  # fmt: skip
