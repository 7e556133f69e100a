"""The repository for Triton: its settings, parsed as Triton parses them, fit the graphs."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from dmvton.errors import CheckpointError, OutputError, UsageError
from export import triton_repository
from export.cli import main
from export.triton_repository import triton
from tests.students import SMALL, save_tiny

MODELS = ("dmvton_garment", "dmvton_frame")
F = descriptor_pb2.FieldDescriptorProto
# The part of Triton's model_config.proto that is used here: the text format refuses other names.
SCHEMA = {
    "Tensor": {"name": str, "data_type": "DataType", "dims": [int]},
    "InstanceGroup": {"count": int, "kind": "Kind"},
    "QueuePolicy": {
        "timeout_action": "Action", "default_timeout_microseconds": int, "max_queue_size": int,
    },
    "Batching": {"max_queue_delay_microseconds": int, "default_queue_policy": "QueuePolicy"},
    "Parameter": {"string_value": str},
    "Entry": {"key": str, "value": "Parameter"},
    "ModelConfig": {
        "name": str, "backend": str, "max_batch_size": int, "input": ["Tensor"],
        "output": ["Tensor"], "instance_group": ["InstanceGroup"], "dynamic_batching": "Batching",
        "parameters": ["Entry"],
    },
}  # fmt: skip
ENUMS = {
    "DataType": ("TYPE_INVALID", "TYPE_FP16", "TYPE_FP32"),
    "Kind": ("KIND_AUTO", "KIND_GPU", "KIND_CPU"),
    "Action": ("REJECT", "DELAY"),
}


@pytest.fixture(scope="module")
def model_config():
    file = descriptor_pb2.FileDescriptorProto(name="config.proto", package="t", syntax="proto3")
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            many = isinstance(kind, list)
            kind = kind[0] if many else kind
            added = message.field.add(name=field, number=number)
            added.label = F.LABEL_REPEATED if many else F.LABEL_OPTIONAL
            if isinstance(kind, str):
                added.type_name = f".t.{kind}"
                added.type = F.TYPE_ENUM if kind in ENUMS else F.TYPE_MESSAGE
            else:
                added.type = {str: F.TYPE_STRING, int: F.TYPE_INT64}[kind]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.ModelConfig"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def repository(checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("triton") / "models"
    options = ["--checkpoint", str(checkpoint), "--out", str(out), "--size", *map(str, SMALL)]
    main(["triton", *options, "--max-batch", "4", "--device", "gpu", "--threads", "3"])
    return out


@pytest.mark.parametrize("name", MODELS)
def test_settings_are_those_of_the_graph(repository, model_config, name):
    graph = onnx.load(repository / name / "1" / "model.onnx").graph
    config = text_format.Parse((repository / name / "config.pbtxt").read_text(), model_config())
    assert (config.name, config.backend, config.max_batch_size) == (name, "onnxruntime", 4)
    for infos, tensors in ((graph.input, config.input), (graph.output, config.output)):
        assert [i.name for i in infos] == [t.name for t in tensors]
        for info, tensor in zip(infos, tensors, strict=True):
            batch, *dims = info.type.tensor_type.shape.dim
            assert batch.dim_param and [d.dim_value for d in dims] == list(tensor.dims)
            assert info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
            assert ENUMS["DataType"][tensor.data_type] == "TYPE_FP32"
    (group,) = config.instance_group
    assert group.count == 1 and ENUMS["Kind"][group.kind] == "KIND_GPU"
    policy = config.dynamic_batching.default_queue_policy
    assert policy.max_queue_size == 64 and ENUMS["Action"][policy.timeout_action] == "REJECT"
    assert config.dynamic_batching.max_queue_delay_microseconds < 1e6
    (parameter,) = config.parameters
    assert (parameter.key, parameter.value.string_value) == ("intra_op_thread_count", "3")


def test_a_picture_in_a_batch_is_the_picture_alone(repository):
    rng, count = np.random.default_rng(0), 3
    known = {n: rng.random((count, 3, *SMALL), np.float32) for n in ("garment", "person")}
    for name in MODELS:
        path = str(repository / name / "1" / "model.onnx")
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [o.name for o in session.get_outputs()]
        feed = {i.name: known[i.name] for i in session.get_inputs()}
        outputs = dict(zip(names, session.run(names, feed), strict=True))
        for at in range(count):
            alone = session.run(names, {n: v[at : at + 1] for n, v in feed.items()})
            for output, value in zip(names, alone, strict=True):
                np.testing.assert_allclose(outputs[output][at : at + 1], value, atol=2e-4)
        known |= outputs  # what the garment graph gives is what the frame graph takes


def test_a_second_export_replaces_the_first(repository, checkpoint):
    (repository / "README").write_text("mine")
    triton(checkpoint, repository, SMALL, max_batch=2)
    for name in MODELS:
        assert "max_batch_size: 2" in (repository / name / "config.pbtxt").read_text()
    assert sorted(p.name for p in repository.iterdir()) == ["README", *sorted(MODELS)]


def test_folder_that_cannot_be_written(checkpoint, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(triton_repository, "build_pair", None)  # refused before any work
    with pytest.raises(OutputError, match="cannot write"):
        triton(checkpoint, tmp_path / "file" / "models", SMALL)


def test_what_is_no_model_is_not_replaced(checkpoint, tmp_path):
    (tmp_path / "dmvton_frame").mkdir()
    (tmp_path / "dmvton_frame" / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(OutputError, match="no Triton model"):
        triton(checkpoint, tmp_path, SMALL)
    assert [p.name for p in tmp_path.rglob("*")] == ["dmvton_frame", "photo.jpg"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_batch": 0}, "--max_batch 0"),
        ({"queue": 10**9}, "--queue 1000000000"),
        ({"delay_us": 600_000}, "--delay_us 600000"),
        ({"delay_us": -1}, "--delay_us -1"),
        ({"size": (100, 48)}, "multiples of 16"),
    ],
)
def test_wrong_settings(checkpoint, tmp_path, options, says):
    with pytest.raises(UsageError, match=says):
        triton(checkpoint, tmp_path / "models", **{"size": SMALL, **options})
    assert not (tmp_path / "models").exists()


def test_no_checkpoint(tmp_path):
    with pytest.raises(CheckpointError):
        triton(tmp_path, tmp_path / "models", SMALL)
