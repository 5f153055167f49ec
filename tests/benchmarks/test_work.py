"""Floors of the 2B and the 26B model, counted by hand."""

from __future__ import annotations

import pytest
from benchmarks.checkpoint import SHAPES, tensors
from benchmarks.work import (
    Phase,
    chat,
    decode,
    decoder_weights,
    load,
    prefill,
    projector_weights,
    prompt_tokens,
    vision,
    vision_weights,
)

TERA = 1e12
CEILINGS = (790e12, 4.3e12)


def test_a_floor_is_the_longer_of_the_two() -> None:
    assert Phase(790e12, 1).floor(*CEILINGS) == pytest.approx(1.0)
    assert Phase(1, 8.6e12).floor(*CEILINGS) == pytest.approx(2.0)


def test_weights_of_a_token() -> None:
    # 24 layers: wqkv 2048 x 4096, wo 2048 x 2048, w1, w3 and w2 2048 x 8192 each
    layer = 2048 * 4096 + 2048 * 2048 + 3 * 2048 * 8192
    assert decoder_weights(SHAPES["2b"]) == 24 * layer


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_weights_are_the_checkpoints_matrices(shape: str) -> None:
    sizes = SHAPES[shape]

    def count(prefix: str) -> int:
        matrices = (dims for name, dims in tensors(shape) if name.startswith(prefix))
        return sum(dims[0] * dims[1] for dims in matrices if len(dims) == 2)

    assert vision_weights(sizes) == count("vision_model.encoder.")
    assert projector_weights(sizes) == count("mlp1.")
    assert decoder_weights(sizes) == count("language_model.model.layers.")
    assert load(sizes, 4).bytes == 6 * count("")


@pytest.mark.parametrize(
    ("shape", "tiles", "expected"), [("2b", 1, 0.72), ("2b", 41, 29.7), ("26b", 1, 11.9)]
)
def test_vision(shape: str, tiles: int, expected: float) -> None:
    assert vision(SHAPES[shape], tiles, 2).flops / TERA == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("shape", "tiles", "expected"),
    [("2b", 1, 0.98), ("2b", 7, 6.0), ("2b", 41, 42.9), ("26b", 1, 12.0), ("26b", 41, 461)],
)
def test_prefill(shape: str, tiles: int, expected: float) -> None:
    phase = prefill(SHAPES[shape], prompt_tokens(tiles), 2)
    assert phase.flops / TERA == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("shape", "tiles", "milliseconds"), [("2b", 7, 14.0), ("2b", 41, 92), ("26b", 7, 197)]
)
def test_first_token(shape: str, tiles: int, milliseconds: float) -> None:
    phases = chat(SHAPES[shape], tiles, 2, new_tokens=1)
    floor = sum(phase.floor(*CEILINGS) for phase in phases)
    assert floor * 1e3 == pytest.approx(milliseconds, rel=0.02)


@pytest.mark.parametrize(
    ("shape", "tiles", "milliseconds"), [("2b", 1, 0.80), ("2b", 41, 1.03), ("26b", 41, 9.46)]
)
def test_decode(shape: str, tiles: int, milliseconds: float) -> None:
    floor = decode(SHAPES[shape], prompt_tokens(tiles), 1, 2).floor(*CEILINGS)
    assert floor * 1e3 == pytest.approx(milliseconds, rel=0.02)


def test_a_step_behind_more_reads_more() -> None:
    near, far = (decode(SHAPES["26b"], context, 1, 2) for context in (0, 1000))
    assert far.bytes - near.bytes == 1000 * 2 * 2 * 48 * 8 * 128  # bytes, k, v, layers, heads, dim
    eight = decode(SHAPES["26b"], 1000, 8, 2)
    assert eight.flops == 8 * far.flops
    assert eight.bytes - near.bytes == 8 * (far.bytes - near.bytes)
