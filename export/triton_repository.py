"""`dmvton export triton`: a model repository for NVIDIA's Triton Inference Server.

    DIR/dmvton_garment/config.pbtxt, 1/model.onnx      once a garment
    DIR/dmvton_frame/config.pbtxt, 1/model.onnx        once a frame, with what the first one gave

Both run in the ONNX Runtime backend with dynamic batching; a queue that is full, or in which a
request has waited too long, refuses it. Triton's clients do what is before and behind the network:
crop and composite (`dmvton.locate`, `dmvton.compose`).
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from onnx import ModelProto, TensorProto, ValueInfoProto

from dmvton.errors import OutputError, UsageError
from export.commands import checkpoint_hash, pair_name
from export.files import staged
from export.folder import stamp
from export.pair import Form, Probe, build_pair, load_student, make_probes, usual_size

VERSION = "1"  # of each model, in Triton's counting
_TYPES = {TensorProto.FLOAT: "TYPE_FP32", TensorProto.FLOAT16: "TYPE_FP16"}


@dataclass(frozen=True)
class Serving:
    """How Triton runs a graph."""

    device: Literal["cpu", "gpu"] = "cpu"
    max_batch: int = 8
    """Most pictures in one run."""
    instances: int = 1
    """Copies of each graph that run side by side, on each device."""
    threads: int = 1
    """Of one copy, on the CPU."""
    delay_us: int = 2000
    """Microseconds for which a picture may wait for company."""
    queue: int = 64
    """Most requests that wait; further ones are refused."""
    patience_us: int = 500_000
    """Microseconds after which a waiting request is refused."""

    def __post_init__(self) -> None:
        for name in ("max_batch", "instances", "threads", "queue"):
            if not 1 <= getattr(self, name) <= 4096:
                raise UsageError(f"got --{name} {getattr(self, name)}; use 1 to 4096")
        if not 0 <= self.delay_us < self.patience_us:
            raise UsageError(
                f"got --delay_us {self.delay_us} and --patience_us {self.patience_us}; the first "
                "must be 0 or more, and less than the second"
            )


def triton(
    checkpoint: Path,
    out: Path,
    size: tuple[int, int] | None = None,
    precision: Literal["fp32", "fp16"] = "fp32",
    device: Literal["cpu", "gpu"] = "cpu",
    max_batch: int = 8,
    instances: int = 1,
    threads: int = 1,
    delay_us: int = 2000,
    queue: int = 64,
    patience_us: int = 500_000,
) -> None:
    """Exports a checkpoint as a model repository of Triton Inference Server.

    Args:
        checkpoint: folder with config.json and model.safetensors.
        out: folder for the repository; models of the same names in it are replaced.
        size: height and width, multiples of 16; those of its training if not given.
        precision: of weights and arithmetic; inputs and outputs are fp32.
        device: where Triton runs the graphs.
        max_batch: most pictures in one run.
        instances: copies of each graph that run side by side, on each device.
        threads: of one copy, on the CPU.
        delay_us: microseconds for which a picture may wait for company.
        queue: most requests that wait; further ones are refused.
        patience_us: microseconds after which a waiting request is refused.
    """
    serving = Serving(device, max_batch, instances, threads, delay_us, queue, patience_us)
    student, digest = load_student(checkpoint), checkpoint_hash(checkpoint)
    size = size or usual_size(student)
    form = Form(precision, "dynamic")
    with staged(out) as scratch:
        pair = build_pair(student, size, form)
        note = {"batch": form.batch, "precision": precision, "checkpoint": digest}
        with torch.no_grad():
            probes = make_probes(student, size, 1)
        for file, model in pair.models.items():
            settle_shapes(model, probes[file])
            stamp(model, file, pair_name(size, precision), size, note)
            write_model(model, scratch / f"dmvton_{Path(file).stem}", serving)
        for made in scratch.iterdir():
            _make_room(out / made.name)
    print(f"{out}: dmvton_garment and dmvton_frame; tritonserver --model-repository={out}")


def settle_shapes(model: ModelProto, probe: Probe) -> None:
    """Writes down every side that an export with a free batch left open; the batch stays free."""
    known = probe.feed | probe.truth
    for info in (*model.graph.input, *model.graph.output):
        shape = info.type.tensor_type.shape
        for dim, side in zip(shape.dim[1:], known[info.name].shape[1:], strict=True):
            assert dim.dim_value in (0, side), info.name
            dim.dim_value = side


def write_model(model: ModelProto, folder: Path, serving: Serving) -> None:
    """Writes one model's folder: its settings and its graph."""
    (folder / VERSION).mkdir(parents=True)
    (folder / VERSION / "model.onnx").write_bytes(model.SerializeToString())
    text = config_text(model, folder.name, serving)
    (folder / "config.pbtxt").write_text(text, encoding="utf-8")


def config_text(model: ModelProto, name: str, serving: Serving) -> str:
    """The model's `ModelConfig` in protobuf's text format.

    Args:
        model: every input and output has the batch as its first dimension, without a number.
        name: of the model's folder.
        serving: how it runs.
    """
    return f"""\
name: "{name}"
backend: "onnxruntime"
max_batch_size: {serving.max_batch}
{_tensors("input", model.graph.input)}
{_tensors("output", model.graph.output)}
instance_group [
  {{ count: {serving.instances} kind: KIND_{serving.device.upper()} }}
]
dynamic_batching {{
  max_queue_delay_microseconds: {serving.delay_us}
  default_queue_policy {{
    timeout_action: REJECT
    default_timeout_microseconds: {serving.patience_us}
    max_queue_size: {serving.queue}
  }}
}}
parameters {{
  key: "intra_op_thread_count"
  value: {{ string_value: "{serving.threads}" }}
}}
"""


def _tensors(kind: str, infos: Iterable[ValueInfoProto]) -> str:
    entries = []
    for info in infos:
        tensor = info.type.tensor_type
        batch, *dims = tensor.shape.dim
        assert batch.dim_param and all(dim.dim_value for dim in dims), info.name
        sides = ", ".join(str(dim.dim_value) for dim in dims)
        data = _TYPES[tensor.elem_type]
        entries.append(f'  {{ name: "{info.name}" data_type: {data} dims: [ {sides} ] }}')
    return f"{kind} [\n" + ",\n".join(entries) + "\n]"


def _make_room(folder: Path) -> None:
    """Removes a model that is replaced; anything else of that name stays.

    Raises:
        OutputError: it is not a model, or cannot be removed.
    """
    if not folder.exists():
        return
    if not (folder / "config.pbtxt").is_file():
        raise OutputError(f"{folder} is in the way and no Triton model; name another folder")
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise OutputError(f"cannot replace {folder} ({error.strerror}); remove it") from error
