"""Coding of single layers: what is stored is what was measured, and it beats plain rounding."""

import numpy as np
import pytest

from dmvton.errors import UsageError
from dmvton.lowbit import WIDTHS, dequantise

pytest.importorskip("onnxslim", reason="the export extra is not installed")

from export.lowbit.moments import Moments  # noqa: E402
from export.lowbit.quantise import (  # noqa: E402
    Scheme,
    bias_change,
    output_error,
    quantise,
)


def correlated(parts, columns, count=2000, seed=0):
    """Inputs (parts, count, columns) like those of a real layer: non-negative and correlated."""
    rng = np.random.default_rng(seed)
    few = rng.normal(0, 1, (parts, count, max(2, columns // 4)))
    mix = rng.normal(0, 1, (parts, few.shape[2], columns))
    return np.clip(few @ mix + 0.3 * rng.normal(0, 1, (parts, count, columns)), 0, 6)


def moments_of(x):
    return Moments(x.transpose(0, 2, 1) @ x / x.shape[1], x.mean(1))


def weights_of(parts, rows, columns, seed=1):
    return np.random.default_rng(seed).normal(0, 0.1, (parts, rows, columns)).astype(np.float32)


def nearest(weights, bits):
    """Plain rounding to levels that just cover each row, by a loop."""
    out = np.zeros_like(weights)
    for index in np.ndindex(weights.shape[:2]):
        low, high = weights[index].min(), weights[index].max()
        step = (high - low) / (2**bits - 1)
        out[index] = low + step * np.rint((weights[index] - low) / step)
    return out


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("group", [0, 5, 32])
@pytest.mark.parametrize("symmetric", [True, False])
def test_what_is_measured_is_what_the_runtime_unpacks(bits, group, symmetric):
    weights, moments = weights_of(2, 6, 37), moments_of(correlated(2, 37))
    coded = quantise(weights, moments, Scheme(bits, group, symmetric), has_bias=False)
    assert coded.codes.dtype == np.uint8 and coded.codes.max() < 1 << bits
    assert coded.scales.shape == (2, 6, -(-37 // (group or 37)))
    for part in range(2):
        offsets = None if symmetric else coded.offsets[part]
        found = dequantise(coded.codes[part], coded.scales[part], offsets, bits, group)
        np.testing.assert_allclose(found, coded.weights[part], rtol=0, atol=1e-6)
    x = correlated(2, 37)
    outputs = np.einsum("pnk,prk->pnr", x, weights - coded.weights)
    assert coded.error == pytest.approx(np.square(outputs).mean(), rel=1e-3)
    exact = np.einsum("pnk,prk->pnr", x, weights.astype(float))
    assert coded.signal == pytest.approx(np.square(exact).mean(), rel=1e-3)


@pytest.mark.parametrize("has_bias", [True, False])
def test_every_bit_lowers_the_error_of_the_output(has_bias):
    weights, moments = weights_of(1, 24, 48), moments_of(correlated(1, 48))
    errors = [quantise(weights, moments, Scheme(b, 0, True), has_bias).error for b in WIDTHS]
    assert all(b < 0.6 * a for a, b in zip(errors, errors[1:], strict=False))


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(1, 24, 48), (16, 1, 9)])
def test_output_suffers_less_than_from_plain_rounding(bits, shape):
    weights, moments = weights_of(*shape), moments_of(correlated(shape[0], shape[2]))
    plain = output_error(weights - nearest(weights, bits).astype(float), moments.gram)
    coded = quantise(weights, moments, Scheme(bits, 0, False), has_bias=False)
    assert coded.error < 0.5 * plain


def test_finer_groups_help_where_sizes_differ():
    weights = weights_of(1, 8, 64)
    weights[..., :32] *= 20
    moments = moments_of(np.random.default_rng(0).normal(0, 1, (1, 4000, 64)))
    row, fine = (quantise(weights, moments, Scheme(3, g, True), False).error for g in (0, 32))
    assert fine < 0.8 * row


def test_parts_are_independent():
    weights, x = weights_of(5, 1, 9), correlated(5, 9)
    scheme = Scheme(3, 0, False)
    whole = quantise(weights, moments_of(x), scheme, False)
    for part in range(5):
        one = quantise(weights[part : part + 1], moments_of(x[part : part + 1]), scheme, False)
        np.testing.assert_array_equal(one.codes[0], whole.codes[part])


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_bias_takes_up_the_mean(bits):
    weights, x = weights_of(3, 4, 20), correlated(3, 20)
    moments = moments_of(x)
    coded = quantise(weights, moments, Scheme(bits, 0, True), has_bias=True)
    shift = bias_change(weights, coded, moments).reshape(3, 1, 4)
    exact = np.einsum("pnk,prk->pnr", x, weights.astype(float))
    found = np.einsum("pnk,prk->pnr", x, coded.weights.astype(float)) + shift
    np.testing.assert_allclose(found.mean(1), exact.mean(1), atol=1e-6)
    assert coded.error == pytest.approx(np.square(found - exact).mean(), rel=1e-3, abs=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.25, -3.0])
@pytest.mark.parametrize("symmetric", [True, False])
def test_constant_weights_stay(value, symmetric):
    weights = np.full((1, 4, 12), value, np.float32)
    moments = moments_of(correlated(1, 12))
    for bits in (1, 4):
        coded = quantise(weights, moments, Scheme(bits, 0, symmetric), False)
        np.testing.assert_allclose(coded.weights, weights, rtol=2e-3, atol=1e-6)


def test_dead_inputs_do_no_harm():
    x = correlated(1, 16)
    x[..., 3:9] = 0
    coded = quantise(weights_of(1, 4, 16), moments_of(x), Scheme(4, 0, True), True)
    assert np.isfinite(coded.weights).all() and coded.error < 0.05 * coded.signal


@pytest.mark.parametrize("bits", [0, 9])
def test_other_widths_are_refused(bits):
    with pytest.raises(UsageError, match="expected 1 to 8"):
        quantise(weights_of(1, 2, 4), moments_of(correlated(1, 4)), Scheme(bits, 0, True), False)
