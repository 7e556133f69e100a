"""Counts against arithmetic done by hand."""

import pytest

torch = pytest.importorskip("torch")

from benchmarks.counts import count, table  # noqa: E402


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.rest = torch.nn.ModuleList([torch.nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)])
        self.last = torch.nn.Linear(8, 2, bias=False)

    def forward(self, x):
        x = self.rest[0](self.first(x))
        return self.last(x.mean((2, 3)))


def test_parameters_and_macs_by_part():
    counts = count(Network(), (torch.rand(2, 3, 4, 5),))
    pixels = 2 * 4 * 5
    assert counts.parts["first"] == (3 * 8 * 9 + 8, pixels * 3 * 8 * 9)
    assert counts.parts["rest"] == (8 * 9, pixels * 8 * 9)
    assert counts.parts["last"] == (16, 2 * 16)
    assert counts.total == tuple(map(sum, zip(*counts.parts.values(), strict=True)))
    assert counts.weight_bytes == 4 * counts.total.parameters


def test_named_inputs_and_depth():
    counts = count(Network(), {"x": torch.rand(1, 3, 4, 4)}, depth=2)
    assert counts.parts["rest.0"] == counts.parts["rest"]


def test_table_ends_with_the_total():
    text = table(count(Network(), (torch.rand(1, 3, 4, 4),)))
    assert [line.split()[0] for line in text.splitlines()[1:]] == [
        "first",
        "rest",
        "last",
        "total",
        "weights:",
    ]
