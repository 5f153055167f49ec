"""Floors of the 2B and the 26B model, counted by hand."""

from __future__ import annotations

import pytest
from benchmarks.checkpoint import SHAPES
from benchmarks.cuda_floors import (
    Ceilings,
    Work,
    decode,
    decoder_weights,
    first_token,
    prefill,
    prompt_tokens,
    vision,
)

TERA = 1e12
CEILINGS = Ceilings(790e12, 4.3e12)


def test_a_floor_is_the_longer_of_the_two() -> None:
    assert Work(790e12, 1).floor(CEILINGS) == pytest.approx(1.0)
    assert Work(1, 8.6e12).floor(CEILINGS) == pytest.approx(2.0)


def test_weights_of_a_token() -> None:
    # 24 layers: wqkv 2048 x 4096, wo 2048 x 2048, w1, w3 and w2 2048 x 8192 each
    layer = 2048 * 4096 + 2048 * 2048 + 3 * 2048 * 8192
    assert decoder_weights(SHAPES["2b"]) == 24 * layer


@pytest.mark.parametrize(
    ("shape", "tiles", "expected"), [("2b", 1, 0.72), ("2b", 41, 29.7), ("26b", 1, 11.9)]
)
def test_vision(shape: str, tiles: int, expected: float) -> None:
    assert vision(SHAPES[shape], tiles).flops / TERA == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("shape", "tiles", "expected"),
    [("2b", 1, 0.98), ("2b", 7, 6.0), ("2b", 41, 42.9), ("26b", 1, 12.0), ("26b", 41, 461)],
)
def test_prefill(shape: str, tiles: int, expected: float) -> None:
    work = prefill(SHAPES[shape], prompt_tokens(tiles))
    assert work.flops / TERA == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("shape", "tiles", "milliseconds"), [("2b", 7, 14.0), ("2b", 41, 92), ("26b", 7, 197)]
)
def test_first_token(shape: str, tiles: int, milliseconds: float) -> None:
    floor = first_token(SHAPES[shape], tiles, CEILINGS)
    assert floor * 1e3 == pytest.approx(milliseconds, rel=0.02)


@pytest.mark.parametrize(
    ("shape", "tiles", "milliseconds"), [("2b", 1, 0.80), ("2b", 41, 1.03), ("26b", 41, 9.46)]
)
def test_decode(shape: str, tiles: int, milliseconds: float) -> None:
    floor = decode(SHAPES[shape], prompt_tokens(tiles)).floor(CEILINGS)
    assert floor * 1e3 == pytest.approx(milliseconds, rel=0.02)


def test_a_step_behind_more_reads_more() -> None:
    near, far = (decode(SHAPES["26b"], context).bytes for context in (0, 1000))
    assert far - near == 1000 * 2 * 2 * 48 * 8 * 128  # bytes, k and v, layers, heads, head_dim
