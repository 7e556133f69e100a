"""Which layers a network runs, with their shapes, as it runs them."""

from collections import Counter
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_PRODUCTS = (torch.matmul, Tensor.matmul, Tensor.__matmul__)
_SOFTMAX = (torch.softmax, Tensor.softmax, F.softmax)

Shape = tuple[int, ...]


class Call(NamedTuple):
    """A layer's shapes and what else its cost depends on."""

    kind: str  # convolution, linear, attention, sampling, resize
    shapes: tuple[Shape, ...]  # of the inputs and weights
    stride: Shape = (1, 1)
    padding: Shape = (0, 0)
    groups: int = 1
    factor: float = 1.0  # of a resize
    mode: str = ""  # of a resize


def recorded(module: nn.Module, inputs: tuple[Tensor, ...]) -> Counter[Call]:
    """Runs the module once and counts its layers by shape."""
    with torch.no_grad(), _Recorder() as recorder:
        module(*inputs)
    return recorder.calls


class _Recorder(TorchFunctionMode):
    """Sees every call of torch's functions; attention is told by product, softmax, product."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[Call] = Counter()
        self._products: dict[Shape, tuple[Shape, Shape]] = {}  # by the shape of the result
        self._scores: Shape | None = None

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Part of the protocol of `TorchFunctionMode`."""
        result = func(*args, **(kwargs or {}))
        if func in (torch.conv2d, F.conv2d):
            self._convolution(*args)
        elif func is F.linear:
            self.calls[Call("linear", _shapes(*args[:2]))] += 1
        elif func is F.grid_sample:
            self.calls[Call("sampling", _shapes(*args[:2]))] += 1
        elif func is F.interpolate:
            self._resize(args[0], result, **(kwargs or {}))
        elif func in _PRODUCTS:
            self._product(args[0], args[1], result)
        elif func in _SOFTMAX:
            self._scores = tuple(result.shape)
        return result

    def _convolution(self, x, weight, bias, stride, padding, dilation, groups) -> None:
        call = Call("convolution", _shapes(x, weight), tuple(stride), tuple(padding), groups)
        self.calls[call] += 1

    def _resize(self, x: Tensor, result: Tensor, mode: str = "nearest", **_: object) -> None:
        factor = result.shape[2] / x.shape[2]
        self.calls[Call("resize", _shapes(x), factor=factor, mode=mode)] += 1

    def _product(self, left: Tensor, right: Tensor, result: Tensor) -> None:
        shape = tuple(left.shape)
        if shape == self._scores and shape in self._products:
            query, key = self._products[shape]
            self.calls[Call("attention", (query, key, tuple(right.shape)))] += 1
        self._products[tuple(result.shape)] = _shapes(left, right)


def _shapes(*tensors: Tensor) -> tuple[Shape, ...]:
    return tuple(tuple(tensor.shape) for tensor in tensors)
