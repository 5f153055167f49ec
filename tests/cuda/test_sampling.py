"""Choosing tokens, exactly."""

from __future__ import annotations

import numpy as np
import pytest
from tests.backend.numerics import Array, random

from .device import Buffer, DeviceError, call, library, matrix, vector

VOCABULARIES = [1, 7, 1024, 2500]


def numbers(buffer: Buffer, dtype: type) -> Array:
    return buffer.bytes().view(dtype)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("vocab_size", VOCABULARIES)
def test_argmax(vocab_size: int, seed: int) -> None:
    library().device_seed(seed)
    scores = np.round(2 * random(4, vocab_size))  # many equal ones, and both zeros
    scores[1] = -np.inf
    scores[2] = np.where(np.arange(vocab_size) % 5 == 4, np.nan, scores[2])
    scores[3] = np.where(np.arange(vocab_size) % 2, 0.0, -0.0)
    tokens = Buffer("tokens", 16)
    call("argmax", tokens, matrix(scores, padding=3))
    expected = [scores[0].argmax(), 0, scores[2].argmax(), 0]  # numpy's NaN is the largest, too
    np.testing.assert_array_equal(numbers(tokens, np.int32), expected)


@pytest.mark.parametrize("penalty", [1.3, 0.7])
def test_repetition_penalty(penalty: float) -> None:
    rng = np.random.default_rng(0)
    scores = random(3, 50)
    sequences = rng.integers(0, 50, (3, 1500)).astype(np.int32)
    lengths = np.array([0, 3, 1400], np.int32)
    expected = scores.copy()
    for row, length in enumerate(lengths):
        for token in np.unique(sequences[row, :length]):
            score, factor = scores[row, token], np.float32(penalty)
            expected[row, token] = score * factor if score < 0 else score / factor
    actual = matrix(scores)
    call("repetition_penalty", actual, vector(sequences, "sequences"), 1500,
         vector(lengths, "lengths"), penalty)  # fmt: skip
    np.testing.assert_array_equal(actual.array(), expected)


@pytest.mark.parametrize("vocab_size", VOCABULARIES)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_temperature_top_k(temperature: float, vocab_size: int) -> None:
    scores = np.stack(
        [random(vocab_size), np.round(random(vocab_size)), -(random(vocab_size) ** 2)]
    )
    scores[2, ::3] = -np.inf
    for k in {0, 1, min(50, vocab_size), vocab_size}:
        expected = scores / np.float32(temperature)
        if k:
            threshold = np.sort(expected, 1)[:, vocab_size - k, None]
            expected = np.where(expected < threshold, -np.inf, expected)
        actual = matrix(scores, padding=1)
        call("temperature_top_k", actual, temperature, k)
        np.testing.assert_array_equal(actual.array(), expected)


@pytest.mark.parametrize(("prompts", "beams"), [(1, 1), (2, 3)])
@pytest.mark.parametrize("vocab_size", VOCABULARIES)
def test_beam_candidates(vocab_size: int, prompts: int, beams: int) -> None:
    scores = np.round(4 * random(prompts * beams, vocab_size)) / 4
    sums = random(prompts * beams, seed=1)
    count = min(2 * beams, beams * vocab_size)
    indices, values = Buffer("indices", 4 * prompts * count), Buffer("values", 4 * prompts * count)
    call("beam_candidates", indices, values, matrix(scores), vector(sums, "sums"), beams, count)
    totals = (scores + sums[:, None]).reshape(prompts, -1)
    order = np.argsort(-totals, 1, kind="stable")[:, :count]
    np.testing.assert_array_equal(numbers(indices, np.int32).reshape(prompts, -1), order)
    np.testing.assert_array_equal(
        numbers(values, np.float32).reshape(prompts, -1), np.take_along_axis(totals, order, 1)
    )


def test_top_k_refuses_more_than_there_are() -> None:
    with pytest.raises(DeviceError, match="k: expected 0 to 7, got 8"):
        call("temperature_top_k", matrix(random(1, 7)), 1.0, 8)
