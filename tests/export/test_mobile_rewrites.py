import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dmvton.flow import identity, warp
from export.mobile.rewrites import GATHER, Named, Rewritten, gathered


class Warp(nn.Module):
    def forward(self, source, flow):
        return (warp(source, flow),)


@pytest.mark.parametrize("size", [(2, 2), (7, 5), (16, 12)])
@pytest.mark.parametrize("target", [(3, 4), (20, 11)])
def test_gathers_sample_as_grid_sample_does(size, target):
    torch.manual_seed(0)
    source = torch.rand(1, 6, *size)
    grid = (2.4 * torch.rand(1, *target, 2) - 1.2).clamp(-1, 1)
    grid[0, 0, :2] = torch.tensor([[-1.0, 1.0], [1.0, -1.0]])  # the very corners
    expected = F.grid_sample(source, grid, padding_mode="border", align_corners=False)
    torch.testing.assert_close(gathered(source, grid), expected, atol=2e-6, rtol=0)


def test_gathers_replace_grid_sample_inside_a_module():
    source = torch.rand(1, 3, 6, 8)
    flow = identity(6, 8, source) + 0.3
    called = []

    def counted(*args, **kwargs):
        called.append(args)
        return gathered(*args, **kwargs)

    (found,) = Rewritten(Warp(), {F.grid_sample: counted})(source, flow)
    torch.testing.assert_close(found, warp(source, flow), atol=2e-6, rtol=0)
    assert len(called) == 1
    warp(source, flow)  # outside, the original is back
    assert len(called) == 1


def test_exported_program_holds_gathers_alone():
    source = torch.rand(1, 3, 6, 8)
    inputs = (source, identity(6, 8, source).clone())

    def kinds(module):
        nodes = torch.export.export(module, inputs).graph.nodes
        return " ".join(str(n.target) for n in nodes)

    assert "grid_sampler" in kinds(Warp()) and "index_select" not in kinds(Warp())
    rewritten = kinds(Rewritten(Warp(), GATHER))
    assert "grid_sampler" not in rewritten and "index_select" in rewritten


def test_names_come_in_any_order_and_go_out_with_the_outputs():
    named = Named(Warp(), ("source", "flow"), ("warped",))
    source = torch.rand(1, 3, 6, 8)
    flow = identity(6, 8, source)
    found = named(flow=flow, source=source)
    assert list(found) == ["warped"]
    torch.testing.assert_close(found["warped"], source, atol=2e-6, rtol=0)
