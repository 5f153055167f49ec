"""The instructions behind csrc/cuda/kernels/ptx.cuh against the tables of the PTX ISA."""

from __future__ import annotations

import numpy as np
import pytest
from tests.backend.numerics import Array, random, rounded

from .device import Buffer, call, decoded, encoded, vector

LANES = np.arange(32)
GROUP, THREAD = LANES // 4, LANES % 4  # groupID and threadID_in_group


def pairs(low: Array, high: Array) -> Array:
    return low.astype(np.uint32) | high.astype(np.uint32) << 16


def test_load_matrices() -> None:
    """ "ldmatrix", fragment layout of one 8x8 matrix with 16-bit elements."""
    matrix = np.arange(256, dtype=np.uint16).reshape(16, 16)
    registers = Buffer("registers", 32 * 8 * 4)
    call("probe_load_matrices", registers, vector(matrix, "matrix"))
    actual = registers.bytes().view(np.uint32).reshape(32, 2, 4)
    for i, (row, col) in enumerate([(0, 0), (8, 0), (0, 8), (8, 8)]):
        part = matrix[row : row + 8, col : col + 8]
        for transposed, m in enumerate([part, part.T]):
            expected = pairs(m[GROUP, 2 * THREAD], m[GROUP, 2 * THREAD + 1])
            np.testing.assert_array_equal(actual[:, transposed, i], expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_multiply_add(dtype: str) -> None:
    """ "Matrix fragments for mma.m16n8k16 with floating point type": rows and columns of a0 ... a7,
    b0 ... b3 and c0 ... c3."""
    a, b = rounded(random(16, 16), dtype), rounded(random(16, 8, seed=1), dtype)
    c = random(16, 8, seed=2)
    a_bits, b_bits = (encoded(x, dtype).view(np.uint16) for x in (a, b))
    left = np.empty((32, 8), np.uint16)
    for i in range(8):
        row = GROUP if i < 2 or 4 <= i < 6 else GROUP + 8
        left[:, i] = a_bits[row, THREAD * 2 + (i & 1) + (8 if i >= 4 else 0)]
    right = np.empty((32, 4), np.uint16)
    for i in range(4):
        right[:, i] = b_bits[THREAD * 2 + (i & 1) + (8 if i >= 2 else 0), GROUP]
    places = [(GROUP + (8 if i >= 2 else 0), THREAD * 2 + (i & 1)) for i in range(4)]
    sums = np.stack([c[place] for place in places], 1)
    d = vector(np.ascontiguousarray(sums), "d")
    call("probe_multiply_add", dtype == "float16", d, vector(left, "a"), vector(right, "b"))
    actual = np.empty((16, 8))
    for i, place in enumerate(places):
        actual[place] = d.bytes().view(np.float32).reshape(32, 4)[:, i]
    magnitude = np.abs(c) + np.abs(a).astype(float) @ np.abs(b).astype(float)
    # Tensor cores align the products of a step to the largest and cut: a bit each, at most.
    np.testing.assert_array_less(np.abs(actual - (c + a.astype(float) @ b)), 2.0**-21 * magnitude)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_conversions_round_to_nearest_even(dtype: str) -> None:
    x = np.concatenate(
        [
            [0.0, -0.0, 1.0, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 1 + 2.0**-11, 1 + 3 * 2.0**-11],
            [np.inf, -np.inf, 65504.0, 65519.9, 65520.0, 1e-7, 2.0**-25, 2.0**-24, 3.0e38],
            1e3 * random(48),
        ]
    ).astype(np.float32)
    with np.errstate(over="ignore"):
        bits = encoded(x, dtype).view(np.uint16)
    words, back = Buffer("pairs", 128), Buffer("back", 256)
    call("probe_conversion", dtype == "float16", words, back, vector(x, "x"))
    np.testing.assert_array_equal(words.bytes().view(np.uint32), pairs(bits[::2], bits[1::2]))
    stored = bits.view(np.float16) if dtype == "float16" else bits
    np.testing.assert_array_equal(back.bytes().view(np.float32), decoded(stored, dtype))
