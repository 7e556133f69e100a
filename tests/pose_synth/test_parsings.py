"""Parsing found by a network: the bank, who uses it, and the network itself."""

import cv2
import numpy as np
import pytest
import scipy.io

from dmvton.errors import DataError
from dmvton.parsing import Parsing
from pose_synth.ccp import SourceError
from pose_synth.parsings import ParsingBank
from pose_synth.persons import CANVAS, Person, canvas_matrix, load_persons, warp_to
from tests.figures import make_outfit
from tests.pose_synth.test_persons import KEYS, bank, source  # noqa: F401
from tests.sources import TAGS


def painted():
    """The drawn person's labels on the canvas of scale 1."""
    labels = make_outfit().parsing
    points = bank().points(KEYS[0])[0]
    return warp_to(labels, canvas_matrix(points, 1.0), CANVAS, nearest=True)


def test_bank_keeps_labels(tmp_path):
    found = {"b": painted(), "a": np.flipud(painted())}
    ParsingBank.save(tmp_path / "bank.npz", found)
    kept = ParsingBank.load(tmp_path / "bank.npz")
    assert "a" in kept and "c" not in kept
    for key, labels in found.items():
        np.testing.assert_array_equal(kept.canvas(key, CANVAS), labels)
    double = kept.canvas("b", (2 * CANVAS[0], 2 * CANVAS[1]))
    np.testing.assert_array_equal(double[::2, ::2], found["b"])


def test_a_photo_without_labels_becomes_a_person(tmp_path, source):  # noqa: F811
    path = tmp_path / "bank.npz"
    ParsingBank.save(path, {KEYS[2]: painted()})
    people = list(load_persons(source, bank(), KEYS, 1.0, parsings=ParsingBank.load(path)))
    assert all(isinstance(p, Person) for p in people)
    assert [(p.key, p.target_only) for p in people] == [(k, k == KEYS[2]) for k in KEYS]
    labelled, parsed = people[0], people[2]
    assert (labelled.region != parsed.region).mean() < 0.01
    assert parsed.worn.hem == pytest.approx(labelled.worn.hem, abs=0.03)


def test_tags_of_a_photo_without_labels(source):  # noqa: F811
    folder = source.root / "annotations/image-level"
    folder.mkdir()
    values = np.array([[0, TAGS.index("t-shirt"), TAGS.index("skin")]], np.uint8)
    scipy.io.savemat(folder / "0003.mat", {"tags": values})
    assert source.image_tags("0003") == {Parsing.BACKGROUND, Parsing.UPPER, Parsing.SKIN}
    scipy.io.savemat(folder / "0003.mat", {"tags": values + len(TAGS)})
    with pytest.raises(SourceError, match="0003.*skip this id"):
        source.image_tags("0003")
    with pytest.raises(SourceError, match="0002.*restore it"):
        source.image_tags("0002")


def small(outfit):
    """A canvas of 96x64 of the drawn person."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.manual_seed(0)
    from pose_synth.parser_net import Canvas

    size = (64, 96)
    return Canvas(cv2.resize(outfit.image, size, interpolation=cv2.INTER_AREA),
                  cv2.resize(outfit.parsing, size, interpolation=cv2.INTER_NEAREST))  # fmt: skip


def test_a_network_learns_to_parse_and_tags_rule_out():
    canvas = small(make_outfit(plain=True))
    from pose_synth.parser_net import ParserNet, iou, parse, train

    net = ParserNet()
    train(net, [canvas], 90, batch=4)
    worn = {Parsing.UPPER, Parsing.LOWER}
    found = parse(net, canvas.image, worn)
    top = canvas.labels == Parsing.UPPER
    assert found.labels.shape == canvas.labels.shape
    assert iou(found.labels == Parsing.UPPER, top) > 0.8
    assert found.agreement > 0.8 and 0.5 < found.certainty <= 1
    other = parse(net, canvas.image, {Parsing.OUTER})
    assert not np.isin(other.labels, (Parsing.UPPER, Parsing.LOWER)).any()


def test_command_parses_what_has_no_labels(tmp_path, source, monkeypatch):  # noqa: F811
    pytest.importorskip("torch", reason="torch is not installed")
    from pose_synth import cli, learn_parsing

    folder = source.root / "annotations/image-level"
    folder.mkdir()
    values = np.array([[0, TAGS.index("t-shirt"), TAGS.index("jeans")]], np.uint8)
    scipy.io.savemat(folder / "0003.mat", {"tags": values})
    monkeypatch.setattr(learn_parsing.PoseBank, "load", bank)
    monkeypatch.setattr(learn_parsing.split, "select", lambda keys, *_: keys)
    asked = ["parse", "--data", str(source.root.parent), "--out", str(tmp_path / "bank.npz"),
             "--steps", "1"]  # fmt: skip
    open_gates, closed = (learn_parsing.ParsingGates(least, 0) for least in (0, 1.1))
    monkeypatch.setattr(learn_parsing, "ParsingGates", lambda: open_gates)
    cli.main(asked)
    assert set(ParsingBank.load(tmp_path / "bank.npz").index) == {"0003"}
    monkeypatch.setattr(learn_parsing, "ParsingGates", lambda: closed)
    with pytest.raises(DataError, match="mirror image differs"):
        cli.main(asked)


def test_iou_of_masks():
    from pose_synth.parser_net import iou

    one, other = np.array([1, 1, 0, 0], bool), np.array([0, 1, 1, 0], bool)
    assert iou(one, other) == pytest.approx(1 / 3)
    assert iou(one & False, one & False) == 1 and iou(one, ~one) == 0
