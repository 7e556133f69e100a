"""What each layer sees on pictures: second moments and means of its inputs."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import onnx

from export.lowbit.layers import Layer, Window
from export.pair import session_of

POSITIONS = 384  # output positions of a layer that are looked at in one picture


class Moments(NamedTuple):
    """Inputs of one layer, `columns` of them to an output, over positions and pictures."""

    gram: np.ndarray  # (parts, columns, columns) float64, mean of x x^T
    mean: np.ndarray  # (parts, columns) float64, mean of x

    @property
    def covariance(self) -> np.ndarray:
        """(parts, columns, columns), what is left once a bias can take up the mean."""
        return self.gram - self.mean[:, :, None] * self.mean[:, None, :]


def white(layer: Layer) -> Moments:
    """Moments of unit noise: what is assumed where no pictures are given."""
    gram = np.broadcast_to(np.eye(layer.columns), (layer.parts, layer.columns, layer.columns))
    return Moments(gram, np.zeros((layer.parts, layer.columns)))


def gather_moments(
    model: onnx.ModelProto, layers: list[Layer], feeds: Iterable[dict[str, np.ndarray]]
) -> dict[str, Moments]:
    """Run the graph on pictures and sum up what the layers see.

    Args:
        model: with static shapes.
        layers: those with a source are looked at.
        feeds: inputs of the graph, one picture each.

    Returns:
        By name of the layer; `white` for layers without a source.
    """
    seen = [layer for layer in layers if layer.source]
    sums: dict[str, list] = {}
    rng = np.random.default_rng(0)
    for tensors in inner_tensors(model.SerializeToString(), {s.source for s in seen}, feeds):
        for layer in seen:
            x = sample_inputs(tensors[layer.source], layer, rng)  # (parts, n, columns)
            total = sums.setdefault(layer.name, [0.0, 0.0, 0])
            total[0] += x.transpose(0, 2, 1) @ x
            total[1] += x.sum(1)
            total[2] += x.shape[1]
    found = {name: Moments(gram / n, mean / n) for name, (gram, mean, n) in sums.items()}
    return {layer.name: found.get(layer.name) or white(layer) for layer in layers}


def inner_tensors(
    model: bytes, wanted: set[str], feeds: Iterable[dict[str, np.ndarray]]
) -> Iterator[dict[str, np.ndarray]]:
    """Run a graph and look into it.

    Args:
        model: serialised.
        wanted: names of inner tensors.
        feeds: inputs of the graph.

    Yields:
        For each feed, its own tensors and the wanted ones, by name.
    """
    copy = onnx.load_from_string(model)
    inputs = {tensor.name for tensor in copy.graph.input}
    given = {tensor.name for tensor in copy.graph.output}
    for name in sorted(wanted - inputs - given):
        copy.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session, names = session_of(copy.SerializeToString()), sorted(wanted - inputs)
    for feed in feeds:
        yield feed | dict(zip(names, session.run(names, feed), strict=True))


def sample_inputs(tensor: np.ndarray, layer: Layer, rng: np.random.Generator) -> np.ndarray:
    """Some of the input vectors that a layer multiplies: (parts, n, columns) float64."""
    if layer.window is None:
        rows = tensor.reshape(1, -1, tensor.shape[-1])
        picks = rng.permutation(rows.shape[1])[:POSITIONS]
        return rows[:, picks].astype(np.float64)
    patches = _patches(tensor[0], layer.window, rng)  # (channels, n, kh, kw)
    channels, count = patches.shape[:2]
    split = patches.reshape(layer.parts, channels // layer.parts, count, -1)
    return split.transpose(0, 2, 1, 3).reshape(layer.parts, count, -1).astype(np.float64)


def _patches(planes: np.ndarray, window: Window, rng: np.random.Generator) -> np.ndarray:
    """Patches under the kernel at random places: (C, H, W) to (C, n, kh, kw)."""
    top, left, bottom, right = window.pads
    padded = np.pad(planes, ((0, 0), (top, bottom), (left, right)))
    (kh, kw), (sy, sx) = window.kernel, window.strides
    height = (padded.shape[1] - kh) // sy + 1
    width = (padded.shape[2] - kw) // sx + 1
    places = rng.permutation(height * width)[:POSITIONS]
    y = (places // width * sy)[:, None, None] + np.arange(kh)[:, None]
    x = (places % width * sx)[:, None, None] + np.arange(kw)
    return padded[:, y, x]
