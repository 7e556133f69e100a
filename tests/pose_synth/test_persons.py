from dataclasses import replace

import cv2
import numpy as np
import pytest
import scipy.io

from pose_synth import persons
from pose_synth.ccp import ClothingCoParsing
from pose_synth.framing import HEIGHT, FramingGenerator
from pose_synth.persons import (
    CROP,
    WIDE_GATES,
    Person,
    PersonGates,
    canvas_matrix,
    load_persons,
    warp_to,
)
from pose_synth.pose import PoseBank
from tests.figures import TSHIRT, make_garment, make_outfit, person_points
from tests.sources import TAGS, write_labels, write_source

# Merged classes back to tags of the tiny tree.
TAG = {0: 0, 1: TAGS.index("skin"), 3: TAGS.index("t-shirt"), 6: TAGS.index("jeans"),
       8: TAGS.index("bag")}  # fmt: skip
KEYS = ["0001", "0002", "0003"]


@pytest.fixture
def source(tmp_path):
    """Photos of the drawn person, 256x336; the first two with labels."""
    root = write_source(tmp_path / "ccp", KEYS, labelled=())
    outfit = make_outfit()
    tags = np.zeros_like(outfit.parsing)
    for merged, tag in TAG.items():
        tags[outfit.parsing == merged] = tag
    for key in KEYS:
        cv2.imwrite(str(root / "photos" / f"{key}.jpg"), outfit.image)
    for key in KEYS[:2]:
        write_labels(root, key, tags)
    return ClothingCoParsing(root)


def bank(points=None, score=1.0):
    points = person_points() if points is None else points
    return PoseBank({k: i for i, k in enumerate(KEYS)}, np.stack([points] * 3), np.full(3, score))


def only(source, poses, **gates):
    (found, *_) = load_persons(source, poses, KEYS[:1], 1.0, replace(PersonGates(), **gates))
    return found


def test_labelled_persons_come_with_mesh_and_region(source):
    found = list(load_persons(source, bank(), KEYS, scale=2.0))
    assert [p.key for p in found] == KEYS[:2]
    person = found[0]
    assert isinstance(person, Person) and person.image.shape == (672, 512, 3)
    assert person.layers == "single" and person.misfit < 0.2
    assert person.worn.hem == pytest.approx(1.1, abs=0.05)
    assert person.worn.sleeves == pytest.approx((0.45, 0.45), abs=0.1)


def test_crop_is_hips_up(source):
    """The shoulders lie 0.78 torso lengths under the crop's top; the crop is 2.35 lengths high."""
    points = person_points()
    points[:, :2] = points[:, :2] * 1.7 + (300, 40)
    matrix = canvas_matrix(points, 1.0)
    xy = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    neck, hips = xy[[11, 12]].mean(0), xy[[23, 24]].mean(0)
    length = np.linalg.norm(hips - neck)
    assert length == pytest.approx(CROP[1] / 2.35, rel=1e-4)
    assert neck[1] == pytest.approx((336 - 256) / 2 + 0.78 * length, rel=1e-4)
    assert (neck[0] + hips[0]) / 2 == pytest.approx(128)


def moved(**changes):
    points = person_points()
    for name, value in changes.items():
        points[int(name[1:])] = value
    return points


def mirrored():
    points = person_points()
    points[:, 0] = 255 - points[:, 0]
    return points


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (mirrored(), "from behind"),
        (moved(p11=(140, 125, 1), p12=(118, 125, 1)), "turned sideways"),
        (moved(p15=(192, 234, 0.1)), "arms hidden"),
    ],
)
def test_poses_that_are_no_use_say_why(source, points, reason):
    assert only(source, bank(points)) == ("0001", reason)


def test_gates_say_why(source):
    assert only(source, bank(score=0.5)) == ("0001", "pose score")
    assert only(source, bank(), min_region=0.9) == ("0001", "no top")
    assert only(source, bank(), max_misfit=0.0) == ("0001", "mesh misfit")
    assert isinstance(only(source, bank()), Person)


def test_wide_gates_let_more_people_in_as_targets_alone(source):
    def wide(points=None, score=1.0):
        (found, *_) = load_persons(source, bank(points, score), KEYS[:1], 1.0, wide=WIDE_GATES)
        return found

    assert not wide().target_only, "who passes the strict gates stays as it was"
    turned = moved(p11=(151, 125, 1), p12=(105, 125, 1))
    assert only(source, bank(turned)) == ("0001", "turned sideways")
    assert wide(turned).target_only
    assert wide(mirrored()) == ("0001", "from behind")
    assert wide(score=0.5) == ("0001", "pose score")


def test_bag_in_front_says_so(source):
    path = source.root / "annotations/pixel-level/0001.mat"
    labels = scipy.io.loadmat(path)["groundtruth"]
    labels[130:245, 80:130] = TAGS.index("bag")
    write_labels(source.root, "0001", labels)
    assert only(source, bank()) == ("0001", "bag in front")


def test_broken_source_is_a_reason_and_does_not_stop_the_others(source):
    (source.root / "annotations/pixel-level/0001.mat").write_bytes(b"broken")
    first, second = load_persons(source, bank(), KEYS, 1.0)
    assert first[0] == "0001" and first[1].startswith("source: ") and "0001.mat" in first[1]
    assert isinstance(second, Person)


def test_layers_are_told_apart():
    outfit = make_outfit()
    parsing, points = outfit.parsing.copy(), outfit.points[:, :2]
    assert persons._top_region(parsing, points)[1] == "single"
    coat = parsing.copy()
    coat[outfit.region & (np.arange(256) < 128)] = persons.Parsing.OUTER
    region, layers = persons._top_region(coat, points)
    assert layers == "layered" and np.array_equal(region, outfit.region)
    gown = parsing.copy()
    gown[(parsing == persons.Parsing.UPPER) | (parsing == persons.Parsing.LOWER)] = (
        persons.Parsing.DRESS
    )
    region, layers = persons._top_region(gown, points)
    assert layers == "dress"
    assert np.nonzero(region)[0].max() <= 234  # the skirt is not part of the top


def test_shrinking_averages():
    image = np.zeros((200, 200, 3), np.uint8)
    image[::2] = 255
    small = warp_to(image, np.array([[0.25, 0, 0], [0, 0.25, 0]]), (50, 50))
    assert np.abs(small[5:-5].astype(int) - 127).max() < 30
    labels = np.where(image[..., 0] > 0, 3, 7).astype(np.uint8)
    nearest = warp_to(labels, np.array([[0.25, 0, 0], [0, 0.25, 0]]), (50, 50), nearest=True)
    assert set(np.unique(nearest)) <= {3, 7}


@pytest.fixture
def framing(source, tmp_path):
    empty = tmp_path / "trousers.jpg"
    empty.write_bytes((source.root / "photos/0003.jpg").read_bytes())
    return FramingGenerator(source, bank(), KEYS, [make_garment(TSHIRT)], [empty], 0.5)


def test_whole_photos_come_with_their_keypoints(framing):
    samples = [framing.draw(np.random.default_rng(i)) for i in range(12)]
    kinds = {s.kind for s in samples}
    assert kinds == {"K", "N"}
    for sample in samples:
        assert sample.person.shape[0] == HEIGHT and sample.person.shape[1] % 2 == 0
        assert np.array_equal(sample.person, sample.target)
        assert not sample.target_mask.any() and not sample.flow.any()
        zoom = HEIGHT / 336
        if sample.kind == "K":
            wanted = (np.float64((164, 125)) + 0.5) * zoom - 0.5
            assert np.allclose(sample.keypoints[1, :2], wanted, atol=1e-3)
        else:
            assert not sample.keypoints.any()
