"""The solver against all combinations, and what it is fed with."""

import itertools
import re

import numpy as np
import pytest

from dmvton.errors import UsageError

pytest.importorskip("onnxslim", reason="the export extra is not installed")

from export.lowbit.allocate import Choice, allocate  # noqa: E402
from export.lowbit.plan import parse_size  # noqa: E402
from export.lowbit.plot import Line, Panel, svg  # noqa: E402
from export.lowbit.sensitivity import Probe, blind_predictor, predictor  # noqa: E402


def random_layers(rng, layers, choices):
    return [
        [Choice(int(size), float(cost)) for size, cost in zip(
            rng.integers(1, 60, choices), rng.exponential(1, choices), strict=True)]
        for _ in range(layers)
    ]  # fmt: skip


def best_by_trying(layers, limit):
    """Least total cost over all combinations that fit."""
    costs = [
        sum(choice.cost for choice in combination)
        for combination in itertools.product(*layers)
        if sum(choice.size for choice in combination) <= limit
    ]
    return min(costs, default=None)


@pytest.mark.parametrize("seed", range(25))
def test_least_damage_of_all_combinations(seed):
    rng = np.random.default_rng(seed)
    layers = random_layers(rng, 5, 4)
    limit = int(rng.integers(20, 260))
    wanted = best_by_trying(layers, limit)
    if wanted is None:
        with pytest.raises(UsageError, match="expected at least"):
            allocate(layers, limit)
        return
    chosen = [layer[pick] for layer, pick in zip(layers, allocate(layers, limit), strict=True)]
    assert sum(choice.size for choice in chosen) <= limit
    assert sum(choice.cost for choice in chosen) == pytest.approx(wanted)


def test_just_the_smallest_fit():
    layers = random_layers(np.random.default_rng(3), 6, 5)
    least = sum(min(choice.size for choice in layer) for layer in layers)
    picks = allocate(layers, least)
    assert sum(layer[pick].size for layer, pick in zip(layers, picks, strict=True)) == least
    with pytest.raises(UsageError, match=f"{least - 1} bytes.*at least {least}.*allow more"):
        allocate(layers, least - 1)


def test_sizes_too_large_for_the_table_still_fit():
    """Steps of some bytes: what fits exactly must not be lost by rounding up."""
    layers = [[Choice(1_000_001, 1.0), Choice(2_000_003, 0.5)] for _ in range(3)]
    assert allocate(layers, 3_000_003) == [0, 0, 0]
    picks = allocate(layers, 6_001_000)
    assert picks == [1, 1, 1]


def test_more_bytes_never_do_worse():
    layers = random_layers(np.random.default_rng(5), 8, 6)
    least = sum(min(choice.size for choice in layer) for layer in layers)
    costs = [
        sum(layer[p].cost for layer, p in zip(layers, allocate(layers, limit), strict=True))
        for limit in range(least, least + 200, 20)
    ]
    assert all(b <= a + 1e-12 for a, b in zip(costs, costs[1:], strict=False))


def test_predicted_damage_goes_through_the_measured_points_and_on_in_proportion():
    predict = predictor([Probe(2, 1e-2, 5e-4), Probe(4, 1e-4, 2e-6)])
    assert predict(1e-2) == pytest.approx(5e-4) and predict(1e-4) == pytest.approx(2e-6)
    assert 2e-6 < predict(1e-3) < 5e-4
    assert predict(1e-1) == pytest.approx(5e-3) and predict(1e-5) == pytest.approx(2e-7)
    noisy = predictor([Probe(2, 1e-2, 1e-6), Probe(4, 1e-4, 2e-6)])
    assert noisy(1e-2) >= noisy(1e-4)
    assert predictor([Probe(2, 0.0, 0.0), Probe(4, 0.0, 0.0)])(0.0) < 1e-20
    assert blind_predictor(4.0)(1.0) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("text", "size"),
    [("2MB", 2_000_000), ("1.5 MB", 1_500_000), ("900kB", 900_000), ("2MiB", 2 << 20),
     ("123456", 123_456), ("10 KiB", 10_240), ("7b", 7)],
)  # fmt: skip
def test_sizes_are_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "2 TB", "-1MB", "0", "two", "1e999MB", "nan", "1,5MB"])
def test_other_sizes_are_refused(text):
    with pytest.raises(UsageError, match="expected a size such as 2MB"):
        parse_size(text)


def test_plot_puts_points_where_they_belong():
    line = Line("mixed", [(1.0, 0.8, "4"), (0.5, 0.6, "2")])
    text = svg([Panel("SSIM", [line], 0.9)], "MB")
    places = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', text)
    (x_small, y_small), (x_large, y_large) = [tuple(map(float, place)) for place in places]
    assert x_small < x_large and y_small > y_large  # SVG's y runs downwards
    assert text.startswith("<svg") and text.rstrip().endswith("</svg>") and "SSIM" in text
    dashed = float(re.search(r'y1="([\d.]+)" y2="\1"', text).group(1))
    assert dashed < y_large
