"""Rounding as the engine rounds, and float64 references."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Half a unit in the last place, relative.
ROUNDING = {"float32": 2.0**-24, "bfloat16": 2.0**-8, "float16": 2.0**-11}


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def rounded(values: Array, dtype: str) -> Array:
    """float32 values rounded to nearest even in `dtype`, as float32."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    if dtype == "float32":
        return values
    if dtype == "float16":
        return values.astype(np.float16).astype(np.float32)
    bits = values.view(np.uint32).astype(np.uint64)
    upper = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return (upper << 16).astype(np.uint32).view(np.float32)


def erf(x: Array) -> Array:
    return np.array([math.erf(value) for value in x.ravel()]).reshape(x.shape)


def sigmoid(x: Array) -> Array:
    return np.asarray(np.exp(-np.logaddexp(0.0, -x)))


def activate(x: Array, activation: str) -> Array:
    """The activation in float64."""
    x = np.asarray(x, dtype=np.float64)
    if activation == "gelu":
        return np.asarray(0.5 * x * (1 + erf(x / math.sqrt(2))))
    if activation == "gelu_tanh":
        return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
    if activation == "quick_gelu":
        return x * sigmoid(1.702 * x)
    if activation == "relu":
        return np.maximum(x, 0)
    if activation == "silu":
        return x * sigmoid(x)
    return x


def assert_close(actual: Array, expected: Array, bound: Array, dtype: str = "float32") -> None:
    """Within `bound`, plus the rounding of a result stored in `dtype`."""
    error = np.abs(actual - expected)
    subnormal = 2.0**-25 if dtype == "float16" else 1e-37
    allowed = bound + ROUNDING[dtype] * (np.abs(expected) + bound) + subnormal
    worst = np.unravel_index(np.argmax(error - allowed), error.shape)
    assert np.all(error <= allowed), (worst, actual[worst], expected[worst], allowed[worst])


def reference_norm(x: Array, kind: str, eps: float, w: Array, b: Array) -> tuple[Array, Array]:
    """The norm in float64 and a bound: a sum of n squares is within (n + 4) u of itself, its root
    within half of that, and the distances from the mean within (n + 2) u mean |x|."""
    x = x.astype(np.float64)
    n, u = x.shape[1], ROUNDING["float32"]
    center = x.mean(1, keepdims=True) if kind == "layer" else 0.0
    slack = (n + 2) * u * np.abs(x).mean(1, keepdims=True) if kind == "layer" else 0.0
    root = np.sqrt(((x - center) ** 2).mean(1, keepdims=True) + eps)
    y = (x - center) / root * w + b
    bound = (n + 8) * u * (np.abs(y) + np.abs(b)) + 2 * np.abs(w) * slack / root
    return y, bound
