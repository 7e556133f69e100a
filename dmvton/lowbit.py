"""Networks with weights of 1 to 8 bits: the packed file, and back to ONNX bytes at load.

Numpy alone, so that the base install reads such a file: no ``onnx`` package is needed, for
serialised protobuf messages merge when they are joined end to end. A packed file keeps the graph
without its weights; the weights are unpacked, written as ONNX initialisers, and appended.

File (little-endian)::

    8 bytes magic | 3 uint32: version, bytes of the header, bytes of the graph
    | header: zlib of JSON, a list of ``Stored`` | graph: zlib of ModelProto | payload

Payload, tensor by tensor in the header's order: codes, scales (float16), offsets (float16, only if
asymmetric). A code ``q`` stands for ``scale * q + offset``; symmetric tensors have the offset
``-scale * (2**bits - 1) / 2``, which spends no level on 0 and makes one bit mean plus or minus.
"""

import json
import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from dmvton.errors import CheckpointError, UsageError

MAGIC = b"DMVTONLB"
VERSION = 1
ENDING = ".lowbit"
WIDTHS = range(1, 9)
# Widths kept as floats, with no scales.
RAW: dict[int, np.dtype] = {16: np.dtype("<f2"), 32: np.dtype("<f4")}
_PREFIX = struct.Struct("<8s3I")
# Far above any network that runs in real time, far below what would hurt: a damaged or hostile
# file is refused before it takes memory.
MAX_HEADER, MAX_GRAPH, MAX_WEIGHTS = 1 << 20, 1 << 24, 1 << 26


class Stored(NamedTuple):
    """How one tensor lies in the file."""

    name: str
    shape: tuple[int, ...]
    bits: int  # 1 to 8: codes; 16 or 32: floats
    axis: int = 0  # the tensor is a matrix of this axis by all others, in their order
    group: int = 0  # weights of a row that share a scale; 0 is the whole row
    symmetric: bool = True

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def rows(self) -> int:
        """Rows of the matrix."""
        return self.shape[self.axis] if self.shape else 1

    @property
    def groups(self) -> int:
        """Scales of one row."""
        columns = self.size // self.rows
        return -(-columns // (self.group or columns))

    @property
    def nbytes(self) -> int:
        """Bytes in the payload."""
        if self.bits in RAW:
            return self.size * self.bits // 8
        scales = 2 * self.rows * self.groups * (1 if self.symmetric else 2)
        return packed_bytes(self.size, self.bits) + scales


def pieces(bits: int) -> tuple[int, ...]:
    """The powers of two that make up a width, largest first: 7 is (4, 2, 1).

    Codes are stored piece by piece, as a whole number of them fits into a byte whatever the width;
    the largest piece holds the lowest bits.

    Raises:
        UsageError: the width is not 1 to 8.
    """
    if bits not in WIDTHS:
        raise UsageError(f"weights of {bits} bits, expected 1 to 8; choose another width")
    return tuple(size for size in (8, 4, 2, 1) if bits & size)


def packed_bytes(count: int, bits: int) -> int:
    """Bytes of ``count`` codes in a row: less than one byte wasted a piece."""
    return sum(-(-count * size // 8) for size in pieces(bits))


def pack(codes: np.ndarray, bits: int) -> np.ndarray:
    """Pack along the last axis: (..., n) uint8 below 2**bits to (..., packed_bytes(n, bits)) uint8.

    Code ``i`` of a piece of ``p`` bits lies in byte ``i * p // 8``, from bit ``i * p % 8`` upwards.
    """
    parts, done = [], 0
    for size in pieces(bits):
        a_byte = 8 // size
        part = (codes >> done) & np.uint8((1 << size) - 1)
        tail = -codes.shape[-1] % a_byte
        part = np.pad(part, [(0, 0)] * (codes.ndim - 1) + [(0, tail)])
        part = part.reshape(*codes.shape[:-1], -1, a_byte) << (np.arange(a_byte, dtype="u1") * size)
        parts.append(np.bitwise_or.reduce(part, axis=-1))
        done += size
    return np.concatenate(parts, axis=-1)


def unpack(packed: np.ndarray, bits: int, count: int) -> np.ndarray:
    """Undo ``pack``: (..., packed_bytes(count, bits)) uint8 to (..., count) uint8."""
    codes = np.zeros((*packed.shape[:-1], count), np.uint8)
    start = done = 0
    for size in pieces(bits):
        stop = start + -(-count * size // 8)
        shifts = np.arange(8 // size, dtype=np.uint8) * np.uint8(size)
        part = (packed[..., start:stop, None] >> shifts) & np.uint8((1 << size) - 1)
        codes |= part.reshape(*packed.shape[:-1], -1)[..., :count] << np.uint8(done)
        start, done = stop, done + size
    return codes


def dequantise(
    codes: np.ndarray, scales: np.ndarray, offsets: np.ndarray | None, bits: int, group: int
) -> np.ndarray:
    """Codes (rows, columns) uint8 to weights (rows, columns) float32.

    Args:
        codes: below 2**bits.
        scales: (rows, groups).
        offsets: (rows, groups), or None for symmetric ones.
        bits: 1 to 8.
        group: columns that share a scale, 0 for all of them; the last group may be shorter.
    """
    columns = codes.shape[-1]
    scales = scales.astype(np.float32)
    low = scales * np.float32(-((1 << bits) - 1) / 2) if offsets is None else offsets
    place = np.arange(columns) // (group or columns)  # column -> its group
    return scales[..., place] * codes + low.astype(np.float32)[..., place]


def from_matrix(matrix: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray:
    """Rows back to a tensor: undoes ``moveaxis(tensor, axis, 0).reshape(rows, -1)``."""
    moved = (shape[axis], *shape[:axis], *shape[axis + 1 :])
    return np.moveaxis(matrix.reshape(moved), 0, axis)


def unpack_network(data: bytes, name: str) -> bytes:
    """A packed file to the bytes of an ONNX model.

    Args:
        data: the whole file.
        name: of the file, for errors.

    Raises:
        CheckpointError: not such a file, damaged, or of another version.
    """
    try:
        entries, graph, payload = split(data)
        initialisers = b"".join(
            _field(5, _tensor_proto(entry.name, tensor))
            for entry, tensor in read_tensors(entries, payload)
        )
    except (ValueError, KeyError, TypeError, RecursionError, struct.error, zlib.error) as error:
        raise CheckpointError(
            f"{name}: not a packed network that can be read ({error}); "
            "install the package or export the weights again"
        ) from error
    return graph + _field(7, initialisers)  # ModelProto.graph, merged with the one before it


def split(data: bytes) -> tuple[list[Stored], bytes, memoryview]:
    """Entries, graph and payload of a file, checked against one another; ValueError otherwise."""
    magic, version, header_bytes, graph_bytes = _PREFIX.unpack_from(data)
    if magic != MAGIC:
        raise ValueError(f"it begins with {magic!r}, expected {MAGIC!r}")
    if version != VERSION:
        raise ValueError(f"format {version}, this version reads format {VERSION}")
    view = memoryview(data)
    at = _PREFIX.size + header_bytes
    fields = json.loads(_inflate(view[_PREFIX.size : at], MAX_HEADER))
    entries = [_entry(item) for item in fields]
    payload = view[at + graph_bytes :]
    weights, expected = sum(e.size for e in entries), sum(e.nbytes for e in entries)
    if weights > MAX_WEIGHTS:
        raise ValueError(f"{weights} weights, expected at most {MAX_WEIGHTS}")
    if len(payload) != expected:
        raise ValueError(f"{len(payload)} bytes of weights, expected {expected}")
    return entries, _inflate(view[at : at + graph_bytes], MAX_GRAPH), payload


def _inflate(data: memoryview, most: int) -> bytes:
    """Decompress, but never to more than ``most`` bytes."""
    inflater = zlib.decompressobj()
    out = inflater.decompress(data, most)
    if not inflater.eof:
        raise ValueError(f"a part is cut off or holds more than {most} bytes")
    return out


def _entry(item: dict[str, Any]) -> Stored:
    """One entry of the header, with values that the rest can rely on."""
    entry = Stored(**{**item, "shape": tuple(item["shape"])})
    whole = (*entry.shape, entry.bits, entry.axis, entry.group)
    if not all(type(number) is int for number in whole) or type(entry.name) is not str:
        raise ValueError(f"a malformed entry {item}")
    sides = all(0 < side <= MAX_WEIGHTS for side in entry.shape) and len(entry.shape) <= 8
    axis = 0 <= entry.axis < max(1, len(entry.shape))
    if not sides or not axis or entry.group < 0 or entry.bits not in {*WIDTHS, *RAW}:
        raise ValueError(f"an entry out of range {item}")
    return entry


def read_tensors(entries: list[Stored], payload: memoryview) -> Iterator[tuple[Stored, np.ndarray]]:
    """The tensors of a payload, float32, in their own shapes."""
    at = 0
    for entry in entries:
        part = np.frombuffer(payload[at : at + entry.nbytes], np.uint8)
        at += entry.nbytes
        yield entry, _read_tensor(entry, part)


def _read_tensor(entry: Stored, part: np.ndarray) -> np.ndarray:
    if entry.bits in RAW:
        return part.view(RAW[entry.bits]).astype(np.float32).reshape(entry.shape)
    end = packed_bytes(entry.size, entry.bits)
    codes = unpack(part[:end], entry.bits, entry.size).reshape(entry.rows, -1)
    # A copy: scales may lie at an odd address.
    halves = part[end:].copy().view(RAW[16]).reshape(-1, entry.rows, entry.groups)
    offsets = None if entry.symmetric else halves[1]
    matrix = dequantise(codes, halves[0], offsets, entry.bits, entry.group)
    return from_matrix(matrix, entry.shape, entry.axis)


def _tensor_proto(name: str, tensor: np.ndarray) -> bytes:
    """An ONNX TensorProto: dims 1, data_type 2 (1 is float), name 8, raw_data 9."""
    dims = b"".join(b"\x08" + _varint(side) for side in tensor.shape)
    raw = np.ascontiguousarray(tensor, dtype="<f4").tobytes()
    return dims + b"\x10\x01" + _field(8, name.encode()) + _field(9, raw)


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """A protobuf variable-length integer, seven bits a byte, lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def pack_network(entries: list[tuple[Stored, bytes]], graph: bytes) -> bytes:
    """The bytes of a packed file.

    Args:
        entries: each with its payload, as ``read_tensors`` expects it.
        graph: ModelProto without the initialisers that the entries hold.
    """
    for entry, part in entries:
        assert len(part) == entry.nbytes, entry
    header = zlib.compress(json.dumps([e._asdict() for e, _ in entries]).encode(), 9)
    graph = zlib.compress(graph, 9)
    prefix = _PREFIX.pack(MAGIC, VERSION, len(header), len(graph))
    return prefix + header + graph + b"".join(part for _, part in entries)
