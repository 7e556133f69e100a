"""The packed pointwise kernel: layout, numbers, and what the compiler makes of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton", reason="the kernels need triton, which comes with torch on Linux")

from dmvton.errors import UsageError  # noqa: E402
from dmvton.lowbit import dequantise, pieces  # noqa: E402
from export.lowbit import aot  # noqa: E402
from export.lowbit.kernels import WHOLE, Tiles, pack_rows  # noqa: E402
from export.lowbit.pointwise import CONFIGS, _tuned, fits, pointwise, prune, to_device  # noqa: E402
from tests.export.interpreted_kernels import SHAPES  # noqa: E402

ROOT = Path(__file__).parents[2]
WIDTHS = range(1, 9)
# float16: the weight is rounded once more, the result once; both grow with the number of columns.
TOLERANCE = 5e-3


def random_rows(bits, rows=5, columns=70, group=32, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 1 << bits, (rows, columns)).astype(np.uint8)
    groups = -(-columns // (group or columns))
    scales = rng.uniform(0.01, 0.1, (rows, groups)).astype(np.float16)
    return codes, scales, rng.normal(0, 0.1, (rows, groups)).astype(np.float16)


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("columns", [1, 31, 32, 33, 70])
def test_layout_against_reading_bit_by_bit(bits, columns):
    codes, scales, offsets = random_rows(bits, columns=columns, group=0)
    packed = pack_rows(codes, scales, offsets, bits, 0)
    chunks = -(-columns // 32)
    assert packed.words.shape == (5, chunks * bits) and packed.group == WHOLE
    for row, words in zip(codes, packed.words.view(np.uint32), strict=True):
        for i, code in enumerate(row):
            found = start = done = 0
            for size in pieces(bits):
                for bit in range(size):
                    at = i * size + bit
                    word = int(words[start + at // 32])
                    found |= (word >> (at % 32) & 1) << (done + bit)
                start, done = start + size * chunks, done + size
            assert found == code


def test_symmetric_weights_get_their_middle_as_offset():
    codes, scales, _ = random_rows(3)
    packed = pack_rows(codes, scales, None, 3, 32)
    want = dequantise(codes, scales, None, 3, 32)
    found = dequantise(codes, packed.scales, packed.offsets, 3, 32)
    np.testing.assert_allclose(found, want, atol=5e-4)


@pytest.mark.parametrize("bits", [0, 9])
def test_impossible_width(bits):
    codes, scales, offsets = random_rows(4)
    with pytest.raises(UsageError, match=f"{bits} bits, expected 1 to 8"):
        pack_rows(codes, scales, offsets, bits, 32)


def test_group_that_steps_would_cross():
    codes, scales, offsets = random_rows(4, columns=60, group=20)
    with pytest.raises(UsageError, match="groups of 20 weights, expected a multiple of 32"):
        pack_rows(codes, scales, offsets, 4, 20)


@pytest.fixture(scope="module")
def interpreted():
    """Case -> largest difference from numpy, computed under the interpreter."""
    env = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.export.interpreted_kernels"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["fp16", "int8"])
@pytest.mark.parametrize("bits", WIDTHS)
def test_numbers_against_numpy(interpreted, bits, kind):
    exact = {name: interpreted[f"{bits} bits, {kind}, {name}"] for name in SHAPES}
    assert exact == dict.fromkeys(SHAPES, 0.0)
    assert interpreted[f"{bits} bits, {kind}, dense"] < TOLERANCE


@pytest.mark.parametrize("x", [torch.zeros(1, 8, 2, 2), torch.zeros(1, 70, 2, 2)])
def test_wrong_activations(x):
    codes, scales, offsets = random_rows(4)
    packed = to_device(pack_rows(codes, scales, offsets, 4, 32), torch.zeros(5), "cpu")
    with pytest.raises(UsageError, match=r"expected \(N, 70, H, W\) of float16 or int8"):
        pointwise(x, packed, True)


def test_tiles_that_would_cross_a_group():
    codes, scales, offsets = random_rows(4)
    packed = to_device(pack_rows(codes, scales, offsets, 4, 32), torch.zeros(5), "cpu")
    x = torch.zeros(1, 70, 2, 2, dtype=torch.float16)
    with pytest.raises(UsageError, match="steps of 64 columns across groups of 32"):
        pointwise(x, packed, True, tiles=Tiles(columns=64))


@pytest.mark.parametrize("group", [32, 64, 96, WHOLE])
def test_tuner_tries_only_tiles_that_fit_the_group(group):
    kept = prune(_tuned().configs, {}, GROUP=group)
    assert len(kept) == sum(fits(tiles, group) for tiles in CONFIGS) > 0
    assert all(group % config.kwargs["COLUMNS"] == 0 for config in kept)


def check_compiled(found, instruction):
    assert found.cubin[:4] == b"\x7fELF"
    assert f".target sm_{found.capability}" in found.ptx
    assert 0 < found.registers <= 255
    assert found.spilled == 0
    if instruction is None:
        assert found.mma == ()
    else:
        assert any(name.startswith(instruction) for name in found.mma), found.mma


@pytest.mark.parametrize("capability", aot.CAPABILITIES)
def test_compiles_ahead_of_time_to_tensor_core_instructions(capability):
    wanted = {75: None, 90: "wgmma.mma_async"}.get(capability, "mma.sync")
    check_compiled(aot.compile_pointwise(capability, 4), wanted)


@pytest.mark.parametrize("capability", [80, 90, 120])
def test_int8_compiles_to_integer_products(capability):
    found = aot.compile_pointwise(capability, 3, int8=True)
    check_compiled(found, "wgmma.mma_async" if capability == 90 else "mma.sync")
    assert all(".s8.s8" in name for name in found.mma)


@pytest.mark.parametrize("bits", [1, 7, 8])
def test_other_widths_compile(bits):
    check_compiled(aot.compile_pointwise(86, bits), "mma.sync")


def test_architectures_that_are_refused():
    with pytest.raises(UsageError, match="compute capability 70, expected one of"):
        aot.compile_pointwise(70, 4)
    with pytest.raises(UsageError, match="int8 activations on compute capability 75"):
        aot.compile_pointwise(75, 4, int8=True)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", [torch.float16, torch.int8])
@pytest.mark.parametrize("bits", WIDTHS)
def test_tuned_kernel_on_a_gpu(bits, kind):
    if not torch.cuda.is_available():
        pytest.skip("no NVIDIA GPU that torch can use")
    if kind is torch.int8 and torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("no int8 product below SM80")
    codes, scales, offsets = random_rows(bits, rows=112, columns=480, group=32)
    weights = torch.from_numpy(dequantise(codes, scales, offsets, bits, 32))
    bias = torch.linspace(-1, 1, 112)
    x = torch.randint(-3, 4, (2, 480, 16, 12), generator=torch.Generator().manual_seed(0))
    want = torch.einsum("rc,nchw->nrhw", weights.double(), x.double()) + bias[:, None, None]
    packed = to_device(pack_rows(codes, scales, offsets, bits, 32), bias, "cuda")
    found = pointwise(x.to("cuda", kind), packed, False).cpu().double()
    # Sums of hundreds of terms: float16 keeps 11 bits of the result and of each weight.
    assert (found - want).abs().max() < 2e-3 * want.abs().max()
