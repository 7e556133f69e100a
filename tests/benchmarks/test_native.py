import json
import sys

import numpy as np
import pytest

from benchmarks import native
from benchmarks.evaluation import paired, protocol
from benchmarks.evaluation.contenders import NoOp
from tests import fake_pair
from tests.samples import write_shards


class Half:
    """A contender that gets half way from the input to the target."""

    name = "half"

    def __init__(self, seen):
        self.targets = {view.person.tobytes(): view.target for view in seen}

    def crop(self, person, cloth, known):
        both = np.stack([person, self.targets[person.tobytes()]]).astype(np.float32)
        return both.mean(0).round().astype(np.uint8)


@pytest.fixture
def pairs(tmp_path):
    return list(protocol.pairs(write_shards(tmp_path / "d", "DDD", shard_size=protocol.SHARD), 3))


def test_the_band_lies_on_both_sides_of_the_edge():
    mask = np.zeros((512, 384), bool)
    mask[100:300, 80:240] = True
    band = native.edge(mask)
    rows = np.nonzero(band[:, 160])[0]
    # 0.8% of the height to either side of an edge; the first row inside is counted as inside.
    assert list(rows) == [*range(96, 104), *range(296, 304)]
    assert not native.edge(np.zeros((512, 384), bool)).any()


def test_what_is_nearer_to_the_target_is_found_better_at_the_edge_too(pairs):
    rows = native.measure([NoOp(), Half([paired.view(pair) for pair in pairs])], pairs)
    apart = native.differences(rows["no-op"], rows["half"])
    # Half of the error is 6 dB, less what rounding to whole grey levels takes.
    for name in ("psnr_region", "psnr_edge"):
        assert apart[name].value == pytest.approx(20 * np.log10(2), abs=0.1), name
        assert apart[name].low <= apart[name].value <= apart[name].high
        assert apart[name].n == len(pairs)
    assert apart["ssim_region"].value > 0
    backwards = native.differences(rows["half"], rows["no-op"])
    assert backwards["psnr_edge"].value == pytest.approx(-apart["psnr_edge"].value)


def test_the_table_names_students_of_any_size(pairs, tmp_path, monkeypatch, capsys):
    words = []
    for size in ((256, 192), (128, 96)):
        folder = tmp_path / str(size[0])
        folder.mkdir()
        words.append(f"{size[0]}={fake_pair.write_pair(folder, size)}")
    monkeypatch.setattr(native, "samples", lambda data, cache, count: pairs[:count])
    out = tmp_path / "native.json"
    options = ["--data", str(tmp_path), "--samples", "2", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["native", *words, *options])
    native.main()
    printed = capsys.readouterr().out
    assert printed.startswith("2 samples of ")
    absent = ("skin_psnr", "sleeve_psnr")  # no sleeve is drawn, so there is nothing to measure
    assert printed.count("128 less 256") == len(native.FIGURES) - len(absent)
    assert not any(name in printed for name in absent)
    report = json.loads(out.read_text())
    assert list(report["figures"]) == ["256", "128"] and list(report["differences"]) == ["128"]
    found, differ = report["figures"], report["differences"]["128"]
    for name in ("psnr_edge", "psnr_outside"):
        expected = found["128"][name]["value"] - found["256"][name]["value"]
        assert differ[name]["value"] == pytest.approx(expected, abs=1e-6)
