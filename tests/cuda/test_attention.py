"""Attention and the key-value cache against float64.

The bound: scores are sums of head_dim products and their errors move a weight by as much, weights
are rounded to the dtype, and a result is a mean of values under these weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from tests.backend.numerics import ROUNDING, Array, assert_close, random, rounded

from .device import (
    SEGMENT,
    Buffer,
    KvView,
    call,
    empty,
    library,
    matrix,
    size,
    vector,
)  # fmt: skip

PAGE = 128
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def reference(q: Array, k: Array, v: Array, scale: float, dtype: str) -> tuple[Array, Array]:
    """One query row over all keys of (keys, head_dim), and the bound of its error."""
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    scores = k @ q * scale
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    u = ROUNDING["float32"]
    slip = 2 * u * (len(q) + 8) * (np.abs(k) @ np.abs(q) * abs(scale) + np.abs(scores).max() + 1)
    relative = 2 * slip.max() + ROUNDING[dtype] * (dtype != "float32") + u * (len(k) + 64)
    return weights @ v, relative * (weights @ np.abs(v))


def expected_rows(rows: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    return np.stack([row for row, _ in rows]), np.stack([bound for _, bound in rows])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(
    ("tiles", "tokens", "heads", "head_dim"),
    [
        (2, 1, 1, 64),
        (2, 65, 2, 64),
        (1, 130, 1, 128),
        (2, 17, 2, 24),
        (1, 33, 1, 7),
        (1, 40, 1, 160),
    ],
)
def test_attention(tiles: int, tokens: int, heads: int, head_dim: int, dtype: str) -> None:
    width = heads * head_dim
    x = rounded(2 * random(tiles * tokens, 3 * width), dtype)
    scale = 1 / math.sqrt(head_dim)
    padding = 8 if head_dim % 8 == 0 else 1
    out = empty(len(x), width, dtype)
    call("attention", out, matrix(x, dtype, padding), tokens, heads, scale)
    q, k, v = x.reshape(tiles, tokens, 3, heads, head_dim).transpose(2, 0, 3, 1, 4)
    rows = [
        reference(q[t, h, i], k[t, h], v[t, h], scale, dtype)
        for t in range(tiles) for i in range(tokens) for h in range(heads)
    ]  # fmt: skip
    expected, bound = (a.reshape(len(x), width) for a in expected_rows(rows))
    assert_close(out.array(), expected, bound, dtype)


@dataclass
class Case:
    """Some sequences: (rows, past, stores) of each."""

    sequences: list[tuple[int, int, bool]]
    heads: int
    kv_heads: int
    head_dim: int
    dtype: str
    layer: int = 1
    layers: int = 2

    def __post_init__(self) -> None:
        self.scale = 1 / math.sqrt(self.head_dim)
        self.pages: list[Buffer] = []
        self.contents: list[tuple[Array, Array]] = []
        block = 2 * PAGE * self.head_dim
        segments = np.zeros(len(self.sequences), SEGMENT)
        row = 0
        for s, (rows, past, stores) in enumerate(self.sequences):
            segments[s] = (row, rows, past, len(self.pages), stores, self.scale)
            row += rows
            shape = (past, self.kv_heads, self.head_dim)
            keys = rounded(2 * random(*shape, seed=10 * s), self.dtype)
            values = rounded(random(*shape, seed=10 * s + 1), self.dtype)
            self.contents.append((keys, values))
            for p in range(-(-(past + rows) // PAGE)):
                page = np.full((self.layers, self.kv_heads, block), np.nan, np.float32)
                part = slice(p * PAGE, min(past, (p + 1) * PAGE))
                for h in range(self.kv_heads):
                    k, v = keys[part, h], values[part, h]
                    page[self.layer, h, : k.size] = k.ravel()
                    page[self.layer, h, block // 2 : block // 2 + v.size] = v.ravel()
                stored = matrix(page.reshape(1, -1), self.dtype, name=f"page {p} of {s}")
                self.pages.append(stored.storage)
        self.rows = row
        self.table = vector(np.array([p.address for p in self.pages], np.uint64), "pages")
        self.segments = vector(segments, "segments")
        self.view = KvView(
            self.table.address, self.segments.address, len(segments),
            max(rows for rows, _, _ in self.sequences),
            max(past + rows for rows, past, _ in self.sequences),
            self.layer, self.kv_heads, self.head_dim,
        )  # fmt: skip

    def workspace(self) -> Buffer:
        nbytes = size("attention_workspace_bytes", self.rows, self.heads, self.view)
        return Buffer("workspace", nbytes)

    def expected(self, q: Array) -> tuple[Array, Array]:
        """q (rows, heads, head_dim); what a storing sequence has stored counts as its past."""
        results = []
        row = 0
        for (rows, past, stores), (keys, values) in zip(self.sequences, self.contents):
            for i in range(rows):
                seen = past + i + 1 if stores else past
                for h in range(self.heads):
                    g = h // (self.heads // self.kv_heads)
                    results.append(
                        reference(q[row + i, h], keys[:seen, g], values[:seen, g], self.scale,
                                  self.dtype)
                    )  # fmt: skip
            row += rows
        expected, bound = expected_rows(results)
        return expected.reshape(self.rows, -1), bound.reshape(self.rows, -1)


def rotated(x: Array, table: Array) -> Array:
    """x (rows, heads, head_dim) float32, step by step as the kernel rounds."""
    half = x.shape[2] // 2
    cos, sin = table[:, None, :half], table[:, None, half:]
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], 2)


SEQUENCES = [
    [(1, 0, True)],
    [(1, 300, True), (1, 5, True), (1, 127, True)],
    [(70, 100, True), (3, 256, False)],
    [(5, 0, True), (130, 130, True)],
]
SHAPES = [(6, 1, 128), (4, 2, 64), (2, 2, 24)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(("heads", "kv_heads", "head_dim"), SHAPES)
@pytest.mark.parametrize("sequences", SEQUENCES)
def test_rope_store_and_cached_attention(
    sequences: list[tuple[int, int, bool]], heads: int, kv_heads: int, head_dim: int, dtype: str
) -> None:
    case = Case(sequences, heads, kv_heads, head_dim, dtype)
    x = rounded(2 * random(case.rows, (heads + 2 * kv_heads) * head_dim, seed=3), dtype)
    angles = 3 * random(case.rows, head_dim // 2, seed=4)
    table = np.concatenate([np.cos(angles), np.sin(angles)], 1)
    qkv = matrix(x, dtype, padding=8)
    call("rope_store_kv", qkv, matrix(table), heads, case.view)
    split = x.reshape(case.rows, heads + 2 * kv_heads, head_dim)
    turned = rounded(rotated(split[:, : heads + kv_heads], table), dtype)
    actual = qkv.array().reshape(split.shape)
    np.testing.assert_array_equal(actual[:, : heads + kv_heads], turned)
    np.testing.assert_array_equal(actual[:, heads + kv_heads :], split[:, heads + kv_heads :])

    row = 0
    for s, (rows, _, stores) in enumerate(sequences):
        if stores:
            keys, values = case.contents[s]
            part = slice(row, row + rows)
            case.contents[s] = (
                np.concatenate([keys, turned[part, heads:]]),
                np.concatenate([values, split[part, heads + kv_heads :]]),
            )
        row += rows
    expected, bound = case.expected(turned[:, :heads])
    for few in [False, True]:
        out = empty(case.rows, heads * head_dim, dtype, padding=8)
        if few:
            call("attention_decode", out, qkv, heads, case.view, case.workspace())
        else:
            call("attention_prompt", out, qkv, heads, case.view)
        assert_close(out.array(), expected, bound, dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("function", ["attention_prompt", "attention_decode"])
def test_rows_depend_on_nothing_beside_them(function: str, dtype: str) -> None:
    """Alone, beside other sequences, and in other orders of threads: the same bits."""
    results = []
    for seed, sequences in enumerate([[(2, 300, False)], [(2, 300, False), (40, 600, False)]]):
        library().device_seed(seed)
        case = Case(sequences, 4, 2, 64, dtype)
        qkv = matrix(rounded(random(2 + 40 * seed, 8 * 64), dtype)[:, :], dtype)
        first = rounded(random(2, 8 * 64, seed=9), dtype)
        whole = np.concatenate([first, qkv.array()[2:]])
        out = empty(case.rows, 4 * 64, dtype)
        extra = [case.workspace()] if function == "attention_decode" else []
        call(function, out, matrix(whole, dtype), 4, case.view, *extra)
        results.append(out.array()[:2])
    library().device_seed(0)
    np.testing.assert_array_equal(results[0], results[1])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rows_of_a_sequence_are_those_of_single_steps(dtype: str) -> None:
    """Tokens that are tried together see what they would see one after another: the same bits."""
    case = Case([(5, 126, True)], 4, 2, 64, dtype)
    qkv = matrix(rounded(2 * random(5, 8 * 64), dtype), dtype)
    call("rope_store_kv", qkv, matrix(random(5, 64, seed=4)), 4, case.view)
    together, alone = empty(5, 4 * 64, dtype), empty(5, 4 * 64, dtype)
    call("attention_decode", together, qkv, 4, case.view, case.workspace())

    steps = np.zeros(5, SEGMENT)
    for i in range(5):
        steps[i] = (i, 1, 126 + i + 1, 0, False, case.scale)
    case.segments = vector(steps, "segments")
    case.view = KvView(case.table.address, case.segments.address, 5, 1, 131, case.layer, 2, 64)
    call("attention_decode", alone, qkv, 4, case.view, case.workspace())
    np.testing.assert_array_equal(together.array(), alone.array())


def test_more_parts_than_threads_combine_them() -> None:
    case = Case([(1, 130 * PAGE + 3, False), (1, 0, False)], 1, 1, 2, "float32")
    q = random(2, 3 * 2)
    out = empty(2, 2)
    call("attention_decode", out, matrix(q), 1, case.view, case.workspace())
    k, v = case.contents[0]
    expected, bound = reference(q[0, :2], k[:, 0], v[:, 0], case.scale, "float32")
    assert_close(out.array()[0], expected, bound)
    np.testing.assert_array_equal(out.array()[1], 0)  # sees nothing


def test_fragments_are_loaded_without_bank_conflicts() -> None:
    before = library().device_bank_conflicts()
    x = rounded(random(70, 3 * 128), "bfloat16")
    out = empty(70, 128, "bfloat16")
    call("attention", out, matrix(x, "bfloat16"), 70, 1, 0.1)
    call("attention", out, matrix(x, "bfloat16"), 70, 2, 0.1)
    assert library().device_bank_conflicts() == before
