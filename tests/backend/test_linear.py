"""linear, linear_gated and linear_add against float64, and their promises about bits.

Tolerances. A sum of K products, rounded at most twice a product, is off by at most
2 K u sum |x_k w_k| with u = 2^-24 (Higham, Accuracy and Stability of Numerical Algorithms, 3.1);
`x` and `w` in the reference are the rounded operands, so the product itself adds nothing for
half-precision weights. The bias and the activation add a few u of their result.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from internvl_native import _core

from .numerics import ROUNDING, Array, activate, assert_close, random, rounded

DTYPES = ["float32", "bfloat16", "float16"]
ACTIVATIONS = ["none", "gelu", "gelu_tanh", "quick_gelu", "relu", "silu"]
U = ROUNDING["float32"]
# The activations' own error: erf is within 3e-7, exp within 2 units of the last place.
ACTIVATION_ERROR = 4e-7
# No activation is steeper than 1.13 (GELU at sqrt 2).
STEEPEST = 1.13


def product(backend: Any, x: Array, w: Array, b: Array | None, dtype: str) -> tuple[Array, Array]:
    """x W^T + b in float64 on the rounded operands, and the bound of a float32 sum's error."""
    x64 = rounded(x, backend.activation_dtype(dtype)).astype(np.float64)
    w64 = rounded(w, dtype).astype(np.float64)
    bias = 0.0 if b is None else b.astype(np.float64)
    y = x64 @ w64.T + bias
    terms = np.abs(x64) @ np.abs(w64).T + np.abs(bias)
    return y, (2 * x.shape[1] + 2) * U * terms


@pytest.mark.parametrize("k", [1, 2, 3, 63, 588, 2049])
@pytest.mark.parametrize("n", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_of_any_shape(backend: Any, dtype: str, n: int, k: int) -> None:
    x, w, b = random(241, k), random(n, k, seed=1), random(n, seed=2)
    weight = backend.prepare_linear([w], [b], dtype=dtype)
    assert (weight.in_features, weight.out_features, weight.dtype) == (k, n, dtype)
    actual = backend.linear(x, weight)
    assert_close(actual, *product(backend, x, w, b, dtype))
    for rows in [1, 2, 3, 4, 5, 6, 7, 8, 13]:
        np.testing.assert_array_equal(backend.linear(x[-rows:], weight), actual[-rows:])


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_do_not_depend_on_batch_or_threads(
    backend: Any, dtype: str, restore_threads: None
) -> None:
    x, w, up = random(1000, 1100), random(150, 1100, seed=1), random(150, 1100, seed=2)
    residual, scale = random(1000, 150, seed=3), random(150, seed=4)
    plain = backend.prepare_linear([w], dtype=dtype)
    gated = backend.prepare_gated([w], [up], dtype=dtype)

    def compute(rows: slice) -> list[Array]:
        return [
            backend.linear(x[rows], plain),
            backend.linear_gated(x[rows], gated),
            backend.linear_add(residual[rows], x[rows], plain, scale),
        ]

    _core.set_num_threads(2)
    whole = compute(slice(0, 1000))
    for threads in [1, 3]:
        _core.set_num_threads(threads)
        for rows in [slice(0, 1000), slice(0, 1), slice(239, 242), slice(999, 1000), slice(7, 500)]:
            for part, full in zip(compute(rows), whole):
                np.testing.assert_array_equal(part, full[rows])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(backend: Any, activation: str) -> None:
    x = np.concatenate([np.linspace(-12, 12, 4801), [1e-30, -1e-30, 100, -100, 1e4, -1e4]])
    x = x.astype(np.float32)[:, None]
    weight = backend.prepare_linear([np.ones((1, 1), np.float32)])
    actual = backend.linear(x, weight, activation)
    assert_close(actual, activate(x, activation), ACTIVATION_ERROR * np.minimum(np.abs(x), 12))
    nan = np.full((1, 1), np.nan, np.float32)
    assert np.isnan(backend.linear(nan, weight, activation)).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_with_activation(backend: Any, dtype: str, activation: str) -> None:
    x, w, b = random(13, 100), random(70, 100, seed=1), random(70, seed=2)
    weight = backend.prepare_linear([w], [b], dtype=dtype)
    y, bound = product(backend, x, w, b, dtype)
    bound = STEEPEST * bound + ACTIVATION_ERROR * np.abs(y)
    for out_dtype in {"float32", backend.activation_dtype(dtype)}:
        actual = backend.linear(x, weight, activation, out_dtype)
        assert_close(actual, activate(y, activation), bound, out_dtype)


@pytest.mark.parametrize("bias", ["none", "gate", "up", "both"])
@pytest.mark.parametrize("activation", ["silu", "gelu"])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (31, 63), (32, 64), (33, 129), (200, 588)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_gated(backend: Any, dtype: str, n: int, k: int, activation: str, bias: str) -> None:
    x, gate, up = random(13, k), random(n, k, seed=1), random(n, k, seed=2)
    gate_bias = random(n, seed=3) if bias in ("gate", "both") else None
    up_bias = random(n, seed=4) if bias in ("up", "both") else None
    weight = backend.prepare_gated(
        [gate],
        [up],
        [] if gate_bias is None else [gate_bias],
        [] if up_bias is None else [up_bias],
        dtype=dtype,
    )
    g, g_bound = product(backend, x, gate, gate_bias, dtype)
    u, u_bound = product(backend, x, up, up_bias, dtype)
    a = activate(g, activation)
    a_bound = STEEPEST * g_bound + ACTIVATION_ERROR * np.abs(g)
    bound = a_bound * (np.abs(u) + u_bound) + np.abs(a) * u_bound + 2 * U * np.abs(a * u)
    for out_dtype in {"float32", backend.activation_dtype(dtype)}:
        actual = backend.linear_gated(x, weight, activation, out_dtype)
        assert_close(actual, a * u, bound, out_dtype)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (63, 64), (65, 63), (200, 1200)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_add(backend: Any, dtype: str, n: int, k: int, scaled: bool) -> None:
    x, w, b, residual = random(9, k), random(n, k, seed=1), random(n, seed=2), random(9, n, seed=3)
    scale = random(n, seed=4) if scaled else None
    weight = backend.prepare_linear([w], [b], dtype=dtype)
    y, bound = product(backend, x, w, b, dtype)
    factor = np.ones(n) if scale is None else scale.astype(np.float64)
    bound = np.abs(factor) * bound + 2 * U * np.abs(factor * y)
    actual = backend.linear_add(residual, x, weight, scale)
    assert_close(actual, residual + factor * y, bound)


@pytest.mark.parametrize("kind", ["rms", "layer"])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_add_then_norm(backend: Any, dtype: str, scaled: bool, kind: str) -> None:
    x, w, b, residual = random(9, 40), random(65, 40), random(65, seed=2), random(9, 65, seed=3)
    scale = random(65, seed=4) if scaled else None
    bias = random(65, seed=6) if kind == "layer" else np.zeros(0, np.float32)
    parameters = (kind, 1e-6, random(65, seed=5), bias)
    weight = backend.prepare_linear([w], [b], dtype=dtype)
    added = backend.linear_add(residual, x, weight, scale)
    norm = backend.prepare_norm(*parameters)
    for out_dtype in {"float32", backend.activation_dtype(dtype)}:
        actual = backend.linear_add_norm(residual, x, weight, scale, norm, out_dtype)
        np.testing.assert_array_equal(actual[0], added)
        normed = backend.norm(added, *parameters, out_dtype=out_dtype)
        np.testing.assert_array_equal(actual[1], normed)


@pytest.mark.parametrize("source", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_row_ranges_and_conversion(backend: Any, dtype: str, source: str) -> None:
    """The identity reads the weight back: every element is the source rounded once more."""
    w = rounded(random(131, 77), source)
    w[3, :4] = rounded(np.array([0.0, -0.0, 6e-8, 1e-4], np.float32), source)
    ranges = [w[:1], w[1:66], w[66:67], w[67:]]
    weight = backend.prepare_linear(ranges, dtype=dtype, source_dtype=source)
    identity = np.eye(77, dtype=np.float32)
    np.testing.assert_array_equal(backend.linear(identity, weight), rounded(w, dtype).T)


def test_bias_in_ranges(backend: Any) -> None:
    w, b = random(70, 3), random(70, seed=1)
    one = backend.prepare_linear([w], [b])
    many = backend.prepare_linear([w], [b[:1], b[1:65], b[65:]])
    x = random(4, 3, seed=2)
    np.testing.assert_array_equal(backend.linear(x, one), backend.linear(x, many))


def test_no_rows(backend: Any) -> None:
    weight = backend.prepare_linear([random(5, 4)])
    assert backend.linear(np.zeros((0, 4), np.float32), weight).shape == (0, 5)


def test_one_bad_row_stays_alone(backend: Any) -> None:
    x, w = random(9, 65), random(66, 65, seed=1)
    weight = backend.prepare_linear([w], dtype="bfloat16")
    clean = backend.linear(x, weight)
    x[4, 64] = np.inf
    dirty = backend.linear(x, weight)
    assert not np.isfinite(dirty[4]).any()
    np.testing.assert_array_equal(np.delete(dirty, 4, 0), np.delete(clean, 4, 0))


def test_activation_dtype(backend: Any) -> None:
    pairs = backend.name == "cpu/avx512bf16"
    assert backend.activation_dtype("bfloat16") == ("bfloat16" if pairs else "float32")
    assert backend.activation_dtype("float32") == "float32"
    assert backend.activation_dtype("float16") == "float32"


def test_errors_say_what_was_expected(backend: Any) -> None:
    weight = backend.prepare_linear([random(5, 4)])
    x = random(2, 4)
    with pytest.raises(ValueError, match=r"x: expected 4 columns, got 3"):
        backend.linear(x[:, :3], weight)
    with pytest.raises(ValueError, match=r"out: expected shape \(2, 5\), got \(2, 4\)"):
        backend.linear_add(random(2, 4), x, weight)
    with pytest.raises(
        ValueError, match=r"out: expected float32 or the activation dtype float32, got float16"
    ):
        backend.linear(x, weight, "none", "float16")
    with pytest.raises(ValueError, match=r"row ranges of 4 columns, got one of 3"):
        backend.prepare_linear([random(5, 4), random(5, 3)])
    with pytest.raises(ValueError, match=r"bias: expected 5 elements, got 6"):
        backend.prepare_linear([random(5, 4)], [random(6)])
    with pytest.raises(ValueError, match=r"expected the same shape, got \(5, 4\) and \(6, 4\)"):
        backend.prepare_gated([random(5, 4)], [random(6, 4)])
    with pytest.raises(ValueError, match=r"weight: expected at least one row range"):
        backend.prepare_linear([])
    with pytest.raises(ValueError, match=r"weight: expected a matrix, got shape \(0, 4\)"):
        backend.prepare_linear([np.zeros((0, 4), np.float32)])
    wide = backend.prepare_linear([random(500, 4)])
    with pytest.raises(_core.InternalError, match="prepared for another operation"):
        backend.linear_gated(x, wide)


def run_with_isa(isa: str) -> subprocess.CompletedProcess[str]:
    code = "from internvl_native import _core; print(_core.cpu_backend().name)"
    environment = {**os.environ, "INTERNVL_NATIVE_ISA": isa}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )


def test_isa_is_forced_by_the_environment() -> None:
    for isa in _core.cpu_isas():
        assert run_with_isa(isa).stdout.strip() == f"cpu/{isa}"
    assert run_with_isa("").stdout.strip() == f"cpu/{_core.cpu_isas()[-1]}"
    failed = run_with_isa("sse9")
    assert "INTERNVL_NATIVE_ISA: expected one of generic" in failed.stderr
    assert "got 'sse9'" in failed.stderr


def test_unknown_isa() -> None:
    with pytest.raises(ValueError, match=r"isa: expected one of generic.*, got 'mmx'"):
        _core.cpu_backend("mmx")


def test_missing_isa() -> None:
    missing = {"avx2", "avx512", "avx512bf16"}.difference(_core.cpu_isas())
    if not missing:
        pytest.skip("this CPU has every instruction set")
    for isa in missing:
        with pytest.raises(ValueError, match=f"'{isa}'"):
            _core.cpu_backend(isa)
