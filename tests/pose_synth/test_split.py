import cv2
import numpy as np
import pytest

from pose_synth import split
from pose_synth.outlines import load_outlines
from pose_synth.pose import PoseBank
from tests.samples import pattern


def pictures():
    """Eight different pictures, the last two near-duplicates of the first and of each other."""
    rng = np.random.default_rng(0)
    images = [cv2.resize(rng.integers(0, 255, (6, 6, 3)).astype(np.uint8), (90, 120))
              for _ in range(6)]  # fmt: skip
    brighter = np.clip(images[0] * 0.9 + 20, 0, 255).astype(np.uint8)
    shifted = np.roll(images[0], 2, axis=1)
    return [*images, brighter, shifted]


def test_near_duplicates_stay_together_also_over_a_third():
    keys = [f"p{i}" for i in range(8)]
    thumbnails = np.stack([split.thumbnail(p) for p in pictures()])
    found = split.groups(keys, thumbnails)
    assert sorted(map(sorted, found)) == [["p0", "p6", "p7"], *[[f"p{i}"] for i in range(1, 6)]]


def test_a_chain_of_duplicates_is_one_group():
    angles = np.deg2rad([0, 18, 36, 90])  # neighbours correlate at 0.95, the ends at 0.81
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1)
    assert split.groups(list("abcd"), vectors) == [["a", "b", "c"], ["d"]]


def test_thumbnails_ignore_brightness_and_size():
    image = pattern((200, 260), 90)
    small = cv2.resize(image, (100, 130), interpolation=cv2.INTER_AREA)
    assert split.thumbnail(image) @ split.thumbnail(small // 2 + 40) > 0.99
    assert split.thumbnail(image) @ split.thumbnail(pattern((200, 260), 60, 2)) < 0.93


def test_assignment_depends_on_the_keys_only():
    members = [[f"k{i}", f"k{i}-twin"] for i in range(300)]
    found = split.assign(members)
    assert split.assign([m[::-1] for m in members[::-1]]) == found
    assert not set(found["test"]) & set(found["val"])
    assert 0.09 < len(found["test"]) / 600 < 0.19 and 0 < len(found["val"]) / 600 < 0.07
    for part in found.values():
        assert all((f"k{i}" in part) == (f"k{i}-twin" in part) for i in range(300))


@pytest.mark.parametrize("kind", ["persons", "garments"])
def test_committed_parts_are_disjoint_and_complete(kind):
    held = split.load()[kind]
    assert set(held) == {"test", "val"}
    known = sorted(PoseBank.load().index if kind == "persons" else load_outlines())
    parts = {name: split.select(known, kind, name) for name in ("train", "val", "test")}
    assert sorted(sum(parts.values(), [])) == known
    assert len(set(sum(parts.values(), []))) == len(known)
    assert len(held["test"]) == len(set(held["test"])) > 100
    assert len(parts["train"]) > 4 * len(parts["test"])


def test_committed_parts_are_what_the_rule_gives():
    """Each group's bucket follows from its first key: a single key in test has a test bucket."""
    held = split.load()["persons"]
    single = split.assign([[key] for key in held["test"]])
    assert len(single["test"]) > 0.8 * len(held["test"])


def test_unknown_part_or_kind_is_refused():
    with pytest.raises(ValueError, match="expected train, val or test"):
        split.select(["a"], "persons", "holdout")
    with pytest.raises(KeyError):
        split.select(["a"], "shoes", "train")


def test_selecting_keeps_the_order():
    held = split.load()["persons"]["test"][:3]
    keys = ["new", held[1], "other", held[0]]
    assert split.select(keys, "persons", "train") == ["new", "other"]
    assert split.select(keys, "persons", "test") == [held[1], held[0]]
