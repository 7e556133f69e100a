"""What a person wears, and changes of its cut: longer or shorter sleeves, hem, neckline."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from dmvton.parsing import Parsing
from pose_synth.labels import hidden_by
from pose_synth.persons import Person, odd, scale_of, square
from pose_synth.pose import NETWORK_KEYPOINTS
from pose_synth.strips import StripMesh
from pose_synth.worn import LEFT_SIDE, RIGHT_SIDE, WornMesh, torso_frame, worn_mesh

LONG_SLEEVE = 0.55  # share of the arm from which a worn sleeve counts as long


@dataclass(frozen=True)
class Outfit:
    """A person's picture with the region of the top, at product scale."""

    key: str
    image: np.ndarray  # (H, W, 3) uint8
    parsing: np.ndarray  # (H, W) uint8 of Parsing
    region: np.ndarray  # (H, W) bool
    points: np.ndarray  # (33, 3)
    worn: WornMesh
    layers: str
    target_only: bool = False  # see `Person`
    lifelike: bool = False  # see `Recipe.lifelike_skin`

    @property
    def mesh(self) -> StripMesh:
        """The worn mesh."""
        return self.worn.mesh

    @property
    def scale(self) -> float:
        """Of the canvas; lengths in pixels go with it, areas with its square."""
        return scale_of(self.region)

    @property
    def sleeve(self) -> float:
        """Mean share of the arms that is covered, 0 to 1."""
        return float(np.mean(self.worn.sleeves))

    @property
    def keypoints(self) -> np.ndarray:
        """The network's 13 keypoints (13, 3)."""
        return self.points[list(NETWORK_KEYPOINTS)].astype(np.float32)


def outfit_of(person: Person, scale: float = 1.0) -> Outfit:
    """The bank's person reduced to the product's scale."""
    k = scale / person.scale
    size = (round(person.image.shape[1] * k), round(person.image.shape[0] * k))
    matrix = np.array([[k, 0, (k - 1) / 2], [0, k, (k - 1) / 2]])
    points = person.points.copy()
    points[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    region = cv2.resize(person.region.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5
    return Outfit(
        person.key,
        cv2.resize(person.image, size, interpolation=cv2.INTER_AREA),
        cv2.resize(person.parsing, size, interpolation=cv2.INTER_NEAREST),
        region,
        points,
        person.worn._replace(mesh=person.worn.mesh.transform(matrix)),
        person.layers,
        person.target_only,
    )


def _refit(outfit: Outfit, image, region, bare=None) -> Outfit:
    """The outfit with another region; skin in `bare` lies open, so that it ends a sleeve."""
    hidden = hidden_by(outfit.parsing) & ~region
    if bare is not None:
        hidden &= ~bare
    worn = worn_mesh(outfit.points[:, :2], region, hidden, 2.0 * outfit.scale)
    return replace(outfit, image=image, region=region, worn=worn)


def arm_band(outfit: Outfit, reach: float, width: float) -> np.ndarray:
    """Mask of both arms from the shoulder to `reach` (share of the arm, past the wrist above 1).

    `width` is in torso lengths.
    """
    band = np.zeros(outfit.region.shape, np.uint8)
    length = torso_frame(outfit.points[:, :2]).length
    thick = [max(1, round(width * length * f)) for f in (1.0, 0.82)]
    for side in (RIGHT_SIDE, LEFT_SIDE):
        joints = outfit.points[list(side[:3]), :2]
        segment = np.linalg.norm(np.diff(joints, axis=0), axis=1)
        left = reach * segment.sum()
        part = np.zeros_like(band)
        for k, (size, t) in enumerate(zip(segment, thick, strict=True)):
            a, b = joints[k], joints[k + 1]
            share = min(left / (size + 1e-6), 1.0 if k == 0 else 2.0)
            left -= size
            if share > 0:
                end = a + (b - a) * share
                cv2.line(part, _pixel(a), _pixel(end), 1, t, cv2.LINE_8)
                last = (b - a) / (size + 1e-6), end
        y, x = np.mgrid[: band.shape[0], : band.shape[1]]
        direction, end = last
        beyond = (x - end[0]) * direction[0] + (y - end[1]) * direction[1] > 0  # a straight cuff
        near = np.hypot(x - end[0], y - end[1]) < thick[0]
        part[beyond & near] = 0
        band |= part
    return band > 0


def torso_area(outfit: Outfit) -> np.ndarray:
    """Mask (H, W) bool of the worn mesh without its sleeves."""
    area = np.zeros(outfit.region.shape, np.uint8)
    edge = np.concatenate([outfit.mesh.torso[:, 0], outfit.mesh.torso[::-1, -1]])
    return cv2.fillPoly(area, [np.round(edge).astype(np.int32)], 1) > 0


def below_shoulders(outfit: Outfit) -> tuple[np.ndarray, np.ndarray]:
    """Depth below the shoulders in torso lengths, and pixels to the right of the neck: (H, W)."""
    frame = torso_frame(outfit.points[:, :2])
    y, x = np.mgrid[: outfit.region.shape[0], : outfit.region.shape[1]]
    away = np.stack([x, y], 2) - frame.neck
    return away @ frame.down / frame.length, away @ frame.across


def _pixel(point: np.ndarray) -> tuple[int, int]:
    return int(round(point[0])), int(round(point[1]))


def add_sleeves(outfit: Outfit, reach: float) -> Outfit:
    """Extends the top over bare arms down to `reach`; skin there gets the top's brightness."""
    skin = outfit.parsing == Parsing.SKIN
    arm = (skin & arm_band(outfit, reach, 0.22)).astype(np.uint8)
    size = odd(3 if outfit.lifelike else 5, outfit.scale)
    grown = cv2.dilate(arm, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))) > 0
    free = np.isin(outfit.parsing, (Parsing.BACKGROUND, Parsing.SKIN)) | outfit.region
    return cover(outfit, grown & free & arm_band(outfit, reach, 0.26))


def cover(outfit: Outfit, added: np.ndarray) -> Outfit:
    """Lets the top cover `added` (H, W) bool too; skin there gets the top's brightness."""
    added = added & ~outfit.region
    if not added.any() or not outfit.region.any():
        return outfit
    skin = outfit.parsing == Parsing.SKIN
    # Neutralise the skin, so that shading read from it is that of cloth.
    lab = cv2.cvtColor(outfit.image, cv2.COLOR_BGR2LAB).astype(np.float32)
    light = lab[..., 0]
    level = np.median(light[outfit.region])
    skin_part, rest = added & skin, added & ~skin
    if skin_part.any():
        light[skin_part] += level - np.median(light[skin_part])
    light[rest] = 0.8 * level
    image = cv2.cvtColor(np.clip(lab, 0, 255).astype(np.uint8), cv2.COLOR_LAB2BGR)
    return _refit(outfit, np.where(added[..., None], image, outfit.image), outfit.region | added)


def skin_colour(outfit: Outfit) -> np.ndarray | None:
    """Colour (3,) of painted skin: the median of all that is seen, None where that is too little.

    Of a lifelike outfit it is that of the lighter half above the hips: legs are often in the shade
    or in stockings, and necks in the shade of the chin.
    """
    skin = outfit.parsing == Parsing.SKIN
    if outfit.lifelike:
        skin &= below_shoulders(outfit)[0] < 0.9
    if skin.sum() <= 40 * outfit.scale**2:
        return None
    colours = outfit.image[skin]
    if outfit.lifelike:
        light = colours.sum(1)
        colours = colours[light >= np.median(light)]
    return np.median(colours, axis=0)


def _skin_paint(outfit: Outfit, where: np.ndarray) -> np.ndarray:
    """Picture with skin colour painted over `where`, lit by the smoothed old brightness."""
    colour = skin_colour(outfit)
    light = cv2.cvtColor(outfit.image, cv2.COLOR_BGR2GRAY).astype(np.float32)
    light = cv2.GaussianBlur(light, (0, 0), 1.5 * outfit.scale)
    level = np.median(light[where])
    shade = np.clip((light + 20) / (level + 20), 0.7, 1.2) ** 0.6
    return np.clip(colour * shade[..., None], 0, 255)


def bare_arms(outfit: Outfit, reach: float) -> Outfit:
    """Shortens sleeves to `reach`: skin is painted on the arm, background beside it."""
    keep = arm_band(outfit, reach, 0.5)
    whole = arm_band(outfit, 1.4, 0.5)  # wide cuffs hang past the wrist
    cut = outfit.region & whole & ~keep & ~torso_area(outfit)
    body = (outfit.region | (outfit.parsing > 0)).astype(np.uint8)
    solid = cv2.dilate(body, square(3, outfit.scale))
    skin = arm_band(outfit, 1.02, 0.17)
    if outfit.lifelike:  # a sleeve lies on the shoulder, and hangs away from the arm further down
        inner = cv2.erode(outfit.region.astype(np.uint8), square(3, outfit.scale)) > 0
        skin |= inner & (arm_band(outfit, 0.12, 0.27) | arm_band(outfit, 0.3, 0.21))
    return bared(outfit, cut, cut & skin, cut & (solid > 0))


def crop_hem(outfit: Outfit, amount: float) -> Outfit:
    """Crops the top by `amount` torso lengths and paints the belly bare."""
    frame = torso_frame(outfit.points[:, :2])
    down, across = below_shoulders(outfit)
    near = np.abs(across) < 0.75 * frame.shoulders  # sleeves that hang beside stay
    cut = outfit.region & (down > min(outfit.worn.hem, 1.05) - amount) & near
    return bared(outfit, cut, cut & (np.abs(across) < 0.5 * frame.shoulders))


def bare_shoulders(outfit: Outfit, depth: float) -> Outfit:
    """Cuts the top straight across, `depth` torso lengths below the shoulders; skin above.

    With sleeves that is an off-shoulder top, after `bare_arms` a strapless one.
    """
    frame = torso_frame(outfit.points[:, :2])
    down, across = below_shoulders(outfit)
    cut = outfit.region & (down < depth) & (np.abs(across) < 0.75 * frame.shoulders)
    return bared(outfit, cut, cut & body_area(outfit) & (down > -0.12))


def body_area(outfit: Outfit) -> np.ndarray:
    """Mask (H, W) bool of where a bare torso and upper arms would be, however wide the top is."""
    _, across = below_shoulders(outfit)
    near = np.abs(across) < 0.5 * torso_frame(outfit.points[:, :2]).shoulders
    return near | arm_band(outfit, 0.6, 0.2)


def bared(
    outfit: Outfit, cut: np.ndarray, skin: np.ndarray, unknown: np.ndarray | None = None
) -> Outfit:
    """The outfit without `cut`: skin is painted on the part `skin` of it, background beside.

    The background goes on from what lies around, but not from where it is `unknown`.
    """
    if skin_colour(outfit) is None or skin.sum() < 60 * outfit.scale**2:
        return outfit
    beside = cut & ~skin
    image = outfit.image.copy()
    if beside.any():
        hole = beside if unknown is None else beside | unknown
        image = cv2.inpaint(image, hole.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    alpha = cv2.GaussianBlur(skin.astype(np.float32), (0, 0), 0.8)[..., None]
    image = np.round(image * (1 - alpha) + _skin_paint(outfit, skin) * alpha).astype(np.uint8)
    parsing = outfit.parsing.copy()
    parsing[skin], parsing[beside] = Parsing.SKIN, Parsing.BACKGROUND
    return _refit(replace(outfit, parsing=parsing), image, outfit.region & ~cut, bare=skin)


def see_through(outfit: Outfit, dressed: np.ndarray, opacity: float) -> np.ndarray:
    """The dressed picture (H, W, 3) uint8 with so thin a top that the skin shows."""
    if skin_colour(outfit) is None or not outfit.region.any():
        return dressed
    alpha = cv2.GaussianBlur(outfit.region.astype(np.float32), (0, 0), 0.7)[..., None]
    skin = _skin_paint(outfit, outfit.region)
    thin = dressed * opacity + skin * (1 - opacity)
    return np.round(dressed * (1 - alpha) + thin * alpha).astype(np.uint8)


def lower_hem(outfit: Outfit, extra: float) -> Outfit:
    """Lengthens the top over trousers or skirt by `extra` torso lengths."""
    frame = torso_frame(outfit.points[:, :2])
    shift = np.float32([[1, 0, frame.down[0]], [0, 1, frame.down[1]]])
    shift[:, 2] *= extra * frame.length
    size = outfit.region.shape[::-1]
    torso = outfit.region & ~arm_band(outfit, 1.0, 0.2)
    moved = torso.astype(np.uint8)
    for share in (0.34, 0.67, 1.0):
        step = shift.copy()
        step[:, 2] *= share
        moved |= cv2.warpAffine(torso.astype(np.uint8), step, size, flags=cv2.INTER_NEAREST)
    added = (moved > 0) & np.isin(outfit.parsing, (Parsing.LOWER, Parsing.DRESS)) & ~outfit.region
    return _refit(outfit, outfit.image, outfit.region | added) if added.any() else outfit


def raise_hem(outfit: Outfit, depth: float, curve: float = 0.0) -> Outfit:
    """Ends the top at `depth` torso lengths; what it covered below stays as a skirt or trousers.

    A top that hardly reaches further stays as it is: a strip of it would look like a second hem.

    Args:
        outfit: not changed.
        depth: from the shoulders, in torso lengths.
        curve: how much deeper the hem lies at the flanks than in the middle, in torso lengths.
    """
    frame = torso_frame(outfit.points[:, :2])
    y, x = np.mgrid[: outfit.region.shape[0], : outfit.region.shape[1]]
    x, y = (x - frame.neck[0]) / frame.length, (y - frame.neck[1]) / frame.length
    down, across = x * frame.down[0] + y * frame.down[1], x * frame.across[0] + y * frame.across[1]
    cut = outfit.region & (down > depth + curve * np.minimum((across / 0.35) ** 2, 1))
    if outfit.sleeve > 0.12:  # a sleeve may hang lower than the hem
        cut &= ~arm_band(outfit, min(1.1, outfit.sleeve + 0.1), 0.26)
    if (cut & (down > depth + 0.15)).sum() < 100 * outfit.scale**2:
        return outfit
    parsing = outfit.parsing.copy()
    parsing[cut] = Parsing.LOWER
    return _refit(replace(outfit, parsing=parsing), outfit.image, outfit.region & ~cut)


def change_neckline(outfit: Outfit, amount: float) -> Outfit:
    """Cuts the neckline deeper (amount > 0, skin painted) or raises it over the neck (below 0)."""
    frame = torso_frame(outfit.points[:, :2])
    y, x = np.mgrid[: outfit.region.shape[0], : outfit.region.shape[1]]
    across = (
        (x - frame.neck[0]) * frame.across[0] + (y - frame.neck[1]) * frame.across[1]
    ) / frame.length
    down = (
        (x - frame.neck[0]) * frame.down[0] + (y - frame.neck[1]) * frame.down[1]
    ) / frame.length
    if amount > 0:
        cut = outfit.region & (down < amount - (across / (0.22 + 0.2 * amount)) ** 2 * amount)
        if skin_colour(outfit) is None or cut.sum() < 30 * outfit.scale**2:
            return outfit
        alpha = cv2.GaussianBlur(cut.astype(np.float32), (0, 0), 0.8)[..., None]
        image = outfit.image * (1 - alpha) + _skin_paint(outfit, cut) * alpha
        return _refit(outfit, np.round(image).astype(np.uint8), outfit.region & ~cut)
    neck = (outfit.parsing == Parsing.SKIN) & (np.abs(across) < 0.24)
    added = neck & (down > -0.16) & (down < 0.3)
    return _refit(outfit, outfit.image, outfit.region | added) if added.any() else outfit
