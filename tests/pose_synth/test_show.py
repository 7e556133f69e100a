from pathlib import Path

import cv2
import numpy as np
import pytest

from dmvton.errors import OutputError, UsageError
from pose_synth.show import garment_cell, sample_cell, sheet, show
from tests.figures import LONGSLEEVE, TSHIRT, make_garment, make_outfit
from tests.samples import make_sample


class Drawn:
    """Banks of drawn people and garments."""

    def __init__(self, data, part, learned=False):
        self.garments = [make_garment(TSHIRT, "t-shirt/a"),
                         make_garment(LONGSLEEVE, "longsleeve/b")]  # fmt: skip
        self.outfits = [make_outfit("one"), make_outfit("two", sleeve=0.9)]

    def summary(self):
        return {"garments": len(self.garments)}


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    monkeypatch.setattr("pose_synth.show.Banks", Drawn)


def test_sheet_fills_its_last_row():
    cells = [np.full((10, 8, 3), i, np.uint8) for i in range(5)]
    picture = sheet(cells, 3)
    assert picture.shape == (20, 24, 3)
    assert picture[15, 4, 0] == 3 and picture[15, 12, 0] == 4 and picture[15, 20, 0] == 255


def test_flow_column_shows_the_garment_in_the_target():
    cell, sample = sample_cell(make_sample()), make_sample()
    height, width = cell.shape[0], round(256 * 240 / 336)
    assert height == 240
    check, target = cell[100:140, -width:], cell[100:140, -2 * width : -width]
    middle = slice(width // 2 - 20, width // 2 + 20)
    assert np.abs(check[:, middle].astype(int) - target[:, middle]).mean() < 4
    assert sample.kind == "C"


@pytest.mark.parametrize("what", ["C", "D", "products", "persons"])
def test_every_product_has_a_sheet(tmp_path, what, capsys):
    show(what, Path("nowhere"), tmp_path / "out.png", count=4)
    picture = cv2.imread(str(tmp_path / "out.png"))
    assert picture is not None and picture.std() > 10
    assert f"4 {what}" in capsys.readouterr().out or what == "persons"


def test_one_class_of_garments(tmp_path, capsys):
    show("garments", Path("nowhere"), tmp_path / "out.png", only="longsleeve")
    assert "1 garments" in capsys.readouterr().out
    wanted = garment_cell(make_garment(LONGSLEEVE, "longsleeve/b"))
    assert np.array_equal(cv2.imread(str(tmp_path / "out.png")), wanted)


def test_what_cannot_be_shown_is_refused(tmp_path):
    out = tmp_path / "out.png"
    with pytest.raises(UsageError, match="can't show 'E'; expected one of garments"):
        show("E", Path("nowhere"), out)
    with pytest.raises(UsageError, match="expected one of longsleeve, t-shirt"):
        show("garments", Path("nowhere"), out, only="hat")
    with pytest.raises(UsageError, match="at least 1"):
        show("C", Path("nowhere"), out, count=0)
    with pytest.raises(OutputError, match="can't write"):
        show("C", Path("nowhere"), tmp_path / "none" / "out.png", count=1)
