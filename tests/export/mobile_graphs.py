"""A small graph with one of each kind of layer that the student has."""

import torch
import torch.nn.functional as F
from torch import nn

from dmvton.flow import upsample, warp
from export.mobile.graphs import graph_of
from export.mobile.package import references

SIZE = (16, 12)


class Small(nn.Module):
    """Picture and flow to a warped and enlarged picture, and to the largest value of each map."""

    def __init__(self):
        super().__init__()
        self.point, self.deep = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, 1, 1, groups=8)

    def forward(self, person, flow):
        x = F.relu6(self.deep(F.relu6(self.point(person))))
        weight = x.flatten(2).softmax(2).reshape(x.shape)
        return upsample(warp(x * weight, flow), 2).sigmoid(), x.amax((2, 3))


def small_graph(folder, name="frame"):
    """The graph, and its ONNX in `folder`."""
    torch.manual_seed(0)
    inputs = {"person": torch.rand(1, 3, *SIZE), "flow": 2 * torch.rand(1, 2, *SIZE) - 1}
    return graph_of(name, Small().eval(), inputs, ("picture", "peak"), folder)


def answers(graph, seeds=(1, 2)):
    """What ONNX Runtime makes of other inputs."""
    feeds = []
    for seed in seeds:
        torch.manual_seed(seed)
        feeds.append({n: torch.rand_like(v).numpy() for n, v in graph.inputs.items()})
    return references([graph], feeds)
