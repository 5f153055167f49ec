"""Norms against float64, with the bounds of tests/backend/test_rows.py."""

from __future__ import annotations

import numpy as np
import pytest
from tests.backend.numerics import Array, assert_close, random, reference_norm, rounded

from .device import DeviceError, NormWeights, call, empty, library, matrix, vector

COLS = [1, 7, 64, 129, 1023, 3200]
PAIRS = [  # dtypes of x and out
    ("float32", "float32"), ("float32", "bfloat16"), ("float32", "float16"),
    ("bfloat16", "bfloat16"), ("float16", "float16"), ("bfloat16", "float32"),
]  # fmt: skip


class Weights:
    def __init__(self, kind: str, cols: int, seed: int = 1, eps: float = 1e-6) -> None:
        layer = kind == "layer"
        self.kind, self.eps = kind, eps
        self.w = random(cols, seed=seed)
        self.b = random(cols, seed=seed + 1) if layer else np.zeros(cols, np.float32)
        self.weight, self.bias = vector(self.w, "weight"), vector(self.b, "bias")
        bias = self.bias.address if layer else None
        self.struct = NormWeights(self.weight.address, bias, eps, layer)

    def reference(self, x: Array) -> tuple[Array, Array]:
        return reference_norm(x, self.kind, self.eps, self.w, self.b)


@pytest.mark.parametrize("kind", ["rms", "layer"])
@pytest.mark.parametrize("cols", COLS)
@pytest.mark.parametrize(("dtype", "out_dtype"), PAIRS)
@pytest.mark.parametrize("padding", [0, 5])
def test_norm(kind: str, cols: int, dtype: str, out_dtype: str, padding: int) -> None:
    x = rounded(3 * random(5, cols) + 1, dtype)
    weights = Weights(kind, cols)
    out = empty(5, cols, out_dtype, padding)
    call("norm", out, matrix(x, dtype, padding), weights.struct)
    assert_close(out.array(), *weights.reference(x), out_dtype)


@pytest.mark.parametrize("kind", ["rms", "layer"])
def test_norm_in_place_of_far_rows_in_any_order(kind: str) -> None:
    x = rounded(random(3, 300) + 1000, "float32")
    weights = Weights(kind, 300)
    results = []
    for seed in range(4):
        library().device_seed(seed)
        same = matrix(x, padding=4)
        call("norm", same, same, weights.struct)
        results.append(same.array())
        assert_close(results[-1], *weights.reference(x))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("kind", ["rms", "layer"])
@pytest.mark.parametrize("cols", [1, 60, 515])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_qk_norm(kind: str, cols: int, dtype: str) -> None:
    x = rounded(random(4, 3 * cols), dtype)
    qkv = matrix(x, dtype)
    q_weights, k_weights = Weights(kind, cols, seed=1), Weights(kind, cols, seed=5)
    call(
        "qk_norm", qkv.columns(0, cols), qkv.columns(cols, cols), q_weights.struct,
        k_weights.struct,
    )  # fmt: skip
    actual = qkv.array()
    assert_close(actual[:, :cols], *q_weights.reference(x[:, :cols]), dtype)
    assert_close(actual[:, cols : 2 * cols], *k_weights.reference(x[:, cols : 2 * cols]), dtype)
    np.testing.assert_array_equal(actual[:, 2 * cols :], x[:, 2 * cols :])


@pytest.mark.parametrize("kind", ["rms", "layer"])
@pytest.mark.parametrize("cols", [1, 63, 1024])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("with_vectors", [False, True])
def test_add_norm(kind: str, cols: int, dtype: str, with_vectors: bool) -> None:
    hidden, branch = random(3, cols), rounded(random(3, cols, seed=1), dtype)
    bias, scale = random(cols, seed=2), random(cols, seed=3)
    weights = Weights(kind, cols, seed=7)
    residual, out = matrix(hidden), empty(3, cols, dtype)
    vectors = [vector(bias, "bias"), vector(scale, "scale")] if with_vectors else [None, None]
    call("add_norm", out, residual, matrix(branch, dtype, name="branch"), *vectors, weights.struct)
    term = branch + bias if with_vectors else branch  # float32, as the kernel's
    expected = hidden.astype(np.float64) + (scale if with_vectors else 1.0) * term.astype(float)
    actual = residual.array()
    np.testing.assert_array_equal(actual, expected.astype(np.float32))
    assert_close(out.array(), *weights.reference(actual), dtype)

    alone = matrix(hidden, padding=1)
    call("add_scaled", alone, matrix(branch, dtype), *vectors)
    np.testing.assert_array_equal(alone.array(), actual)


def test_norm_refuses_what_it_cannot_do() -> None:
    weights = Weights("rms", 8)
    x = matrix(random(2, 8))
    with pytest.raises(DeviceError, match=r"norm: out: expected shape \(2, 8\), got \(2, 7\)"):
        call("norm", empty(2, 7), x, weights.struct)
    with pytest.raises(DeviceError, match="expected 1 to 16384 columns, got 16385"):
        call("norm", empty(1, 16385), matrix(random(1, 16385)), weights.struct)
