import cv2
import numpy as np
import pytest

from dmvton.parsing import Parsing
from pose_synth.cuts import Cut, cut_garment, cut_outfit, draw_cut, draw_neck, with_back
from pose_synth.outfit import skin_colour
from pose_synth.products import dress
from pose_synth.recipe import Generator, Recipe
from pose_synth.sizes import flat_hem
from pose_synth.strips import torso_coordinates
from tests.figures import LONGSLEEVE, NECK_Y, TSHIRT, make_garment, make_outfit

TANK = Cut(inset=0.12, curve=2.0, neck=0.25, depth=0.3, shape=2.0, hem=1.0)
CAMISOLE = Cut(inset=0.2, curve=1.0, neck=0.0, depth=0.25, shape=1.0, hem=1.0, strap=0.03)
CUTS = {"tank": TANK, "camisole": CAMISOLE, "cropped": TANK._replace(hem=0.6)}

HIGH = Cut(inset=0.0, curve=1.0, neck=0.2, depth=0.0, shape=1.0, hem=1.0, sleeves=True)
DEEP = HIGH._replace(depth=0.25)


@pytest.fixture(scope="module")
def garment():
    return make_garment(TSHIRT)


def grid():
    return np.stack(np.meshgrid(np.linspace(0, 1, 101), np.linspace(0, 1, 101)), 2)


def on_torso(mesh, size, sides, rows):
    """(H, W) bool: pixels at torso coordinates within (low, high) of the width and the length."""
    where = torso_coordinates(mesh, size)
    with np.errstate(invalid="ignore"):
        inside = [
            (where[..., k] > r[0]) & (where[..., k] < r[1]) for k, r in ((0, sides), (1, rows))
        ]
    return inside[0] & inside[1]


def test_a_tank_top_keeps_two_straps_and_the_body():
    keeps = TANK.keeps(grid())
    assert np.array_equal(keeps, keeps[:, ::-1])
    top = keeps[2]
    assert not top[50] and not top[3] and top[20] and top[80], "neck, armhole, straps"
    assert keeps[40:].all(), "below the armpits nothing is cut"


def test_a_camisole_hangs_on_thin_straps_and_a_strapless_top_on_none():
    keeps = CAMISOLE.keeps(grid())
    assert 2 <= np.flatnonzero(keeps[10, :50]).size <= 7
    strapless = CAMISOLE._replace(strap=0.0).keeps(grid())
    assert not strapless[:25].any() and strapless[35:].all()


def test_a_cropped_top_ends_at_its_hem():
    keeps = CUTS["cropped"].keeps(grid())
    assert keeps[58, 50] and not keeps[62:].any()


def test_every_drawn_cut_leaves_a_top():
    rng = np.random.default_rng(0)
    shares = [draw_cut(rng).keeps(grid()).mean() for _ in range(300)]
    assert 0.2 < min(shares) and max(shares) < 0.999 and np.std(shares) > 0.05


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("corners", [TSHIRT, LONGSLEEVE])
def test_a_cut_garment_has_no_sleeves_and_lies_before_a_plain_wall(corners, name):
    whole = make_garment(corners)
    cut = cut_garment(whole, CUTS[name], np.random.default_rng(1))  # shows no back
    assert cut.mesh.left is None and cut.mesh.right is None and cut.key == whole.key
    inside, outside = cut.mask > 0.99, cut.mask < 0.01
    assert not (inside & (whole.mask < 0.5)).any()
    torso = ~np.isnan(torso_coordinates(whole.mesh, whole.mask.shape)[..., 0])
    assert not inside[cv2.dilate(torso.astype(np.uint8), np.ones((3, 3))) == 0].any()
    assert np.abs(cut.image[inside].astype(int) - whole.image[inside]).max() <= 3
    corner = cut.image[0, 0]
    assert (cut.image[outside] == corner).all(1).mean() > 0.9


def test_the_back_may_show_in_the_neckline_and_is_cloth(garment):
    shown = [cut_garment(garment, TANK, np.random.default_rng(seed)) for seed in range(8)]
    neck = torso_coordinates(garment.mesh, garment.mask.shape)
    neck = (np.abs(neck[..., 0] - 0.5) < 0.05) & (np.abs(neck[..., 1] - 0.22) < 0.03)
    assert neck.sum() > 20
    backs = [(one.image[neck] != one.image[0, 0]).any(1).mean() for one in shown]
    assert 1 in backs and 0 in backs
    for one, back in zip(shown, backs, strict=True):
        assert (one.mask[neck] > 0.005).mean() == pytest.approx(back, abs=0.02)
        assert one.mask[neck].max() < 0.1 or back > 0
        # What is worn is the front: the back's shade is nowhere in the colours that go on.
        front = one.extended[neck].astype(int).mean(0)
        assert np.abs(front - shown[backs.index(0)].extended[neck].mean(0)).max() < 3


@pytest.mark.parametrize("sleeve", [0.0, 0.4, 0.95])
@pytest.mark.parametrize("name", CUTS)
def test_who_wears_a_cut_top_has_bare_arms(name, sleeve):
    outfit = make_outfit(sleeve=sleeve)
    worn = cut_outfit(outfit, CUTS[name])
    assert worn is not None
    arms = worn.region.copy()
    arms[:, 88:168] = False
    assert arms.sum() < 150, "a rest beside the shoulders at most"
    bared = outfit.region & ~worn.region
    skin = bared & (worn.parsing == Parsing.SKIN)
    assert skin.sum() > 200
    tone = np.median(worn.image[skin], axis=0)
    assert np.abs(tone - skin_colour(outfit)).max() < 40
    assert worn.region[NECK_Y + 55, 128] and not worn.region[NECK_Y + 2, 128]


def test_garment_and_person_are_cut_alike(garment):
    """Where the person shows the top, the flow leads to the garment and not to its wall."""
    outfit = make_outfit(sleeve=0.4, plain=True)
    for cut in CUTS.values():
        flat, worn = cut_garment(garment, cut, np.random.default_rng(1)), cut_outfit(outfit, cut)
        dressed = dress(worn, flat, np.ones((336, 256, 1), np.float32))
        flow = dressed.flow
        there = cv2.remap(flat.mask, flow[..., 0], flow[..., 1], cv2.INTER_LINEAR)
        inside = cv2.erode(worn.region.astype(np.uint8), np.ones((5, 5))) > 0
        assert (there[inside] > 0.5).mean() > 0.97
        bare = (outfit.region & ~worn.region) & (worn.parsing == Parsing.SKIN)
        bare = cv2.erode(bare.astype(np.uint8), np.ones((5, 5))) > 0
        torso = bare & ~np.isnan(torso_coordinates(worn.mesh, bare.shape)[..., 0])
        assert torso.sum() > 100 and (there[torso] < 0.5).mean() > 0.9


def test_without_skin_to_be_seen_nobody_is_bared():
    outfit = make_outfit(sleeve=0.4)
    outfit.parsing[outfit.parsing == Parsing.SKIN] = Parsing.HAIR
    assert cut_outfit(outfit, TANK) is None


def test_product_c_shows_sleeveless_tops_on_request(garment):
    people = [make_outfit("a", sleeve=0.4), make_outfit("b", sleeve=0.9)]
    recipe = Recipe(real_target=0.0, real_input=1.0, sleeveless_garment=1.0, painted_skin=1.0)
    generator = Generator(people, [garment], recipe)
    for seed in range(8):
        sample = generator.draw(np.random.default_rng(seed))
        assert sample.kind == "C-real"
        beside = sample.target_mask.copy()
        beside[:, 85:171] = 0
        assert (beside > 127).sum() < 150 < (sample.person_mask[:, :85] > 127).sum()


def test_people_without_sleeves_are_drawn_more_often_on_request(garment):
    people = [make_outfit("bare", sleeve=0.0), *(make_outfit(f"{k}", sleeve=0.4) for k in range(3))]
    chance = Generator(people, [garment], Recipe(sleeveless_target=4.0)).chance
    assert chance == pytest.approx([4 / 7, 1 / 7, 1 / 7, 1 / 7])


@pytest.mark.parametrize("corners", [TSHIRT, LONGSLEEVE])
def test_a_top_may_keep_its_sleeves_and_lose_its_hem(corners):
    whole = make_garment(corners)
    cut = cut_garment(whole, HIGH._replace(hem=0.6), np.random.default_rng(0))
    gone = (whole.mask > 0.9) & (cut.mask < 0.1)
    below = on_torso(whole.mesh, gone.shape, (0.1, 0.9), (0.65, 0.97))
    assert gone[below].all() and below.sum() > 2000
    assert cut.mesh.left is not None
    rows, columns = np.nonzero(cut.mask > 0.9)
    assert columns.min() < 25 and columns.max() > 214, "both cuffs"
    cuff, hem = corners["cuff_in"][1], 42 + 0.6 * (corners["hem"][1] - 42)
    assert rows.max() == pytest.approx(max(cuff, hem), abs=9)


def test_a_deep_neckline_on_the_ground_shows_the_back(garment):
    middle = on_torso(garment.mesh, garment.mask.shape, (0.48, 0.52), (0.06, 0.15))
    shown = [cut_garment(garment, DEEP, np.random.default_rng(seed)) for seed in range(12)]
    ground = [one for one in shown if (one.image[:20] == garment.image[:20]).all()]
    assert 0 < len(ground) < len(shown)
    for one in ground:
        assert one.mask[middle].min() > 0.9
        dark = one.image[middle].mean() / garment.image[middle].mean()
        assert 0.45 < dark < 0.95


def test_a_flat_garment_gets_a_back_on_request(garment):
    open_neck = cut_garment(garment, DEEP, np.random.default_rng(1))
    middle = on_torso(garment.mesh, garment.mask.shape, (0.48, 0.52), (0.08, 0.15))
    assert open_neck.mask[middle].max() < 0.2, "seed 1 shows no back"
    image, mask = with_back(open_neck.image, open_neck.mask, garment.mesh, np.random.default_rng(0))
    assert mask[middle].min() > 0.9
    assert 0.45 < image[middle].mean() / open_neck.extended[middle].mean() < 0.95
    kept = open_neck.mask > 0.99
    assert np.array_equal(image[kept & (mask == open_neck.mask)][::7],
                          open_neck.image[kept & (mask == open_neck.mask)][::7])  # fmt: skip
    beside = on_torso(garment.mesh, mask.shape, (0.0, 0.19), (0, 1))
    assert np.array_equal(mask[beside], open_neck.mask[beside]), "an armhole shows none"


def test_a_high_neckline_fills_the_old_one():
    outfit = make_outfit(sleeve=0.4)
    deep = cut_outfit(outfit, DEEP)
    middle = on_torso(outfit.mesh, outfit.region.shape, (0.47, 0.53), (0.06, 0.15))
    assert outfit.region[middle].all() and not deep.region[middle].any()
    assert (deep.parsing[middle] == Parsing.SKIN).all()
    high = cut_outfit(deep, HIGH)
    assert high.region[middle].all()
    beside = np.ones(outfit.region.shape, bool)
    beside[:, 88:168] = False
    assert np.array_equal(high.region[beside], outfit.region[beside]), "the sleeves stay"


def test_every_drawn_neckline_leaves_shoulders_and_hem():
    rng = np.random.default_rng(0)
    depths = []
    for _ in range(200):
        keeps = draw_neck(rng).keeps(grid())
        assert keeps[:, [0, 10, 90, 100]].all() and keeps[40:].all()
        depths.append((~keeps[:, 50]).mean())
    assert min(depths) == 0 and max(depths) > 0.25
    assert 0.2 < np.mean(np.array(depths) > 0.09) < 0.5


def test_product_c_shows_cropped_tops_and_other_necklines_on_request(garment):
    people = [make_outfit("a", sleeve=0.4), make_outfit("b", sleeve=0.9)]
    recipe = Recipe(real_target=0, real_input=1, painted_skin=1, cropped_garment=1)
    cropped = Generator(people, [garment], recipe).draw(np.random.default_rng(0))
    assert np.nonzero(cropped.target_mask[:, 118:138] > 127)[0].max() < NECK_Y + 105
    assert (cropped.garment_mask[-70:] < 20).all() and flat_hem(garment.mesh) > 0.85
    necks = Generator(people, [garment], Recipe(real_target=0, real_input=1, cut_neck=1))
    samples = [necks.draw(np.random.default_rng(seed)) for seed in range(12)]
    chest = [(s.target_mask[NECK_Y + 4 : NECK_Y + 20, 126:130] > 127).mean() for s in samples]
    assert min(chest) < 0.3 and max(chest) == 1
