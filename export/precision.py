"""A graph in half precision, with fp32 where half would show.

Inputs and outputs stay fp32. So do the heads (`export.graph.heads`): a sampling coordinate in fp16
is off by up to a sixteenth of a pixel at 256 rows, and the logit of a mask of nearly 1 is infinite.
Sampling itself, normalisation and softmax also stay. Matrix products do not: their operands are
below 1 there, sums are kept in fp32 by the hardware, and GPUs before SM80 have no others.
"""

import onnx
from onnx import ModelProto, NodeProto, TensorProto
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from export.graph import heads

FLOAT_OPS = ("GridSample", "LayerNormalization", "ReduceL2", "Softmax")


def to_fp16(model: ModelProto) -> ModelProto:
    """The graph with fp16 weights and arithmetic; the given one stays as it is."""
    copy = ModelProto()
    copy.CopyFrom(model)
    products = {n.name for n in model.graph.node if n.op_type in ("Gemm", "MatMul")}
    half = convert_float_to_float16(
        copy,
        keep_io_types=True,
        op_block_list=list(FLOAT_OPS),
        node_block_list=sorted(heads(model) - products),
    )
    _drop_round_trips(half)
    OnnxModel(half).topological_sort()  # casts of inputs stand at the end
    onnx.checker.check_model(half, full_check=True)
    return half


def _drop_round_trips(model: ModelProto) -> None:
    """Joins fp32 nodes directly that are joined through a cast to fp16 and back.

    The converter puts that pair after every node that stays in fp32, which would round its result.
    """
    graph = model.graph
    maker = {output: node for node in graph.node for output in node.output}
    origin = {}
    for node in graph.node:
        down = maker.get(node.input[0]) if _casts_to(node, TensorProto.FLOAT) else None
        if down is not None and _casts_to(down, TensorProto.FLOAT16):
            origin[node.output[0]] = down.input[0]
    # An output of the graph keeps its name, and what it comes from takes that name.
    name = {source: end.name for end in graph.output if (source := origin.get(end.name))}
    name |= {back: name.get(source, source) for back, source in origin.items()}
    kept = [node for node in graph.node if node.output[0] not in origin]
    for node in kept:
        node.input[:] = [name.get(tensor, tensor) for tensor in node.input]
        node.output[:] = [name.get(tensor, tensor) for tensor in node.output]
    read = {tensor for node in kept for tensor in node.input} | {o.name for o in graph.output}
    kept = [n for n in kept if n.op_type != "Cast" or n.output[0] in read]
    del graph.node[:]
    graph.node.extend(kept)
    del graph.value_info[:]  # of tensors that may be gone


def _casts_to(node: NodeProto, kind: int) -> bool:
    return node.op_type == "Cast" and node.attribute[0].i == kind
