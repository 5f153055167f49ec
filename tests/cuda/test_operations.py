"""Operations of the CUDA backend's own code, on emulated kernels and on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.backend.numerics import Array, assert_close, random, reference_norm

from internvl_native import _core, devices

from .models import TOLERANCE, folders_of
from .test_rows import shuffled


@pytest.fixture
def operations(cuda: Any) -> Any:
    """Those of the backend, as tests/backend has them of the CPU's."""
    return _core.kernels.Backend(cuda.backend(0, folders_of(cuda)), padding=4)


def norm_of(operations: Any, cols: int, seed: int) -> tuple[Any, Callable[[Array], Any]]:
    """A layer norm, and its float64 reference."""
    w, b = random(cols, seed=seed), random(cols, seed=seed + 1)
    norm = operations.prepare_norm("layer", 1e-6, w, b)
    return norm, lambda x: reference_norm(x, "layer", 1e-6, w, b)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("rows", [3, 70])  # kernels of ours, and cuBLASLt
def test_residual_and_norm(operations: Any, rows: int, scaled: bool) -> None:
    x, residual = random(rows, 40), random(rows, 65, seed=1)
    w, b, scale = random(65, 40, seed=2), random(65, seed=3), random(65, seed=4)
    norm, reference = norm_of(operations, 65, seed=5)
    weight = operations.prepare_linear([w], [b])
    added, normed = operations.linear_add_norm(residual, x, weight, scale if scaled else None, norm)
    branch = x.astype(np.float64) @ w.T.astype(np.float64) + b
    np.testing.assert_allclose(added, residual + (scale if scaled else 1.0) * branch, atol=2e-5)
    assert_close(normed, *reference(added))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_rows_of_a_step_have_the_bits_of_one_alone(operations: Any, dtype: str) -> None:
    x, residual, scale = random(64, 72), random(64, 9, seed=1), random(9, seed=2)
    weights = [random(9, 72, seed=seed) for seed in (3, 4)]
    weight = operations.prepare_linear(weights[:1], [random(9, seed=5)], dtype=dtype)
    gated = operations.prepare_gated(weights[:1], weights[1:], dtype=dtype)

    def results(rows: slice) -> list[Array]:
        return [
            operations.linear(x[rows], weight, "gelu"),
            operations.linear_gated(x[rows], gated, "silu"),
            operations.linear_add(residual[rows], x[rows], weight),
            operations.linear_add(residual[rows], x[rows], weight, scale),
        ]

    alone = [np.concatenate(of) for of in zip(*(results(slice(i, i + 1)) for i in range(64)))]
    for count in (8, 9, 24, 64):
        for actual, expected in zip(results(slice(0, count)), alone):
            np.testing.assert_array_equal(actual, expected[:count])


def test_norms_of_queries_and_keys(operations: Any) -> None:
    q, k = random(5, 70), random(5, 70, seed=1)
    (q_norm, q_reference), (k_norm, k_reference) = (
        norm_of(operations, 70, seed) for seed in (2, 4)
    )
    normed_q, normed_k = operations.qk_norm(q, k, q_norm, k_norm)
    assert_close(normed_q, *q_reference(q))
    assert_close(normed_k, *k_reference(k))


@pytest.mark.parametrize("transposed", [False, True])
def test_norm_of_shuffled_pixels(operations: Any, transposed: bool) -> None:
    x = random(2 * 17, 6)
    norm, reference = norm_of(operations, 24, seed=1)
    actual = operations.pixel_shuffle_norm(x, 4, 2, transposed, norm)
    assert_close(actual, *reference(shuffled(x, 2, 4, 2, transposed)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_operations_that_benchmarks_time(cuda: Any, load: Any, dtype: str) -> None:
    on: Any = _core.kernels.Backend(devices.backend("cuda:0"))
    for operation in (
        on.copy_of(1 << 10),
        on.linear_of(70, 16, 32, dtype, activation="gelu"),
        on.linear_of(1, 16, 32, dtype, "gated", "silu", copies=2),
        on.linear_of(8, 16, 32, dtype, "add"),
        on.norm_of(3, 64, "layer", dtype),
        on.patchify_of(1, 28, 14, dtype),
        on.pixel_shuffle_of(1, 4, 8),
        on.argmax_of(2, 100),
        on.attention_of(1, 17, 2, 64, dtype),
        on.cached_of("rope", 5, 2, 2, 1, 64, 2, dtype),
        on.cached_of("attention", 20, 0, 2, 1, 64, 1, dtype),
        on.cached_of("attention", 1, 130, 2, 1, 64, 1, dtype),
    ):
        assert len(operation.seconds(2, 3)) == 3
        assert min(operation.seconds(1, 2)) > 0
