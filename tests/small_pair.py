"""A pair of small graphs with the runtime's interface and some layers of every kind.

For tests of what is done to weights: the student's trunks alone have a hundred layers.
"""

from pathlib import Path

import onnx
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.folder import write_pair
from export.pair import FEATURES, FRAME_OUTPUTS

SIZE = (64, 48)
WIDTH = 40  # wider than a group of 32


def block(cin: int, cout: int) -> nn.Sequential:
    """Depthwise 3x3 without bias, pointwise with bias, ReLU6."""
    return nn.Sequential(
        nn.Conv2d(cin, cin, 3, 1, 1, groups=cin, bias=False), nn.Conv2d(cin, cout, 1), nn.ReLU6()
    )


class GarmentNet(nn.Module):
    """Picture -> FEATURES."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, 4, 1)
        self.body = block(WIDTH, WIDTH)
        self.mask = nn.Conv2d(WIDTH, 1, 1)

    def forward(self, garment: Tensor) -> tuple[Tensor, ...]:
        """(1, 3, h, w) in [0, 1]."""
        x = self.body(F.relu6(self.stem(garment)))
        mask = F.interpolate(self.mask(x), scale_factor=4.0, mode="bilinear").sigmoid()
        small = F.avg_pool2d(x, 4)
        return mask, x, F.avg_pool2d(x, 2), small, small.flatten(2)


class FrameNet(nn.Module):
    """Pictures and FEATURES -> FRAME_OUTPUTS."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(7, WIDTH, 3, 4, 1)
        self.body = block(WIDTH, WIDTH)
        self.place = nn.Parameter(torch.randn(1, WIDTH, 4, 3) * 0.2)
        self.token = nn.Linear(WIDTH, WIDTH)
        self.maps = nn.Conv2d(WIDTH, 10, 1)
        self.pose = nn.Linear(WIDTH, 40)

    def forward(self, person, garment, mask, feat4, feat8, feat16, key) -> tuple[Tensor, ...]:
        """Pictures (1, 3, h, w) in [0, 1], and the garment graph's outputs."""
        x = self.body(F.relu6(self.stem(torch.cat([person, garment, mask], 1))) + feat4)
        small = F.avg_pool2d(x, 4) + self.place + feat16 + F.avg_pool2d(feat8, 2)
        tokens = self.token((small.flatten(2) + key).transpose(1, 2))  # (1, 12, WIDTH)
        x = x + F.interpolate(tokens.transpose(1, 2).reshape(small.shape), scale_factor=4.0)
        maps = F.interpolate(self.maps(x), scale_factor=4.0, mode="bilinear")
        pose = self.pose(tokens.mean(1))
        keypoints = pose[:, :39].reshape(1, 13, 3).tanh()
        flow, rest = maps[:, :2].tanh(), maps[:, 2:].sigmoid()
        gain = rest[:, 5:8] + 0.5
        alpha, beta, rendered = rest[:, :1], rest[:, 1:2], rest[:, 2:5]
        return flow, alpha, beta, rendered, gain, keypoints, pose[:, 39:].sigmoid()


def write(folder: Path, seed: int = 0) -> Path:
    """Write the pair as `dmvton export onnx` would; returns the folder."""
    torch.manual_seed(seed)
    garment = torch.rand(1, 3, *SIZE)
    graphs = {"garment.onnx": (GarmentNet(), (garment,), ("garment",), FEATURES)}
    with torch.no_grad():
        known = graphs["garment.onnx"][0](garment)
    inputs = (torch.rand(1, 3, *SIZE), garment, *known)
    names = ("person", "garment", *FEATURES)
    graphs["frame.onnx"] = (FrameNet(), inputs, names, FRAME_OUTPUTS)
    models = {}
    for file, (net, example, given, wanted) in graphs.items():
        path = folder / file
        torch.onnx.export(
            net.eval(), example, str(path), opset_version=17, dynamo=False,
            input_names=list(given), output_names=list(wanted),
        )  # fmt: skip
        models[file] = onnx.load(path)
    note = {"batch": "static", "precision": "fp32", "checkpoint": ""}
    write_pair(models, folder, "small", SIZE, note, {})
    return folder
