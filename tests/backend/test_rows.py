"""Operations on rows against float64 or exact references. u = 2^-24."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from internvl_native import _core

from .numerics import Array, assert_close, random, reference_norm, rounded

DTYPES = ["float32", "bfloat16", "float16"]


@pytest.mark.parametrize("out_dtype", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cols", [1, 15, 64, 1023])
def test_copy(backend: Any, cols: int, dtype: str, out_dtype: str) -> None:
    x = random(33, cols)
    expected = rounded(rounded(x, dtype), out_dtype)
    np.testing.assert_array_equal(backend.copy(x, dtype, out_dtype), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("tiles", "channels", "height", "width", "patch"),
    [(1, 3, 28, 28, 14), (2, 3, 45, 30, 14), (2, 1, 8, 12, 4), (1, 3, 5, 5, 1)],
)
def test_patchify(
    backend: Any, tiles: int, channels: int, height: int, width: int, patch: int, dtype: str
) -> None:
    pixels = random(tiles, channels, height, width)
    down, across = height // patch, width // patch
    used = pixels[:, :, : down * patch, : across * patch]
    grid = used.reshape(tiles, channels, down, patch, across, patch)
    expected = grid.transpose(0, 2, 4, 1, 3, 5).reshape(tiles * down * across, -1)
    flat = pixels.reshape(tiles, -1)
    for spare in [0, 4]:
        cols = expected.shape[1] + spare
        actual = backend.patchify(flat, channels, height, width, patch, cols, dtype)
        np.testing.assert_array_equal(actual[:, : cols - spare], rounded(expected, dtype))
        np.testing.assert_array_equal(actual[:, cols - spare :], 0)


def test_vision_embed(backend: Any) -> None:
    patches, first, position = random(3 * 16, 70), random(1, 70, seed=1), random(17, 70, seed=2)
    actual = backend.vision_embed(patches, first, position)
    tokens = np.concatenate([np.tile(first, (3, 1, 1)), patches.reshape(3, 16, 70)], 1)
    np.testing.assert_array_equal(actual, (tokens + position).reshape(-1, 70))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gather_rows(backend: Any, dtype: str) -> None:
    table, rows = random(50, 129), np.array([3, 49, -1, 0, 3] * 9)
    before = random(len(rows), 129, seed=1)
    expected = np.where((rows < 0)[:, None], before, rounded(table, dtype)[rows])
    np.testing.assert_array_equal(backend.gather_rows(before, table, rows, dtype), expected)


@pytest.mark.parametrize("cols", [1, 7, 64, 1000, 40001])
def test_argmax(backend: Any, cols: int) -> None:
    x = np.round(4 * random(9, cols))  # the largest number comes several times
    x[1] = -np.inf
    x[2, cols // 2] = np.nan
    x[3, cols - 1] = np.inf
    expected = x.argmax(1)  # numpy, too: the first, and NaN before all
    np.testing.assert_array_equal(backend.argmax(x), expected)


@pytest.mark.parametrize("kind", ["rms", "layer"])
@pytest.mark.parametrize("cols", [1, 7, 16, 63, 64, 129, 1000, 3200])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_norm(backend: Any, dtype: str, cols: int, kind: str) -> None:
    x = rounded(3 * random(19, cols) + 1, dtype)
    w = random(cols, seed=1)
    b = random(cols, seed=2) if kind == "layer" else np.zeros(cols, np.float32)
    bias = b if kind == "layer" else np.zeros(0, np.float32)
    expected, bound = reference_norm(x, kind, 1e-6, w, b)
    for out_dtype in ["float32", "bfloat16"]:
        actual = backend.norm(x, kind, 1e-6, w, bias, dtype, out_dtype)
        assert_close(actual, expected, bound, out_dtype)
    in_place = backend.norm(x, kind, 1e-6, w, bias, dtype, in_place=True)
    np.testing.assert_array_equal(in_place, backend.norm(x, kind, 1e-6, w, bias, dtype, dtype))


@pytest.mark.parametrize("kind", ["rms", "layer"])
def test_norm_of_far_and_tiny_rows(backend: Any, kind: str) -> None:
    """A mean far from zero does not cancel the variance, and eps carries rows of zeros."""
    x = np.stack([random(300)[:] + 1000, np.zeros(300), 1e-12 * random(300)]).astype(np.float32)
    w, b = np.ones(300, np.float32), np.zeros(300, np.float32)
    assert_close(backend.norm(x, kind, 1e-5, w, b), *reference_norm(x, kind, 1e-5, w, b))


@pytest.mark.parametrize("kind", ["rms", "layer"])
def test_norm_rows_do_not_depend_on_batch_or_threads(
    backend: Any, kind: str, restore_threads: None
) -> None:
    x, w, b = random(200, 999), random(999, seed=1), random(999, seed=2)
    _core.set_num_threads(1)
    whole = backend.norm(x, kind, 1e-6, w, b)
    _core.set_num_threads(3)
    for rows in [slice(0, 200), slice(5, 6), slice(17, 140)]:
        np.testing.assert_array_equal(backend.norm(x[rows], kind, 1e-6, w, b), whole[rows])


def reference_shuffle(x: Array, factor: int, transposed: bool) -> Array:
    """The reference's pixel_shuffle, axis by axis (modeling_internvl_chat.py)."""
    n, w, h, c = x.shape
    x = x.reshape(n, w, h // factor, c * factor).transpose(0, 2, 1, 3)
    x = x.reshape(n, h // factor, w // factor, c * factor * factor)
    return x if transposed else x.transpose(0, 2, 1, 3)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("tiles", "side", "factor", "cols"), [(2, 4, 2, 3), (1, 32, 2, 20)])
@pytest.mark.parametrize("factors", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_pixel_shuffle(
    backend: Any,
    dtype: str,
    factors: int,
    tiles: int,
    side: int,
    factor: int,
    cols: int,
    transposed: bool,
) -> None:
    factor **= factors
    x = rounded(random(tiles * (side * side + 1), cols), dtype)
    grid = x.reshape(tiles, side * side + 1, cols)[:, 1:].reshape(tiles, side, side, cols)
    expected = reference_shuffle(grid, factor, transposed).reshape(-1, cols * factor * factor)
    actual = backend.pixel_shuffle(x, side, factor, transposed, dtype, dtype)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("cols", [1, 63, 200])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_qk_norm(backend: Any, dtype: str, cols: int) -> None:
    inputs = [rounded(random(7, cols, seed=seed), dtype) for seed in range(2)]
    weights = [random(cols, seed=seed) for seed in range(2, 4)]
    norms = [backend.prepare_norm("rms", 1e-6, w) for w in weights]
    actual = backend.qk_norm(*inputs, *norms, dtype)
    for x, w, out in zip(inputs, weights, actual):
        np.testing.assert_array_equal(out, backend.norm(x, "rms", 1e-6, w, dtype=dtype,
                                                        out_dtype=dtype))  # fmt: skip
    with pytest.raises(ValueError, match=r"expected q and k of one shape and dtype, got \(7, "):
        backend.qk_norm(inputs[0], inputs[1][:6], *norms, dtype)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("tiles", "side", "factor", "cols"), [(2, 4, 2, 3), (1, 32, 4, 20)])
@pytest.mark.parametrize("out_dtype", ["float32", "bfloat16"])
def test_pixel_shuffle_norm(
    backend: Any, out_dtype: str, tiles: int, side: int, factor: int, cols: int, transposed: bool
) -> None:
    x = random(tiles * (side * side + 1), cols)
    parameters = ("layer", 1e-5, *(random(factor**2 * cols, seed=seed) for seed in (1, 2)))
    norm = backend.prepare_norm(*parameters)
    actual = backend.pixel_shuffle_norm(x, side, factor, transposed, norm, out_dtype)
    shuffled = backend.pixel_shuffle(x, side, factor, transposed)
    expected = backend.norm(shuffled, *parameters, out_dtype=out_dtype)
    np.testing.assert_array_equal(actual, expected)


def test_errors_say_what_was_expected(backend: Any) -> None:
    x, w = random(3, 8), random(8)
    with pytest.raises(ValueError, match="norm: expected a weight of 8 values, got 7"):
        backend.norm(x, "rms", 1e-6, w[:7])
    with pytest.raises(ValueError, match="norm: expected a bias of 8 values, got 7"):
        backend.norm(x, "layer", 1e-6, w, w[:7])
    with pytest.raises(ValueError, match="expected a side that 2 divides, got 3"):
        backend.pixel_shuffle(random(10, 4), 3, 2, False)
    with pytest.raises(
        ValueError, match=r"patchify: pixels: expected shape \(3, 48\), got \(3, 8\)"
    ):
        backend.patchify(x, 3, 4, 4, 2, 12)
