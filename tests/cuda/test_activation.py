"""Activations against float64. u = 2^-24."""

from __future__ import annotations

import numpy as np
import pytest
from tests.backend.numerics import ROUNDING, activate, assert_close, random, rounded

from .device import call, empty, matrix, vector

ACTIVATIONS = ["none", "gelu", "gelu_tanh", "quick_gelu", "relu", "silu"]  # backend/activation.h
PAIRS = [("float32", "float32"), ("float32", "bfloat16"), ("bfloat16", "bfloat16"),
         ("float16", "float16")]  # fmt: skip
U = ROUNDING["float32"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("dtype", "out_dtype"), PAIRS)
@pytest.mark.parametrize("cols", [1, 63, 1028])
@pytest.mark.parametrize("biased", [False, True])
def test_bias_activation(
    biased: bool, cols: int, dtype: str, out_dtype: str, activation: str
) -> None:
    x, bias = rounded(4 * random(3, cols), dtype), random(cols, seed=1)
    out = empty(3, cols, out_dtype, padding=1)
    call("bias_activation", out, matrix(x, dtype), vector(bias, "bias") if biased else None,
         ACTIVATIONS.index(activation))  # fmt: skip
    inner = x + bias if biased else x  # float32, as the kernel's
    # The slopes are below 1.2; the functions and their steps are within 16 u of max(1, |x|).
    bound = 16 * U * np.maximum(1.0, np.abs(inner))
    assert_close(out.array(), activate(inner, activation), bound, out_dtype)


@pytest.mark.parametrize("activation", ["silu", "gelu"])
@pytest.mark.parametrize(("dtype", "out_dtype"), PAIRS)
@pytest.mark.parametrize("cols", [1, 63, 1028])
@pytest.mark.parametrize("biased", [False, True])
def test_gated_activation(
    biased: bool, cols: int, dtype: str, out_dtype: str, activation: str
) -> None:
    x, bias = rounded(4 * random(3, 2 * cols), dtype), random(2 * cols, seed=1)
    out = empty(3, cols, out_dtype)
    call("gated_activation", out, matrix(x, dtype), vector(bias, "bias") if biased else None,
         ACTIVATIONS.index(activation))  # fmt: skip
    inner = x + bias if biased else x
    gate, up = inner[:, :cols], inner[:, cols:].astype(np.float64)
    bound = 16 * U * np.maximum(1.0, np.abs(gate)) * np.abs(up)
    assert_close(out.array(), activate(gate, activation) * up, bound, out_dtype)
