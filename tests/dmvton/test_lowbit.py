"""The packed file: codes of every width, and a network that loads from them or refuses."""

import hashlib
import json
import shutil
import struct
import zlib

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from dmvton import TryOn, lowbit
from dmvton.errors import CheckpointError, UsageError
from dmvton.lowbit import (
    WIDTHS,
    Stored,
    dequantise,
    from_matrix,
    pack,
    pack_network,
    packed_bytes,
    unpack,
    unpack_network,
)
from dmvton.runtime import NetworkPair, read_manifest, read_verified
from tests.fake_pair import garment_picture, person_picture


def by_hand(codes, bits):
    """The packed bytes as the docstring of `pack` has it, bit by bit, with Python's integers."""
    out, done = b"", 0
    for size in lowbit.pieces(bits):
        number = 0
        for i, code in enumerate(codes):
            number |= (int(code) >> done & (1 << size) - 1) << i * size
        out += number.to_bytes(-(-len(codes) * size // 8), "little")
        done += size
    return np.frombuffer(out, np.uint8)


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 25, 31, 33, 114, 672])
def test_codes_of_any_width_and_number_come_back(bits, count):
    rng = np.random.default_rng(bits * 1000 + count)
    codes = rng.integers(0, 1 << bits, (3, count), np.uint8)
    packed = pack(codes, bits)
    assert packed.shape == (3, packed_bytes(count, bits)) and packed.dtype == np.uint8
    np.testing.assert_array_equal(packed[1], by_hand(codes[1], bits))
    np.testing.assert_array_equal(unpack(packed, bits, count), codes)
    extreme = np.full(count, (1 << bits) - 1, np.uint8)
    np.testing.assert_array_equal(unpack(pack(extreme, bits), bits, count), extreme)


@pytest.mark.parametrize("bits", WIDTHS)
def test_nothing_is_wasted_on_filling(bits):
    assert lowbit.pieces(bits) == tuple(p for p in (8, 4, 2, 1) if bits & p)
    for count in (8, 64, 53760):
        assert packed_bytes(count, bits) == count * bits / 8
    for count in range(1, 40):
        assert packed_bytes(count, bits) < count * bits / 8 + len(lowbit.pieces(bits))


@pytest.mark.parametrize("bits", [0, 9, -1, 16])
def test_other_widths_are_refused(bits):
    with pytest.raises(UsageError, match=f"{bits} bits, expected 1 to 8"):
        pack(np.zeros(4, np.uint8), bits)
    with pytest.raises(UsageError, match=f"{bits} bits, expected 1 to 8"):
        packed_bytes(4, bits)


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("group", [0, 1, 4, 32])
@pytest.mark.parametrize("symmetric", [True, False])
def test_dequantise_against_a_loop(bits, group, symmetric):
    rng = np.random.default_rng(bits)
    columns = 13
    codes = rng.integers(0, 1 << bits, (5, columns), np.uint8)
    groups = -(-columns // (group or columns))
    scales = rng.uniform(0.01, 1, (5, groups)).astype(np.float16)
    offsets = None if symmetric else rng.normal(0, 1, (5, groups)).astype(np.float16)
    found = dequantise(codes, scales, offsets, bits, group)
    for row in range(5):
        for column in range(columns):
            g = column // group if group else 0
            scale = float(scales[row, g])
            low = -scale * (2**bits - 1) / 2 if symmetric else float(offsets[row, g])
            assert found[row, column] == pytest.approx(low + scale * codes[row, column], abs=1e-5)


def test_one_symmetric_bit_is_plus_or_minus():
    codes = np.array([[0, 1]], np.uint8)
    found = dequantise(codes, np.array([[0.5]], np.float16), None, 1, 0)
    np.testing.assert_array_equal(found, [[-0.25, 0.25]])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_matrix_back_to_tensor(axis):
    tensor = np.arange(24.0).reshape(2, 3, 4)
    matrix = np.moveaxis(tensor, axis, 0).reshape(tensor.shape[axis], -1)
    np.testing.assert_array_equal(from_matrix(matrix, tensor.shape, axis), tensor)


def pack_model(model, bits=8):
    """Every matrix of a model coded to its own range, without regard to quality, or kept at 32."""
    parts = []
    floats = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    for tensor in floats:
        value = numpy_helper.to_array(tensor)
        if value.ndim < 2 or bits == 32:
            parts.append((Stored(tensor.name, value.shape, 32), value.tobytes()))
            continue
        matrix = value.reshape(value.shape[0], -1)
        low, high = matrix.min(1, keepdims=True), matrix.max(1, keepdims=True)
        scale = ((high - low) / ((1 << bits) - 1)).astype(np.float16)
        offset = low.astype(np.float16)
        step = np.where(scale == 0, 1, scale).astype(np.float32)
        codes = np.rint((matrix - offset) / step).clip(0, (1 << bits) - 1).astype(np.uint8)
        data = pack(codes.reshape(-1), bits).tobytes() + scale.tobytes() + offset.tobytes()
        parts.append((Stored(tensor.name, value.shape, bits, symmetric=False), data))
    skeleton = onnx.ModelProto()
    skeleton.CopyFrom(model)
    kept = [t for t in model.graph.initializer if t.data_type != onnx.TensorProto.FLOAT]
    del skeleton.graph.initializer[:]
    skeleton.graph.initializer.extend(kept)
    return pack_network(parts, skeleton.SerializeToString())


def toy():
    """y = relu(conv(x)) with weights that 8 bits hold well."""
    rng = np.random.default_rng(0)
    weight = numpy_helper.from_array(rng.normal(0, 1, (6, 3, 3, 3)).astype(np.float32), "w")
    bias = numpy_helper.from_array(rng.normal(0, 1, 6).astype(np.float32), "b")
    scalar = numpy_helper.from_array(np.float32(0.5), "s")
    info = onnx.helper.make_tensor_value_info
    nodes = [
        onnx.helper.make_node("Conv", ["x", "w", "b"], ["c"]),
        onnx.helper.make_node("Mul", ["c", "s"], ["y"]),
    ]
    ends = info("x", 1, [1, 3, 8, 8]), info("y", 1, [1, 6, 6, 6])
    graph = onnx.helper.make_graph(nodes, "toy", ends[:1], ends[1:], [weight, bias, scalar])
    opset = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)


def test_rebuilt_model_is_sound_and_holds_the_weights():
    model = toy()
    again = onnx.load_from_string(unpack_network(pack_model(model), "toy.lowbit"))
    onnx.checker.check_model(again, full_check=True)
    found = {t.name: numpy_helper.to_array(t) for t in again.graph.initializer}
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        assert found[tensor.name].shape == value.shape and found[tensor.name].dtype == np.float32
        tolerance = 0.02 if value.ndim > 1 else 0
        np.testing.assert_allclose(found[tensor.name], value, atol=tolerance)
    del again.graph.initializer[:], model.graph.initializer[:]
    assert again == model


@pytest.fixture
def packed_folder(fake_weights, tmp_path):
    """The fake pair, packed without loss: its weights are coordinates."""
    folder = tmp_path / "packed"
    folder.mkdir()
    for graph in ("garment", "frame"):
        model = onnx.load(fake_weights / f"{graph}.onnx")
        (folder / f"{graph}.lowbit").write_bytes(pack_model(model, bits=32))
    rewrite_manifest(folder, json.loads((fake_weights / "manifest.json").read_text()))
    return folder


def rewrite_manifest(folder, manifest=None):
    """Name the bytes that lie there."""
    manifest = manifest or json.loads((folder / "manifest.json").read_text())
    files = {}
    for path in sorted(folder.glob("*.lowbit")):
        data = path.read_bytes()
        files[path.name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / "manifest.json").write_text(json.dumps(manifest | {"files": files}))


def test_engine_reads_a_packed_folder_directly(packed_folder, fake_tryon):
    engine = TryOn.load(packed_folder, threads=1)
    assert engine.network.size == fake_tryon.network.size
    frame = person_picture(480, 640, (260, 150, 120, 190))
    found, wanted = (t(frame, t.garment(garment_picture())) for t in (engine, fake_tryon))
    assert (wanted.image != frame).any(-1).mean() > 0.05
    np.testing.assert_array_equal(found.image, wanted.image)
    assert folder_names(packed_folder) == ["frame.lowbit", "garment.lowbit", "manifest.json"]


def folder_names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["garment.lowbit", "frame.lowbit"])
@pytest.mark.parametrize("where", [0.0, 0.5, 0.999])
def test_tampered_file(packed_folder, name, where):
    data = bytearray((packed_folder / name).read_bytes())
    data[int(where * len(data))] ^= 1
    (packed_folder / name).write_bytes(data)
    with pytest.raises(CheckpointError, match="SHA-256"):
        NetworkPair(packed_folder)


def test_asking_a_packed_folder_for_its_onnx_file(packed_folder):
    with pytest.raises(CheckpointError, match="no frame.onnx in its manifest.*frame.lowbit"):
        read_verified(packed_folder, read_manifest(packed_folder), "frame.onnx")


def test_missing_and_cut_file(packed_folder, tmp_path):
    copy = shutil.copytree(packed_folder, tmp_path / "cut")
    (copy / "frame.lowbit").write_bytes((copy / "frame.lowbit").read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="bytes, expected"):
        NetworkPair(copy)
    (packed_folder / "frame.lowbit").unlink()
    with pytest.raises(CheckpointError, match="frame.lowbit"):
        NetworkPair(packed_folder)


def header_of(entries, payload=b"", graph=b""):
    """A file with any header."""
    header = zlib.compress(json.dumps(entries).encode())
    graph = zlib.compress(graph)
    prefix = struct.pack("<8s3I", lowbit.MAGIC, lowbit.VERSION, len(header), len(graph))
    return prefix + header + graph + payload


GOOD = {"name": "w", "shape": [2, 3], "bits": 4}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        b"\x08\x08\x12\x07pytorch" * 9,
        struct.pack("<8s3I", lowbit.MAGIC, lowbit.VERSION + 1, 4, 4) + b"12345678",
        struct.pack("<8s3I", lowbit.MAGIC, lowbit.VERSION, 2**32 - 1, 2**32 - 1),
        header_of([GOOD]),
        header_of([GOOD], bytes(8)),
        header_of({"a": 1}),
        header_of([[]]),
        header_of([GOOD | {"bits": 9}], bytes(7)),
        header_of([GOOD | {"bits": 0}], bytes(7)),
        header_of([GOOD | {"bits": "4"}], bytes(7)),
        header_of([GOOD | {"axis": 2}], bytes(7)),
        header_of([GOOD | {"group": -1}], bytes(7)),
        header_of([GOOD | {"shape": [-2, -3]}], bytes(7)),
        header_of([GOOD | {"shape": [2.0, 3]}], bytes(7)),
        header_of([GOOD | {"extra": 1}], bytes(7)),
        header_of([GOOD | {"shape": [1 << 20, 1 << 20]}]),
        header_of([GOOD | {"shape": [1 << 13, 1 << 14]}]),
    ],
)
def test_malformed_files_are_refused_in_words(data):
    with pytest.raises(CheckpointError, match="toy.lowbit: not a packed network.*export"):
        unpack_network(data, "toy.lowbit")


def test_bombs_are_not_inflated():
    nested = zlib.compress(b"[" * 500_000)
    big = zlib.compress(bytes(lowbit.MAX_HEADER + 1))
    for header in (nested, big):
        prefix = struct.pack("<8s3I", lowbit.MAGIC, lowbit.VERSION, len(header), 0)
        with pytest.raises(CheckpointError, match="toy"):
            unpack_network(prefix + header, "toy")
    huge = header_of([], graph=bytes(lowbit.MAX_GRAPH + 1))
    with pytest.raises(CheckpointError, match="more than"):
        unpack_network(huge, "toy")
    assert unpack_network(header_of([], graph=b"abc"), "toy").startswith(b"abc")
