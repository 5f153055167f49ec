"""Attention, rotation and the key-value pages against float64, and their promises about bits.

Tolerances. A score, a product over head_dim scaled once, is off by at most
(2 head_dim + 2) u scale sum |q_d k_d|, and the exponential adds 2 units of the last place; a
relative error d of all weights moves the normalised result by at most 2 d sum p |v|. Sums over n
keys add (2 n + 8) u sum p |v|, and weights kept in bfloat16 their rounding. u = 2^-24.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np
import pytest

from internvl_native import _core

from .conftest import PADDING
from .numerics import ROUNDING, Array, assert_close, random, rounded

U = ROUNDING["float32"]


class Engine(NamedTuple):
    backend: Any
    dtype: str  # of the activations


def engines() -> dict[str, Engine]:
    found = {}
    for isa in _core.cpu_isas():
        backend = _core.kernels.Backend(_core.cpu_backend(isa), padding=PADDING)
        for dtype in ["float32", "bfloat16"]:
            if backend.activation_dtype(dtype) == dtype:
                found[f"{isa}-{dtype}"] = Engine(backend, dtype)
    return found


@pytest.fixture(params=list(engines().values()), ids=list(engines()))
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.param
    return found


def attend(q: Array, k: Array, v: Array, scale: float, dtype: str) -> tuple[Array, Array]:
    """softmax(scale q k^T) v of one head in float64, and the bound of the engine's error."""
    q, k, v = (a.astype(np.float64) for a in (q, k, v))
    scores = scale * q @ k.T
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    score_error = (2 * q.shape[-1] + 2) * U * scale * (np.abs(q) @ np.abs(k).T)
    delta = score_error.max(-1, keepdims=True) + 4 * U * (1 + np.abs(scores).max(-1, keepdims=True))
    relative = 2 * delta + (2 * len(k) + 8) * U + (dtype == "bfloat16") * ROUNDING[dtype]
    return weights @ v, relative * (weights @ np.abs(v))


def heads_of(qkv: Array, heads: int, kv_heads: int, head_dim: int) -> tuple[Array, Array, Array]:
    """(heads, rows, head_dim) of q, and of k and v repeated for every query head."""
    x = qkv.reshape(len(qkv), heads + 2 * kv_heads, head_dim).transpose(1, 0, 2)
    k, v = x[heads : heads + kv_heads], x[heads + kv_heads :]
    group = heads // kv_heads
    return x[:heads], k.repeat(group, 0), v.repeat(group, 0)


def unrotated(rows: int, head_dim: int) -> Array:
    """A table that rotates by nothing."""
    return np.repeat(np.array([[1.0, 0.0]], np.float32), head_dim // 2, 1).repeat(rows, 0)


class Cache:
    """One sequence in pages, and calls that store and attend in one go."""

    def __init__(
        self, engine: Engine, heads: int, kv_heads: int, head_dim: int, keys: int, layers: int = 1
    ) -> None:
        self.backend, self.dtype = engine
        self.heads, self.head_dim, self.past = heads, head_dim, 0
        self.pages = _core.kernels.KvPages(
            self.backend, layers, kv_heads, head_dim, self.dtype, keys
        )

    def segment(self, row: int, rows: int, stores: bool = True, scale: float | None = None) -> Any:
        factor = self.head_dim**-0.5 if scale is None else scale
        return (row, rows, self.past, self.pages, stores, factor)

    def append(self, qkv: Array, layer: int = 0) -> Array:
        segments = [self.segment(0, len(qkv))]
        table = unrotated(len(qkv), self.head_dim)
        same = self.backend.rope_store_kv(qkv, table, self.heads, layer, segments)
        np.testing.assert_array_equal(same, rounded(qkv, self.dtype))
        out: Array = self.backend.attention_cached(qkv, self.heads, layer, segments)
        self.past += len(qkv)
        return out

    def look(self, qkv: Array, past: int, scale: float | None = None) -> Array:
        """Attention of rows that are not stored."""
        self.past = past
        segments = [self.segment(0, len(qkv), False, scale)]
        out: Array = self.backend.attention_cached(qkv, self.heads, 0, segments)
        return out


def causal(qkv: Array, heads: int, kv_heads: int, head_dim: int, dtype: str) -> tuple[Array, Array]:
    q, k, v = heads_of(rounded(qkv, dtype), heads, kv_heads, head_dim)
    out, bound = np.zeros((2, len(qkv), heads, head_dim))
    for head in range(heads):
        for i in range(len(qkv)):
            row = attend(
                q[head, i : i + 1], k[head, : i + 1], v[head, : i + 1], head_dim**-0.5, dtype
            )
            out[i, head], bound[i, head] = row[0][0], row[1][0]
    return out.reshape(len(qkv), -1), bound.reshape(len(qkv), -1)


# ---- full attention


@pytest.mark.parametrize(
    ("tiles", "tokens", "heads", "head_dim"),
    [
        (1, 1, 1, 2),
        (3, 2, 2, 8),
        (2, 17, 3, 16),
        (1, 127, 2, 32),
        (2, 128, 2, 64),
        (1, 129, 3, 80),
        (1, 257, 2, 128),
        (1, 200, 1, 160),
        (1, 640, 1, 16),
        (1, 1025, 2, 64),
    ],
)
def test_full_attention(engine: Engine, tiles: int, tokens: int, heads: int, head_dim: int) -> None:
    backend, dtype = engine
    qkv = random(tiles * tokens, 3 * heads * head_dim)
    actual = backend.attention(qkv, tokens, heads, head_dim**-0.5, dtype)
    for tile in np.split(np.arange(len(qkv)), tiles):
        q, k, v = heads_of(rounded(qkv[tile], dtype), heads, heads, head_dim)
        for head in range(heads):
            columns = slice(head * head_dim, (head + 1) * head_dim)
            expected = attend(q[head], k[head], v[head], head_dim**-0.5, dtype)
            assert_close(actual[tile, columns], *expected, dtype)


def test_large_scores(engine: Engine) -> None:
    """Scores of thousands: the largest decides, nothing overflows."""
    backend, dtype = engine
    qkv = random(140, 3 * 16)
    qkv[:, :32] *= 60
    q, k, v = heads_of(rounded(qkv, dtype), 1, 1, 16)
    assert np.abs(q[0] @ k[0].T).max() > 10_000
    expected = attend(q[0], k[0], v[0], 1.0, dtype)
    assert_close(backend.attention(qkv, 140, 1, 1.0, dtype), *expected, dtype)


def test_tiles_and_threads_change_no_bit(engine: Engine, restore_threads: None) -> None:
    backend, dtype = engine
    qkv = random(3 * 130, 3 * 2 * 64)
    _core.set_num_threads(2)
    whole = backend.attention(qkv, 130, 2, 0.125, dtype)
    for threads in [1, 3, 8]:
        _core.set_num_threads(threads)
        for tiles in [slice(0, 390), slice(0, 130), slice(130, 390)]:
            part = backend.attention(qkv[tiles], 130, 2, 0.125, dtype)
            np.testing.assert_array_equal(part, whole[tiles])


# ---- attention over the cache


@pytest.mark.parametrize(
    ("heads", "kv_heads", "head_dim"),
    [(1, 1, 2), (2, 2, 8), (4, 2, 16), (6, 2, 32), (6, 1, 64), (2, 1, 80), (2, 1, 128), (9, 1, 8)],
)
@pytest.mark.parametrize("keys", [1, 2, 127, 128, 129, 257])
def test_prefill(engine: Engine, keys: int, heads: int, kv_heads: int, head_dim: int) -> None:
    qkv = random(keys, (heads + 2 * kv_heads) * head_dim)
    actual = Cache(engine, heads, kv_heads, head_dim, keys).append(qkv)
    assert_close(actual, *causal(qkv, heads, kv_heads, head_dim, engine.dtype), engine.dtype)


@pytest.mark.parametrize(("heads", "kv_heads", "head_dim"), [(4, 2, 16), (3, 1, 64), (7, 1, 128)])
def test_chunks_and_threads_change_no_bit(
    engine: Engine, heads: int, kv_heads: int, head_dim: int, restore_threads: None
) -> None:
    qkv = random(270, (heads + 2 * kv_heads) * head_dim)
    whole = Cache(engine, heads, kv_heads, head_dim, 270).append(qkv)
    for threads, chunks in [
        (1, [270]),
        (3, [1, 62, 64, 1, 1, 128, 13]),
        (2, [127, 2, 5, 136]),
        (2, [131] + [1] * 139),
    ]:
        _core.set_num_threads(threads)
        cache = Cache(engine, heads, kv_heads, head_dim, 270)
        parts = [cache.append(part) for part in np.split(qkv, np.cumsum(chunks)[:-1])]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_splitting_keys_between_threads_changes_no_bit(
    engine: Engine, restore_threads: None
) -> None:
    """Few rows behind many keys: with many threads, a block of keys is a task of its own."""
    heads, kv_heads, head_dim, keys = 4, 2, 32, 1200
    qkv = random(keys + 8, (heads + 2 * kv_heads) * head_dim)
    _core.set_num_threads(1)
    cache = Cache(engine, heads, kv_heads, head_dim, keys + 8)
    stored = cache.append(qkv[:keys])
    expected, bound = causal(qkv[:keys], heads, kv_heads, head_dim, engine.dtype)
    assert_close(stored[-3:], expected[-3:], bound[-3:], engine.dtype)

    def answers() -> list[Array]:
        again = Cache(engine, heads, kv_heads, head_dim, keys + 8)
        again.append(qkv[:1100])
        chunks = [[1100], [1101, 1102], list(range(1103, keys + 8))]
        appended = [again.append(qkv[rows]) for rows in chunks]
        return [*appended, again.look(qkv[:2], 1023), again.look(qkv[:2], 0)]

    alone = answers()
    np.testing.assert_array_equal(np.concatenate(alone[:3])[: keys - 1100], stored[1100:])
    for threads in [2, 5, 16]:
        _core.set_num_threads(threads)
        for one, many in zip(alone, answers()):
            np.testing.assert_array_equal(many, one)


def test_batch_changes_no_bit(engine: Engine, restore_threads: None) -> None:
    """Three sequences of different lengths in one call, rows between them belonging to none."""
    heads, kv_heads, head_dim = 4, 2, 32
    lengths, more, rows = [5, 140, 129], [1, 3, 1], [2, 9, 152]
    caches, alone, firsts, nexts = [], [], [], []
    for i, (length, new) in enumerate(zip(lengths, more)):
        qkv = random(length + new, 8 * head_dim, seed=i)
        firsts.append(qkv[:length])
        nexts.append(qkv[length:])
        cache = Cache(engine, heads, kv_heads, head_dim, 300)
        alone.append(np.concatenate([cache.append(firsts[i]), cache.append(nexts[i])]))
        caches.append(Cache(engine, heads, kv_heads, head_dim, 300))
    _core.set_num_threads(3)
    results: list[list[Array]] = [[], [], []]
    for parts in [firsts, nexts]:
        qkv = np.full((300, 8 * head_dim), np.nan, np.float32)
        segments = []
        for cache, part, row in zip(caches, parts, rows):
            qkv[row : row + len(part)] = part
            segments.append(cache.segment(row, len(part)))
        engine.backend.rope_store_kv(qkv, unrotated(300, head_dim), heads, 0, segments[::-1])
        out = engine.backend.attention_cached(qkv, heads, 0, segments)
        for i, (cache, part, row) in enumerate(zip(caches, parts, rows)):
            results[i].append(out[row : row + len(part)].copy())
            out[row : row + len(part)] = np.nan
            cache.past += len(part)
        assert np.isnan(out).all()  # the rows of no segment are left alone
    for i in range(3):
        np.testing.assert_array_equal(np.concatenate(results[i]), alone[i])


def test_rows_that_are_not_stored(engine: Engine) -> None:
    heads, kv_heads, head_dim = 4, 2, 32
    qkv = random(270, 8 * head_dim)
    cache = Cache(engine, heads, kv_heads, head_dim, 270)
    stored = cache.append(qkv)
    for past in [1, 16, 127, 128, 129, 270]:
        # The query that was stored as key past - 1 saw exactly the keys [0, past).
        repeated = qkv[[past - 1] * 3]
        np.testing.assert_array_equal(cache.look(repeated, past), stored[[past - 1] * 3])
    np.testing.assert_array_equal(cache.look(qkv[:3], 0), np.zeros((3, heads * head_dim)))


def test_scale_zero_gives_the_mean(engine: Engine) -> None:
    heads, kv_heads, head_dim = 2, 1, 24
    qkv = random(150, 4 * head_dim)
    cache = Cache(engine, heads, kv_heads, head_dim, 150)
    cache.append(qkv)
    values = rounded(qkv[:, 3 * head_dim :], engine.dtype).astype(np.float64)
    for past in [1, 100, 131, 150]:
        expected = np.tile(values[:past].mean(0), (2, heads))
        bound = (2 * past + 8) * U * np.tile(np.abs(values[:past]).mean(0), (2, heads))
        assert_close(cache.look(qkv[:2], past, scale=0.0), expected, bound, engine.dtype)


def test_copied_pages_go_their_own_way(engine: Engine) -> None:
    heads, kv_heads, head_dim = 2, 1, 16
    one, other = random(140, 4 * head_dim), random(140, 4 * head_dim)
    other[131:] = random(9, 4 * head_dim, seed=1)
    whole = [Cache(engine, heads, kv_heads, head_dim, 256).append(qkv) for qkv in (one, other)]
    cache = Cache(engine, heads, kv_heads, head_dim, 256)
    cache.append(one[:131])
    twin = Cache(engine, heads, kv_heads, head_dim, 256)
    twin.pages, twin.past = cache.pages.copy(), cache.past
    np.testing.assert_array_equal(cache.append(one[131:]), whole[0][131:])
    np.testing.assert_array_equal(twin.append(other[131:]), whole[1][131:])


def test_stored_keys_can_be_taken_back(engine: Engine) -> None:
    heads, kv_heads, head_dim = 2, 1, 16
    first, second = random(140, 4 * head_dim), random(150, 4 * head_dim, seed=1)
    for keep in [0, 1, 128, 131]:
        cache = Cache(engine, heads, kv_heads, head_dim, 256)
        cache.append(first)
        cache.past = keep
        again = np.concatenate([cache.append(second[keep:]), cache.append(first[:20])])
        whole = np.concatenate([first[:keep], second[keep:], first[:20]])
        expected = Cache(engine, heads, kv_heads, head_dim, 256).append(whole)
        np.testing.assert_array_equal(again, expected[keep:])


def test_layers_are_apart(engine: Engine) -> None:
    heads, kv_heads, head_dim = 2, 2, 16
    qkvs = [random(130, 6 * head_dim, seed=seed) for seed in range(3)]
    cache = Cache(engine, heads, kv_heads, head_dim, 130, layers=3)
    outs = []
    for layer in [2, 0, 1]:
        cache.past = 0
        outs.append(cache.append(qkvs[layer], layer))
    for layer, out in zip([2, 0, 1], outs):
        alone = Cache(engine, heads, kv_heads, head_dim, 130).append(qkvs[layer])
        np.testing.assert_array_equal(out, alone)
        cache.past = 0
        again = engine.backend.attention_cached(qkvs[layer], heads, layer, [cache.segment(0, 130)])
        np.testing.assert_array_equal(again, alone)


# ---- rotation


@pytest.mark.parametrize("head_dim", [2, 8, 30, 64, 128])
def test_rotation(engine: Engine, head_dim: int) -> None:
    """(x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin): two products and a sum, each rounded."""
    backend, dtype = engine
    heads, kv_heads, rows, half = 3, 1, 37, head_dim // 2
    qkv, angles = random(rows, 5 * head_dim), 10 * random(rows, half, seed=1)
    table = np.concatenate([np.cos(angles), np.sin(angles)], 1)
    pages = _core.kernels.KvPages(backend, 1, kv_heads, head_dim, dtype, rows)
    segments = [(2, 4, 0, pages, False, 1.0), (6, 30, 0, pages, True, 1.0)]
    actual = backend.rope_store_kv(qkv, table, heads, 0, segments)

    before = rounded(qkv, dtype)
    touched = slice(2, 36)
    np.testing.assert_array_equal(actual[[0, 1, 36]], before[[0, 1, 36]])
    np.testing.assert_array_equal(actual[:, 4 * head_dim :], before[:, 4 * head_dim :])
    x = before[touched, : 4 * head_dim].reshape(-1, 4, 2, half).astype(np.float64)
    cos, sin = table[touched, None, :half], table[touched, None, half:]
    expected = np.stack(
        [x[:, :, 0] * cos - x[:, :, 1] * sin, x[:, :, 1] * cos + x[:, :, 0] * sin], 2
    )
    bound = 2 * U * (np.abs(x) + np.abs(x[:, :, ::-1]))
    flat = (len(x), 4 * head_dim)
    assert_close(
        actual[touched, : 4 * head_dim], expected.reshape(flat), bound.reshape(flat), dtype
    )

    # What was stored is what was rotated: attention from the pages is attention over `actual`.
    stored = actual[6:36]
    out = backend.attention_cached(actual, heads, 0, [(6, 30, 0, pages, True, head_dim**-0.5)])
    expected_out = causal(stored, heads, kv_heads, head_dim, dtype)
    assert_close(out[6:36], *expected_out, dtype)


# ---- callers


def test_several_callers_at_once(engine: Engine) -> None:
    backend, dtype = engine
    qkvs = [random(90 + 40 * i, 3 * 2 * 16, seed=i) for i in range(4)]
    alone = [backend.attention(qkv, len(qkv), 2, 0.25, dtype) for qkv in qkvs]
    wrong: list[int] = []

    def call(i: int) -> None:
        for _ in range(20):
            if not np.array_equal(
                backend.attention(qkvs[i], len(qkvs[i]), 2, 0.25, dtype), alone[i]
            ):
                wrong.append(i)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_errors_say_what_was_expected(backend: Any) -> None:
    qkv = random(6, 3 * 2 * 8)
    with pytest.raises(ValueError, match="expected a multiple of 5 rows, got 6"):
        backend.attention(qkv, 5, 2, 1.0)
    with pytest.raises(ValueError, match=r"expected a multiple of 42 columns .*, got 48"):
        backend.attention(qkv, 6, 7, 1.0)
    with pytest.raises(ValueError, match="no activations of float16"):
        backend.attention(qkv, 6, 2, 1.0, "float16")
    if backend.activation_dtype("bfloat16") == "float32":
        with pytest.raises(ValueError, match="no activations of bfloat16"):
            backend.attention(qkv, 6, 2, 1.0, "bfloat16")
    pages = _core.kernels.KvPages(backend, 1, 2, 8, "float32", 6)
    segments = [(0, 6, 0, pages, True, 1.0)]
    with pytest.raises(ValueError, match="expected heads in equal groups, got 3 heads for 2"):
        backend.attention_cached(qkv, 3, 0, segments)
    with pytest.raises(ValueError, match="expected float32 with 64 columns, got float32 with 48"):
        backend.attention_cached(qkv, 4, 0, segments)
    with pytest.raises(ValueError, match=r"table: expected float32 of shape \(6, 8\), got float32"):
        backend.rope_store_kv(qkv, unrotated(6, 6), 2, 0, segments)
