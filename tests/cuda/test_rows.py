"""Kernels that move rows, bit for bit, and the norm of shuffled rows."""

from __future__ import annotations

import numpy as np
import pytest
from tests.backend.numerics import Array, assert_close, random, rounded

from .device import call, empty, matrix, vector
from .test_norm import Weights

DTYPES = ["float32", "bfloat16", "float16"]


@pytest.mark.parametrize(("dtype", "out_dtype"), [("float32", "bfloat16"), ("float16", "float32")])
@pytest.mark.parametrize(
    ("tiles", "channels", "height", "width", "patch"),
    [(1, 3, 28, 28, 14), (2, 3, 45, 30, 14), (2, 1, 8, 12, 4), (1, 3, 5, 5, 1)],
)
def test_patchify(
    tiles: int, channels: int, height: int, width: int, patch: int, dtype: str, out_dtype: str
) -> None:
    pixels = rounded(random(tiles, channels, height, width), dtype)
    down, across = height // patch, width // patch
    used = pixels[:, :, : down * patch, : across * patch]
    grid = used.reshape(tiles, channels, down, patch, across, patch)
    expected = grid.transpose(0, 2, 4, 1, 3, 5).reshape(tiles * down * across, -1)
    for spare in [0, 4]:
        out = empty(len(expected), expected.shape[1] + spare, out_dtype, padding=3)
        call("patchify", out, matrix(pixels.reshape(tiles, -1), dtype), channels, height, width,
             patch)  # fmt: skip
        cols = expected.shape[1]
        np.testing.assert_array_equal(out.array()[:, :cols], rounded(expected, out_dtype))
        np.testing.assert_array_equal(out.array()[:, cols:], 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cols", [1, 70, 516])
def test_vision_embed(cols: int, dtype: str) -> None:
    patches = rounded(random(3 * 16, cols), dtype)
    first, position = random(1, cols, seed=1), random(17, cols, seed=2)
    hidden = empty(3 * 17, cols)
    call("vision_embed", hidden, matrix(patches, dtype), matrix(first), matrix(position))
    tokens = np.concatenate([np.tile(first, (3, 1, 1)), patches.reshape(3, 16, cols)], 1)
    np.testing.assert_array_equal(hidden.array(), (tokens + position).reshape(-1, cols))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("out_dtype", DTYPES)
@pytest.mark.parametrize("cols", [1, 129, 516])
def test_gather_rows(cols: int, out_dtype: str, dtype: str) -> None:
    table, before = rounded(random(50, cols), dtype), rounded(random(6, cols, seed=1), out_dtype)
    rows = np.array([3, -1, 0, 49, -1, 3], np.int32)
    out = matrix(before, out_dtype, padding=3)
    call("gather_rows", out, matrix(table, dtype), vector(rows, "rows"))
    expected = np.where(rows[:, None] < 0, before, rounded(table[rows], out_dtype))
    np.testing.assert_array_equal(out.array(), expected)

    converted = empty(50, cols, out_dtype)
    call("gather_rows", converted, matrix(table, dtype, padding=4), None)
    np.testing.assert_array_equal(converted.array(), rounded(table, out_dtype))


def shuffled(x: Array, tiles: int, side: int, factor: int, transposed: bool) -> Array:
    """The reference's pixel_shuffle without the class token, in one transposition."""
    small, cols = side // factor, x.shape[1]
    grid = x.reshape(tiles, side * side + 1, cols)[:, 1:]
    grid = grid.reshape(tiles, small, factor, small, factor, cols)
    order = (0, 3, 1, 2, 4, 5) if transposed else (0, 1, 3, 2, 4, 5)
    return grid.transpose(order).reshape(tiles * small * small, factor * factor * cols)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("tiles", "side", "factor", "cols"), [(2, 4, 2, 3), (1, 6, 2, 132), (1, 4, 4, 1), (1, 2, 1, 8)]
)
@pytest.mark.parametrize(("dtype", "out_dtype"), [("float32", "float32"), ("float32", "bfloat16")])
def test_pixel_shuffle(
    dtype: str, out_dtype: str, tiles: int, side: int, factor: int, cols: int, transposed: bool
) -> None:
    x = random(tiles * (side * side + 1), cols)
    expected = shuffled(x, tiles, side, factor, transposed)
    out = empty(len(expected), expected.shape[1], out_dtype)
    call("pixel_shuffle", out, matrix(x, dtype), side, factor, transposed)
    np.testing.assert_array_equal(out.array(), rounded(expected, out_dtype))

    weights = Weights("layer", expected.shape[1], eps=1e-5)
    out = empty(len(expected), expected.shape[1], out_dtype)
    call("pixel_shuffle_norm", out, matrix(x), side, factor, transposed, weights.struct)
    assert_close(out.array(), *weights.reference(expected), out_dtype)
