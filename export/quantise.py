"""Eight bits in the one form that TensorRT takes: QDQ, symmetric, per channel, float biases.

Only convolutions and matrix products with constant weights are quantised, at their inputs and
weights. Depthwise convolutions stay in float: they are a small part of the work, TensorRT makes
engines of twice the size of them, and one scale for an input of unlike channels serves them badly.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData, create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from export.graph import WEIGHTED, heads, weighted_layers

Feed = dict[str, np.ndarray]
# Beyond DESIGN: no quantisation of outputs. Before the activation they reach far below zero, where
# nothing is to be told apart; the next layer's input is quantised after it.
OPTIONS = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "QuantizeBias": False,
    "OpTypesToExcludeOutputQuantization": list(WEIGHTED),
}


class _Feeds(CalibrationDataReader):
    """Hands the calibrator one feed after the other."""

    def __init__(self, feeds: Iterable[Feed]):
        self.feeds = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self.feeds, None)


def quantisable(model: ModelProto) -> list[str]:
    """Names of the layers that may be quantised, in the graph's order."""
    kept = heads(model)
    return [n.name for n in weighted_layers(model) if not n.depthwise and n.name not in kept]


def calibrate(model: ModelProto, feeds: Iterable[Feed]) -> TensorsData:
    """Range of every tensor that a layer reads or writes, over some inputs of the graph."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        onnx.save(model, path)
        calibrator = create_calibrator(
            path, list(WEIGHTED), str(Path(scratch) / "augmented.onnx"),
            calibrate_method=CalibrationMethod.MinMax,
        )  # fmt: skip
        calibrator.collect_data(_Feeds(feeds))
        return calibrator.compute_data()


def to_int8(model: ModelProto, ranges: TensorsData, layers: Iterable[str]) -> ModelProto:
    """The graph with some of its layers quantised; the given one stays as it is.

    Args:
        model: fp32.
        ranges: of `calibrate`, on the same graph.
        layers: names of nodes, among those of `quantisable`.
    """
    chosen = list(layers)
    copy = onnx.shape_inference.infer_shapes(model)
    if not chosen:
        return copy
    quantiser = QDQQuantizer(
        copy,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8,
        tensors_range=ranges,
        nodes_to_quantize=chosen,
        nodes_to_exclude=[],
        op_types_to_quantize=list(WEIGHTED),
        extra_options=dict(OPTIONS),
    )
    quantiser.quantize_model()
    quantiser.model.topological_sort()  # the new nodes stand at the end
    onnx.checker.check_model(quantiser.model.model, full_check=True)
    return quantiser.model.model
