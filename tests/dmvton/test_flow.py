import ast
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dmvton.flow import identity, upsample, warp

ROOT = Path(__file__).parents[2]
PACKAGES = ("dmvton", "pose_synth", "export", "app", "benchmarks")
FLOW = ROOT / "dmvton" / "flow.py"


def picture(height=10, width=7, dtype=torch.float64):
    return torch.rand(2, 3, height, width, dtype=dtype, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(10, 7), (1, 1), (16, 12), (3, 40)])
def test_identity_returns_the_source(size):
    source = picture(*size)
    flow = identity(*size, source).expand(2, -1, -1, -1)
    torch.testing.assert_close(warp(source, flow), source, rtol=0, atol=1e-12)


def test_identity_is_x_then_y_at_pixel_centres():
    flow = identity(4, 8, torch.zeros(1))
    assert flow.shape == (1, 2, 4, 8) and flow.dtype == torch.float32
    torch.testing.assert_close(flow[0, 0, 0], (torch.arange(8) + 0.5) / 4 - 1)
    torch.testing.assert_close(flow[0, 1, :, 0], (torch.arange(4) + 0.5) / 2 - 1)


@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (0, 2), (-2, 1), (3, -3)])
def test_integer_shift_is_exact(dx, dy):
    source = picture()
    height, width = source.shape[2:]
    shift = torch.tensor([2 * dx / width, 2 * dy / height], dtype=source.dtype)
    found = warp(
        source, (identity(height, width, source) + shift[:, None, None]).expand(2, -1, -1, -1)
    )
    rows = (np.arange(height) + dy).clip(0, height - 1)
    cols = (np.arange(width) + dx).clip(0, width - 1)
    wanted = source[:, :, rows][..., cols]  # edge pixels repeat outside
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_half_a_pixel_is_the_mean_of_two():
    source = picture()
    flow = identity(10, 7, source).expand(2, -1, -1, -1).clone()
    flow[:, 0] += 1 / 7
    found = warp(source, flow)[..., :-1]
    torch.testing.assert_close(found, (source[..., :-1] + source[..., 1:]) / 2)


def test_gradients_agree_with_finite_differences():
    g = torch.Generator().manual_seed(1)
    source = torch.rand(1, 2, 5, 4, dtype=torch.float64, generator=g, requires_grad=True)
    flow = torch.rand(1, 2, 3, 3, dtype=torch.float64, generator=g) * 1.2 - 0.6
    assert torch.autograd.gradcheck(warp, (source, flow.requires_grad_()))


def test_clamping_makes_coordinates_outside_harmless():
    """Far outside equals the edge; between the edge and the last centre `zeros` would darken."""
    source = picture()
    outside = torch.full((2, 2, 3, 3), 7.0, dtype=source.dtype)
    assert torch.equal(warp(source, outside), warp(source, torch.ones_like(outside)))
    torch.testing.assert_close(warp(source, outside)[..., 0, 0], source[..., -1, -1])
    assert torch.equal(warp(source, outside), warp(source, outside * 100))


def test_padding_modes_agree_within_the_outermost_centres():
    source = picture()
    height, width = source.shape[2:]
    inside = torch.tensor([1 - 1 / width, 1 - 1 / height], dtype=source.dtype)
    g = torch.Generator().manual_seed(2)
    flow = (torch.rand(2, 2, 20, 20, dtype=source.dtype, generator=g) * 2 - 1) * inside[
        :, None, None
    ]
    for mode in ("zeros", "border", "reflection"):
        grid = flow.permute(0, 2, 3, 1)
        other = F.grid_sample(source, grid, padding_mode=mode, align_corners=False)
        torch.testing.assert_close(warp(source, flow), other)


def test_enlarged_identity_is_the_identity_within():
    """Values are coordinates of the whole picture, so enlarging changes no value."""
    small = identity(6, 5, torch.zeros(1, dtype=torch.float64))
    large = identity(24, 20, torch.zeros(1, dtype=torch.float64))
    torch.testing.assert_close(upsample(small, 4)[..., 2:-2, 2:-2], large[..., 2:-2, 2:-2])


def grid_sample_users(path):
    return any(
        (isinstance(node, ast.Attribute) and node.attr == "grid_sample")
        or (isinstance(node, ast.alias) and node.name == "grid_sample")
        for node in ast.walk(ast.parse(path.read_text()))
    )


# They put other operators in the place of this one, or record calls of it.
REWRITERS = (ROOT / "export" / "mobile", ROOT / "benchmarks" / "backends")


def test_flow_is_the_only_caller_of_grid_sample():
    assert grid_sample_users(FLOW)
    paths = {path for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    others = [path for path in paths - {FLOW} if grid_sample_users(path)]
    assert not [p for p in others if not any(p.is_relative_to(folder) for folder in REWRITERS)]
