"""Runs a saved ML Program with torch: Core ML itself exists on Apple's systems alone.

It executes the operations that the file holds, in the types that it holds, by Apple's description
of each, so that what the converter wrote is compared and not what it read. How Apple's processors
round is not shown by it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from export.mobile.target import ConversionError

Inputs = Mapping[str, Any]


class MilProgram:
    """An .mlpackage, loaded."""

    def __init__(self, path: Path):
        """Reads operations and weights.

        Raises:
            ConversionError: it holds an operation that is not known here.
        """
        import coremltools as ct
        from coremltools.converters.mil.frontend.milproto import load

        spec = ct.utils.load_spec(str(path))
        (weights,) = (folder for folder in path.rglob("weights") if folder.is_dir())
        program = load.load(spec, spec.specificationVersion, file_weights_dir=str(weights))
        self._main = program.functions["main"]
        self.operations = [op for op in self._main.operations if op.op_type != "const"]
        if unknown := {op.op_type for op in self.operations} - OPERATIONS.keys():
            raise ConversionError(
                f"{path}: {', '.join(sorted(unknown))} cannot be checked; add it to "
                "export/mobile/mil.py"
            )

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Arrays by name to arrays by name, float32."""
        from coremltools.converters.mil.mil import types

        known: dict[str, Tensor] = {}
        for name, variable in self._main.inputs.items():
            kind = types.nptype_from_builtin(variable.dtype)
            known[name] = torch.from_numpy(inputs[name].astype(kind))
        with torch.no_grad():
            for op in self.operations:
                found = OPERATIONS[op.op_type]({k: _value(v, known) for k, v in op.inputs.items()})
                results = found if isinstance(found, (tuple, list)) else (found,)
                known |= {o.name: r for o, r in zip(op.outputs, results, strict=True)}
        return {o.name: known[o.name].float().numpy() for o in self._main.outputs}


def _value(variable: Any, known: Mapping[str, Tensor]) -> Any:
    """A tensor that was computed, a constant tensor, or a plain Python value."""
    if isinstance(variable, (list, tuple)):
        return [_value(v, known) for v in variable]
    if variable.name in known:
        return known[variable.name]
    value = variable.val
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return torch.from_numpy(value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value


def _conv(i: Inputs) -> Tensor:
    x, pads = i["x"], list(i.get("pad") or [0, 0, 0, 0])
    if i["pad_type"] not in ("valid", "custom"):
        raise ConversionError(f"conv with pad_type {i['pad_type']} cannot be checked")
    top, bottom, left, right = pads if i["pad_type"] == "custom" else (0, 0, 0, 0)
    x = F.pad(x, (left, right, top, bottom))
    return F.conv2d(x, i["weight"], i.get("bias"), i["strides"], 0, i["dilations"], i["groups"])


def _pad(i: Inputs) -> Tensor:
    pairs = [i["pad"][k : k + 2] for k in range(0, len(i["pad"]), 2)]
    return F.pad(i["x"], [side for pair in reversed(pairs) for side in pair], i["mode"],
                 i["constant_val"])  # fmt: skip


def _slice(i: Inputs) -> Tensor:
    rank = i["x"].ndim
    masks = {n: i.get(n) or [False] * rank for n in ("begin_mask", "end_mask", "squeeze_mask")}
    strides = i.get("stride") or [1] * rank
    index: list[Any] = []
    for axis in range(rank):
        begin = None if masks["begin_mask"][axis] else i["begin"][axis]
        end = None if masks["end_mask"][axis] else i["end"][axis]
        index.append(begin if masks["squeeze_mask"][axis] else slice(begin, end, strides[axis]))
    return i["x"][tuple(index)]


def _resample(i: Inputs) -> Tensor:
    names = ("sampling_mode", "coordinates_mode", "align_corners", "padding_mode", "padding_value")
    told = tuple(i[name] for name in names)
    if told != ("bilinear", "normalized_minus_one_to_one", False, "constant", 0):
        raise ConversionError(f"resample with {told} cannot be checked")
    return F.grid_sample(i["x"], i["coordinates"].to(i["x"].dtype), align_corners=False)


def _enlarged(mode: str) -> Callable[[Inputs], Tensor]:
    def enlarge(i: Inputs) -> Tensor:
        factors = (i["scale_factor_height"], i["scale_factor_width"])
        align = i["align_corners"] if mode == "bilinear" else None
        return F.interpolate(i["x"], scale_factor=factors, mode=mode, align_corners=align)

    return enlarge


def _matmul(i: Inputs) -> Tensor:
    x = i["x"].transpose(-1, -2) if i["transpose_x"] else i["x"]
    return x @ (i["y"].transpose(-1, -2) if i["transpose_y"] else i["y"])


def _gelu(i: Inputs) -> Tensor:
    if i["mode"] != "EXACT":
        raise ConversionError(f"gelu with mode {i['mode']} cannot be checked")
    return F.gelu(i["x"])


def _cast(i: Inputs) -> Tensor:
    types = {"fp16": torch.float16, "fp32": torch.float32, "int32": torch.int32}
    return i["x"].to(types[i["dtype"]])


def _squeezed(i: Inputs) -> Tensor:
    return i["x"].squeeze(tuple(i["axes"]))


def _expanded(i: Inputs) -> Tensor:
    (axis,) = i["axes"]
    return i["x"].unsqueeze(axis)


def _pooled(i: Inputs) -> Tensor:
    if any(i["pad"]) or i["ceil_mode"]:
        raise ConversionError("avg_pool with padding cannot be checked")
    return F.avg_pool2d(i["x"], i["kernel_sizes"], i["strides"])


def _pair(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Inputs], Tensor]:
    """An operation on `x` and `y`, one of which may be a number."""
    return lambda i: function(*(torch.as_tensor(i[n]) for n in ("x", "y")))


def _axes(function: Callable[..., Tensor]) -> Callable[[Inputs], Tensor]:
    return lambda i: function(i["x"], dim=tuple(i["axes"]), keepdim=i["keep_dims"])


OPERATIONS: dict[str, Callable[[Inputs], Any]] = {
    "add": _pair(torch.add),
    "sub": _pair(torch.sub),
    "mul": _pair(torch.mul),
    "real_div": _pair(torch.div),
    "maximum": _pair(lambda x, y: torch.maximum(x, y.to(x.dtype))),
    "conv": _conv,
    "linear": lambda i: F.linear(i["x"], i["weight"], i.get("bias")),
    "matmul": _matmul,
    "relu6": lambda i: F.relu6(i["x"]),
    "clip": lambda i: i["x"].clamp(i["alpha"], i["beta"]),
    "sigmoid": lambda i: i["x"].sigmoid(),
    "tanh": lambda i: i["x"].tanh(),
    "exp": lambda i: i["x"].exp(),
    "log": lambda i: (i["x"] + i["epsilon"]).log(),
    "gelu": _gelu,
    "softmax": lambda i: i["x"].softmax(i["axis"]),
    "layer_norm": lambda i: F.layer_norm(
        i["x"], i["gamma"].shape, i["gamma"], i["beta"], i["epsilon"]
    ),
    "reduce_mean": _axes(torch.mean),
    "reduce_sum": _axes(torch.sum),
    "reduce_max": _axes(torch.amax),
    "reduce_l2_norm": _axes(torch.linalg.vector_norm),
    "avg_pool": _pooled,
    "pad": _pad,
    "upsample_nearest_neighbor": _enlarged("nearest"),
    "upsample_bilinear": _enlarged("bilinear"),
    "resample": _resample,
    "reshape": lambda i: i["x"].reshape(i["shape"]),
    "transpose": lambda i: i["x"].permute(i["perm"]),
    "concat": lambda i: torch.cat(i["values"], i["axis"]),
    "stack": lambda i: torch.stack(i["values"], i["axis"]),
    "split": lambda i: torch.split(i["x"], i["split_sizes"], i["axis"]),
    "slice_by_index": _slice,
    "squeeze": _squeezed,
    "expand_dims": _expanded,
    "tile": lambda i: i["x"].repeat(i["reps"]),
    "cast": _cast,
}
