import numpy as np
import pytest

from dmvton.errors import DmvtonError
from dmvton.parsing import Parsing
from pose_synth.ccp import ClothingCoParsing, SourceError
from tests.samples import pattern
from tests.sources import SIZE, TAGS, labels, write_labels, write_source

SHAPE = SIZE[::-1]


@pytest.fixture
def source(tmp_path):
    return ClothingCoParsing(write_source(tmp_path / "ccp"))


def labels_path(source, key):
    return source.root / "annotations/pixel-level" / f"{key}.mat"


def test_photos_and_labels_are_found(source):
    assert source.ids() == ["0001", "0002", "0003"]
    assert [source.has_parsing(key) for key in source.ids()] == [True, True, False]
    assert source.tags() == TAGS
    photo = source.photo("0002")
    assert np.abs(photo.astype(int) - pattern(SIZE, 50, 1)).mean() < 4
    assert np.array_equal(source.raw_labels("0001"), labels())


def test_labels_are_merged(source):
    parsing = source.parsing("0001", SHAPE)
    assert parsing.dtype == np.uint8
    for tag, merged in ((0, 0), (1, Parsing.SKIN), (3, Parsing.UPPER), (4, Parsing.LOWER)):
        assert (parsing[labels() == tag] == merged).all()


def test_tree_without_photos_is_named(tmp_path):
    with pytest.raises(SourceError, match="nowhere.*expected a clone"):
        ClothingCoParsing(tmp_path / "nowhere").ids()


@pytest.mark.parametrize("damage", ["gone", "garbage", "empty"])
def test_photo_that_cannot_be_read_is_named(source, damage):
    path = source.root / "photos" / "0001.jpg"
    path.unlink()
    if damage != "gone":
        path.write_bytes(b"no picture" if damage == "garbage" else b"")
    with pytest.raises(SourceError, match=str(path)):
        source.photo("0001")


@pytest.mark.parametrize("data", [None, b"", b"no labels", b"MATLAB 5.0 MAT-file" + bytes(200)])
def test_label_file_that_cannot_be_read_is_named(source, data):
    path = labels_path(source, "0001")
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(SourceError, match=str(path)):
        source.parsing("0001", SHAPE)


def test_cut_label_file_is_named(source):
    path = labels_path(source, "0001")
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(SourceError, match=str(path)):
        source.parsing("0001", SHAPE)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (labels()[:-1], "labels are"),
        (labels().T, "labels are"),
        (np.zeros(SHAPE, np.uint8), "no labels"),
        (np.full(SHAPE, len(TAGS), np.uint8), "holds label 6, expected under 6"),
        (np.ones((*SHAPE, 3), np.uint8), "no labels"),
    ],
    ids=["row missing", "turned", "blank", "unknown label", "colours"],
)
def test_labels_that_do_not_fit_are_named(source, values, word):
    write_labels(source.root, "0001", values)
    with pytest.raises(SourceError, match=f"{labels_path(source, '0001')}.*{word}"):
        source.parsing("0001", SHAPE)


def test_missing_list_of_tags_is_named(source):
    (source.root / "label_list.mat").unlink()
    with pytest.raises(SourceError, match="label_list.mat"):
        source.parsing("0001", SHAPE)


def test_the_command_line_shows_the_word_only():
    assert issubclass(SourceError, DmvtonError)
