"""The student's own layers as graphs of one layer, by category."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.backends.recorder import Call, recorded
from dmvton.flow import identity, warp

CATEGORIES = (
    "pointwise", "depthwise", "dense 3x3", "attention", "grid-sample", "resize", "composite",
)  # fmt: skip


class Case(NamedTuple):
    """One layer shape."""

    category: str  # one of CATEGORIES
    name: str  # its shape, readable
    times: int  # how often it occurs in a frame
    module: nn.Module
    inputs: dict[str, Tensor]
    operations: float  # additions and multiplications
    moved: float  # bytes of inputs, outputs and weights, each once


class Convolution(nn.Module):
    """Convolution and ReLU6."""

    def __init__(self, call: Call):
        super().__init__()
        out, per_group, *kernel = call.shapes[1]
        self.conv = nn.Conv2d(per_group * call.groups, out, kernel, call.stride, call.padding,
                              groups=call.groups)  # fmt: skip

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """(1, C, H, W) -> (1, C', H', W')."""
        return (F.relu6(self.conv(x)),)


class Linear(nn.Module):
    """A fully connected layer over tokens."""

    def __init__(self, call: Call):
        super().__init__()
        self.linear = nn.Linear(call.shapes[1][1], call.shapes[1][0])

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """(..., C) -> (..., C')."""
        return (self.linear(x),)


class Attention(nn.Module):
    """Softmax of products of queries and keys, times values."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor]:
        """(..., L, d), (..., d, M), (..., M, e) -> (..., L, e)."""
        return ((query @ key).softmax(-1) @ value,)


class Sampling(nn.Module):
    """`dmvton.flow.warp`."""

    def forward(self, source: Tensor, flow: Tensor) -> tuple[Tensor]:
        """(1, C, h, w), (1, 2, H, W) -> (1, C, H, W)."""
        return (warp(source, flow),)


class Resize(nn.Module):
    """Enlarging, nearest or bilinear."""

    def __init__(self, call: Call):
        super().__init__()
        self.factor, self.mode = call.factor, call.mode

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """(1, C, h, w) -> (1, C, H, W)."""
        align = None if self.mode == "nearest" else False
        return (F.interpolate(x, scale_factor=self.factor, mode=self.mode, align_corners=align),)


class Composite(nn.Module):
    """The three-way composite of pictures of one size, from logits."""

    def forward(self, raw: Tensor, person: Tensor, warped: Tensor) -> tuple[Tensor]:
        """(1, 6, H, W), (1, 3, H, W) twice -> picture (1, 3, H, W)."""
        rendered, alpha, beta = raw[:, :3].sigmoid(), raw[:, 3:4].sigmoid(), raw[:, 4:5].sigmoid()
        dressed = (warped * (0.8 * raw[:, 5:6].tanh()).exp()).clamp(0, 1)
        return (alpha * dressed + (1 - alpha) * (beta * rendered + (1 - beta) * person),)


@torch.no_grad()
def student_cases(module: nn.Module, inputs: dict[str, Tensor], shapes: int) -> list[Case]:
    """The layers of a frame graph, each shape once.

    Args:
        module: the frame graph.
        inputs: its inputs by name; `person` first.
        shapes: how many a category at most, those that cost most in a frame; 0 for all.
    """
    calls = recorded(module, tuple(inputs.values()))
    found = [_BUILDERS[call.kind](call, times) for call, times in calls.items()]
    height, width = inputs["person"].shape[2:]
    pictures = {n: torch.rand(1, c, height, width) for n, c in
                (("raw", 6), ("person", 3), ("warped", 3))}  # fmt: skip
    found.append(_case("composite", f"{height}x{width}", 1, Composite(), pictures, 40 / 15))
    chosen = []
    for category in CATEGORIES:
        members = [case for case in found if case.category == category]
        members.sort(key=lambda c: -c.times * (c.operations + c.moved))
        chosen += members[: shapes or None]
    return chosen


def _case(
    category: str, name: str, times: int, module: nn.Module, inputs: dict[str, Tensor],
    each: float | None = None,
) -> Case:  # fmt: skip
    """A case with its cost.

    Args:
        category: one of CATEGORIES.
        name: its shape.
        times: how often it occurs.
        module: what is run.
        inputs: of the module.
        each: operations for each output value; None counts those of convolutions and products.
    """
    from benchmarks.counts import count

    with torch.no_grad():
        outputs = module.eval()(*inputs.values())
    values = sum(v.numel() for v in (*inputs.values(), *outputs, *module.parameters()))
    if each is None:
        operations = 2.0 * count(module, tuple(inputs.values())).total.macs
    else:
        operations = each * sum(v.numel() for v in outputs)
    return Case(category, name, times, module, inputs, operations, 4.0 * values)


def _convolution(call: Call, times: int) -> Case:
    x, (out, per_group, *kernel) = call.shapes
    if call.groups > 1:
        category = "depthwise"
    else:
        category = "pointwise" if max(kernel) == 1 else "dense 3x3"
    stride = f"/{call.stride[0]}" if max(call.stride) > 1 else ""
    name = f"{x[1]}>{out} {kernel[0]}x{kernel[1]}{stride} on {x[2]}x{x[3]}"
    return _case(category, name, times, Convolution(call), {"x": torch.rand(x)})


def _linear(call: Call, times: int) -> Case:
    x, (out, cin) = call.shapes
    name = f"{cin}>{out} on {x[-2] if len(x) > 2 else 1} tokens"
    return _case("pointwise", name, times, Linear(call), {"x": torch.rand(x)})


def _attention(call: Call, times: int) -> Case:
    names = ("query", "key", "value")
    inputs = {n: torch.rand(shape) for n, shape in zip(names, call.shapes, strict=True)}
    query, _, (*_, tokens, out) = call.shapes
    heads = query[1] if len(query) == 4 else 1
    name = f"{heads} heads, {query[-2]}x{tokens} tokens, {query[-1]} to {out}"
    return _case("attention", name, times, Attention(), inputs)


def _sampling(call: Call, times: int) -> Case:
    source, (_, height, width, _) = call.shapes
    wave = 0.1 * torch.rand(1, 2, 4, 3)
    bent = F.interpolate(wave, (height, width), mode="bilinear", align_corners=False)
    flow = identity(height, width, bent) + bent
    name = f"{source[1]} of {source[2]}x{source[3]} at {height}x{width}"
    inputs = {"source": torch.rand(source), "flow": flow}
    return _case("grid-sample", name, times, Sampling(), inputs, 8)


def _resize(call: Call, times: int) -> Case:
    (x,) = call.shapes
    name = f"{x[1]} of {x[2]}x{x[3]}, {call.mode} x{call.factor:g}"
    inputs = {"x": torch.rand(x)}
    return _case("resize", name, times, Resize(call), inputs, 8 if call.mode == "bilinear" else 0)


_BUILDERS: dict[str, Callable[[Call, int], Case]] = {
    "convolution": _convolution,
    "linear": _linear,
    "attention": _attention,
    "sampling": _sampling,
    "resize": _resize,
}
