"""Products of a few rows against float64. u = 2^-24."""

from __future__ import annotations

import numpy as np
import pytest
from tests.backend.numerics import ROUNDING, Array, activate, assert_close, random, rounded

from .device import DeviceError, call, empty, library, matrix, vector
from .test_activation import ACTIVATIONS

DTYPES = ["float32", "bfloat16", "float16"]
SHAPES = [(1, 1), (3, 7), (17, 64), (4, 1500), (2, 2056)]  # features, depth
U = ROUNDING["float32"]


def product(x: Array, w: Array, bias: Array) -> tuple[Array, Array]:
    x, w = x.astype(np.float64), w.astype(np.float64)
    return x @ w.T + bias, (x.shape[1] + 8) * U * (np.abs(x) @ np.abs(w).T + np.abs(bias))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("features", "depth"), SHAPES)
@pytest.mark.parametrize("rows", [1, 2, 3, 8, 13, 64])
def test_gemv(rows: int, features: int, depth: int, dtype: str) -> None:
    x, w = rounded(random(rows, depth), dtype), rounded(random(features, depth, seed=1), dtype)
    bias = random(features, seed=2)
    expected, bound = product(x, w, bias)
    for activation, out_dtype in [("none", "float32"), ("gelu", dtype)]:
        out = empty(rows, features, out_dtype, padding=1)
        call("gemv", out, matrix(x, dtype), matrix(w, dtype, name="weight"), vector(bias, "bias"),
             ACTIVATIONS.index(activation))  # fmt: skip
        slack = 1.2 * bound + 16 * U * np.maximum(1.0, np.abs(expected))
        assert_close(out.array(), activate(expected, activation), slack, out_dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("features", "depth"), SHAPES)
@pytest.mark.parametrize("with_vectors", [False, True])
@pytest.mark.parametrize("rows", [2, 17])
def test_gemv_add(rows: int, with_vectors: bool, features: int, depth: int, dtype: str) -> None:
    x, w = rounded(random(rows, depth), dtype), rounded(random(features, depth, seed=1), dtype)
    hidden = random(rows, features, seed=2)
    bias, scale = random(features, seed=3), random(features, seed=4)
    vectors = [vector(bias, "bias"), vector(scale, "scale")] if with_vectors else [None, None]
    residual = matrix(hidden, name="residual")
    call("gemv_add", residual, matrix(x, dtype), matrix(w, dtype, name="weight"), *vectors)
    expected, bound = product(x, w, bias if with_vectors else np.zeros(features))
    factor = scale if with_vectors else np.ones(features)
    assert_close(residual.array(), hidden + factor * expected, np.abs(factor) * bound)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("features", "depth"), SHAPES)
@pytest.mark.parametrize("rows", [3, 35])
def test_gemv_gated(rows: int, features: int, depth: int, dtype: str) -> None:
    x, w = rounded(random(rows, depth), dtype), rounded(random(2 * features, depth, seed=1), dtype)
    bias = random(2 * features, seed=2)
    out = empty(rows, features, dtype)
    call("gemv_gated", out, matrix(x, dtype), matrix(w, dtype, name="weight"),
         vector(bias, "bias"), ACTIVATIONS.index("silu"))  # fmt: skip
    both, bound = product(x, w, bias)
    gate, up = activate(both[:, :features], "silu"), both[:, features:]
    slack = 1.2 * bound[:, :features] + 16 * U * np.maximum(1.0, np.abs(both[:, :features]))
    assert_close(out.array(), gate * up, slack * np.abs(up) + np.abs(gate) * bound[:, features:]
                 + slack * bound[:, features:], dtype)  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("depth", [63, 1032])
def test_rows_depend_on_nothing_beside_them(depth: int, dtype: str) -> None:
    """Neither on their number nor on the alignment: the same bits."""
    x, w = random(64, depth), random(21, depth, seed=1)
    whole = empty(64, 21)
    call("gemv", whole, matrix(x, dtype), matrix(w, dtype), None, 0)
    for seed, (rows, padding) in enumerate([(1, 0), (2, 1), (3, 8), (8, 0), (12, 0), (29, 3)]):
        library().device_seed(seed)
        some = empty(rows, 21)
        call("gemv", some, matrix(x[:rows], dtype, padding), matrix(w, dtype), None, 0)
        np.testing.assert_array_equal(some.array(), whole.array()[:rows])
    library().device_seed(0)


def test_gemv_refuses_more_rows() -> None:
    with pytest.raises(DeviceError, match="gemv: x: expected at most 64 rows, got 65"):
        call("gemv", empty(65, 2), matrix(random(65, 4)), matrix(random(2, 4)), None, 0)
