"""A whole pair with coded weights: the network to run, and the file to ship."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import onnx
from onnx import ModelProto

from dmvton.lowbit import RAW, Stored, pack, pack_network, packed_bytes
from export.graph import constants
from export.lowbit.layers import KEPT, Layer, find_layers, to_matrix, with_weights
from export.lowbit.moments import Moments
from export.lowbit.quantise import Coded, Scheme, bias_change, quantise

Schemes = Mapping[str, Scheme]  # by name of the layer
Part = tuple[Stored, bytes]  # a tensor of the file


class Material(NamedTuple):
    """One graph, with all that coding its weights needs."""

    model: ModelProto
    layers: list[Layer]
    tensors: dict[str, np.ndarray]  # initialisers by name
    moments: dict[str, Moments]  # by name of the layer

    def code(self, layer: Layer, scheme: Scheme) -> Coded:
        """Code one layer."""
        weights = to_matrix(self.tensors[layer.name], layer)
        return quantise(weights, self.moments[layer.name], scheme, layer.bias is not None)

    def changes(self, layer: Layer, coded: Coded) -> dict[str, np.ndarray]:
        """The tensors that differ once a layer is coded: its weights, and its bias."""
        weights = coded.weights.reshape(layer.rows, layer.columns)
        moved = (layer.shape[layer.axis], *np.delete(layer.shape, layer.axis))
        changed = {layer.name: np.moveaxis(weights.reshape(moved), 0, layer.axis)}
        if layer.bias:
            exact = to_matrix(self.tensors[layer.name], layer)
            shift = bias_change(exact, coded, self.moments[layer.name])
            changed[layer.bias] = (self.tensors[layer.bias] + shift).astype(np.float32)
        return changed


def material(model: ModelProto, moments: dict[str, Moments]) -> Material:
    """Gather what belongs together."""
    return Material(model, find_layers(model), constants(model), moments)


def stored(layer: Layer, scheme: Scheme) -> Stored:
    """How a coded layer lies in the file."""
    return Stored(layer.name, layer.shape, scheme.bits, layer.axis, scheme.group, scheme.symmetric)


def pack_graph(graph: Material, schemes: Schemes) -> bytes:
    """The packed file of one graph, all of its layers coded.

    Args:
        graph: what to code.
        schemes: one for each of the graph's layers.
    """
    parts: dict[str, Part] = {}
    changed: dict[str, np.ndarray] = {}
    for layer in graph.layers:
        coded = graph.code(layer, schemes[layer.name])
        parts[layer.name] = _coded_part(layer, coded, schemes[layer.name])
        changed |= graph.changes(layer, coded)
    return _assemble(graph, parts, {n: v for n, v in changed.items() if n not in parts})


def overhead(graph: Material, schemes: Schemes) -> int:
    """Bytes of the packed file beside the coded weights: graph, header, biases."""
    entries = [stored(layer, schemes[layer.name]) for layer in graph.layers]
    blank = {entry.name: (entry, bytes(entry.nbytes)) for entry in entries}
    return len(_assemble(graph, blank, {})) - sum(entry.nbytes for entry in entries)


def _assemble(graph: Material, parts: dict[str, Part], biases: dict[str, np.ndarray]) -> bytes:
    """The file of coded layers, the other tensors as floats, and the graph without either."""
    for name, tensor in graph.tensors.items():
        if name not in parts and tensor.dtype == np.float32 and tensor.size > KEPT:
            parts[name] = _float_part(name, biases.get(name, tensor))
    rest = {name: value for name, value in biases.items() if name not in parts}
    skeleton = onnx.load_from_string(with_weights(graph.model, rest))
    kept = [t for t in skeleton.graph.initializer if t.name not in parts]
    del skeleton.graph.initializer[:]
    skeleton.graph.initializer.extend(kept)
    return pack_network(list(parts.values()), skeleton.SerializeToString())


def _coded_part(layer: Layer, coded: Coded, scheme: Scheme) -> Part:
    codes = pack(coded.codes.reshape(-1), scheme.bits)
    assert len(codes) == packed_bytes(layer.count, scheme.bits)
    halves = [coded.scales] if scheme.symmetric else [coded.scales, coded.offsets]
    tail = b"".join(np.ascontiguousarray(half, RAW[16]).tobytes() for half in halves)
    return stored(layer, scheme), codes.tobytes() + tail


def _float_part(name: str, tensor: np.ndarray) -> Part:
    """A tensor as float16, or as float32 where it does not fit into float16's range."""
    bits = 16 if np.abs(tensor).max() < np.finfo(np.float16).max else 32
    return Stored(name, tensor.shape, bits), tensor.astype(RAW[bits]).tobytes()
