"""Both forms of the cost volume against loops that cannot be misread."""

import pytest

torch = pytest.importorskip("torch")

from benchmarks.cost_volume import FORMS, CostVolume  # noqa: E402


def loops(first, second, radius):
    batch, _, height, width = first.shape
    side = 2 * radius + 1
    volume = torch.zeros(batch, side * side, height, width, dtype=first.dtype)
    for y in range(height):
        for x in range(width):
            for dy in range(-radius, radius + 1):
                for dx in range(-radius, radius + 1):
                    if 0 <= y + dy < height and 0 <= x + dx < width:
                        channel = (dy + radius) * side + dx + radius
                        product = first[:, :, y, x] * second[:, :, y + dy, x + dx]
                        volume[:, channel, y, x] = product.mean(1)
    return volume


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("size", "radius"), [((5, 7), 2), ((8, 3), 3), ((1, 1), 1)])
def test_agrees_with_loops(form, size, radius):
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, 2, 6, *size, dtype=torch.float64, generator=generator)
    volume = CostVolume(radius, form)
    got = volume(first, second)
    assert got.shape == (2, volume.channels, *size)
    torch.testing.assert_close(got, loops(first, second, radius))


@pytest.mark.parametrize("form", FORMS)
def test_gradients(form):
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(2, 1, 2, 3, 4, dtype=torch.float64, generator=generator).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: CostVolume(1, form)(m[0], m[1]), maps)
