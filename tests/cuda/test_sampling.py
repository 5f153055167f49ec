"""Choosing tokens: the same ones as csrc/generation chooses on the host, given the same scores and
uniform numbers."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.backend.numerics import Array, random

from .device import (
    Buffer,
    DeviceError,
    Sampling,
    TokenRows,
    call,
    library,
    matrix,
    size,
    vector,
)  # fmt: skip

VOCABULARIES = [1, 7, 1024, 2501]
VOCABULARY = 151_674  # the largest of the InternVL family


@pytest.fixture(autouse=True)
def ascending_threads() -> Iterator[None]:
    yield
    library().device_seed(0)


def numbers(buffer: Buffer, dtype: Any) -> Array:
    return buffer.bytes().view(dtype)


def logits(rows: int, vocab_size: int, spread: float = 4.0, seed: int = 0) -> Array:
    return spread * random(rows, vocab_size, seed=seed)


def host(values: Array) -> ctypes.c_void_p:
    return values.ctypes.data_as(ctypes.c_void_p)


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


class Histories:
    """What rows have so far: nothing, one token, and many of few."""

    def __init__(self, rows: int, vocab_size: int) -> None:
        rng = np.random.default_rng(0)
        self.tokens = rng.integers(0, min(vocab_size, 30), (rows, 1500)).astype(np.int32)
        self.lengths = np.resize([0, 1400, 1, 5], rows).astype(np.int32)
        self.on_device = vector(self.tokens, "sequences"), vector(self.lengths, "lengths")
        first, lengths = (buffer.address for buffer in self.on_device)
        self.struct = TokenRows(first, self.tokens.shape[1], lengths)


# temperature, top_k, top_p, min_tokens_to_keep
SAMPLINGS = [
    (1.0, 0, 1.0, 1),
    (0.7, 0, 1.0, 1),
    (1.0, 1, 1.0, 1),
    (0.3, 50, 1.0, 1),
    (1.0, 0, 0.9, 1),
    (1.3, 20, 0.6, 1),
    (1.0, 0, 0.0, 3),
    (2.0, 2, 0.25, 5),
]


def check_sample(
    scores: Array, sampling: tuple[float, int, float, int], penalty: float = 1.0, ngram: int = 0,
    seed: int = 0,
) -> None:  # fmt: skip
    temperature, top_k, top_p, min_tokens = sampling
    top_p = float(np.float32(top_p))  # C functions get float32
    rows, vocab_size = scores.shape
    histories = Histories(rows, vocab_size)
    processed, expected = scores.copy(), np.empty(rows, np.int32)
    uniforms = np.empty(rows)
    call(
        "generation_sample", host(expected), host(uniforms), host(processed), rows, vocab_size,
        host(histories.tokens), histories.tokens.shape[1], host(histories.lengths), penalty, ngram,
        temperature, top_k, top_p, min_tokens, seed,
    )  # fmt: skip
    actual = matrix(scores, padding=1)
    if penalty != 1.0:
        call("repetition_penalty", actual, histories.struct, penalty)
    if ngram:
        call("no_repeat_ngram", actual, histories.struct, ngram)
    tokens = Buffer("tokens", 4 * rows)
    arguments = Sampling(temperature, top_k, top_p, min_tokens)
    call("sample", tokens, vector(uniforms, "uniforms"), actual, arguments)
    np.testing.assert_array_equal(actual.array(), processed)
    np.testing.assert_array_equal(numbers(tokens, np.int32), expected)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("vocab_size", VOCABULARIES)
def test_sample(vocab_size: int, sampling: tuple[float, int, float, int]) -> None:
    seed = SAMPLINGS.index(sampling)
    library().device_seed(seed)
    check_sample(logits(3, vocab_size, seed=seed), sampling, seed=seed)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_sample_among_equals(sampling: tuple[float, int, float, int]) -> None:
    """Of equal scores top-p removes the first ones; top-k keeps all that are equal to the k-th."""
    scores = np.round(random(4, 30))
    scores[1] = 3.0
    scores[2, ::2] = -np.inf
    scores[3] = np.where(np.arange(30) % 16 == 1, 0.0, -np.inf)
    check_sample(scores, sampling, seed=SAMPLINGS.index(sampling))


@pytest.mark.parametrize("rows", [1, 64])
def test_sample_rows_of_a_batch(rows: int) -> None:
    check_sample(logits(rows, 333), (0.8, 0, 1.0, 1), seed=7)


@pytest.mark.parametrize("sampling", [(0.7, 0, 1.0, 1), (1.0, 50, 0.8, 1)])
def test_sample_from_the_largest_vocabulary(sampling: tuple[float, int, float, int]) -> None:
    check_sample(logits(2, VOCABULARY), sampling, penalty=1.1, ngram=3, seed=2)


@pytest.mark.parametrize("penalty", [1.0, 1.3, 0.7])
@pytest.mark.parametrize("ngram", [0, 1, 2, 3, 1401])
@pytest.mark.parametrize("vocab_size", [40, 1031])
def test_processors(vocab_size: int, ngram: int, penalty: float) -> None:
    check_sample(logits(4, vocab_size), (1.0, 0, 1.0, 1), penalty, ngram)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, None])
def test_sample_from_what_is_no_distribution(wrong: float | None) -> None:
    scores = logits(3, 70)
    if wrong is None:
        scores[1] = -np.inf
    else:
        scores[1, 69] = wrong
    tokens = Buffer("tokens", 12)
    call("sample", tokens, vector(np.array([0.0, 0.5, 0.999]), "uniforms"), matrix(scores),
         Sampling(1.0, 5, 0.9, 1))  # fmt: skip
    actual = numbers(tokens, np.int32)
    assert actual[1] == -1
    assert min(actual[0], actual[2]) >= 0

    call("log_probability", out := Buffer("out", 12), vector(actual, "tokens"), 1, 1,
         matrix(scores))  # fmt: skip
    np.testing.assert_array_equal(np.isnan(numbers(out, np.float32)), [False, True, False])
    call("log_softmax", normalized := matrix(scores))
    np.testing.assert_array_equal(np.isnan(normalized.array()).all(1), [False, True, False])


def test_suppress() -> None:
    scores = matrix(logits(3, 70), padding=2)
    expected = scores.array().copy()
    expected[:, [69, 3]] = -np.inf
    call("suppress", scores, vector(np.array([69, 3], np.int32), "tokens"), 2)
    np.testing.assert_array_equal(scores.array(), expected)


@pytest.mark.parametrize("vocab_size", [*VOCABULARIES, VOCABULARY])
def test_log_probabilities(vocab_size: int) -> None:
    """Within two units of the last place of the host's, whose exponentials are other ones."""
    scores = logits(2, vocab_size)
    scores[0, 1::3] = -np.inf
    expected, normalizers = scores.copy(), np.empty(2)
    call("generation_log_softmax", host(expected), host(normalizers), 2, vocab_size)
    tokens = np.array([0, vocab_size - 1], np.int32)
    call("log_probability", out := Buffer("out", 8), vector(tokens, "tokens"), 1, 1,
         matrix(scores))  # fmt: skip
    chosen = (scores[[0, 1], tokens] - normalizers).astype(np.float32)
    np.testing.assert_array_max_ulp(numbers(out, np.float32), chosen, 2)
    call("log_softmax", actual := matrix(scores, padding=1))
    np.testing.assert_array_max_ulp(actual.array(), expected, 2)


def test_log_probabilities_of_candidates() -> None:
    prompts, beams, vocab_size, count = 2, 3, 70, 5
    scores = logits(prompts * beams, vocab_size)
    scores[4, 1] = np.nan
    indices = np.arange(3, 3 + 23 * prompts * count, 23, dtype=np.int32) % (beams * vocab_size)
    call("log_probability", out := Buffer("out", 4 * prompts * count), vector(indices, "indices"),
         beams, count, matrix(scores, padding=1))  # fmt: skip
    exact = scores.astype(np.float64)
    exact -= np.log(np.exp(exact).sum(1, keepdims=True))
    expected = np.take_along_axis(exact.reshape(prompts, -1), indices.reshape(prompts, -1), 1)
    assert np.isnan(expected).any()
    np.testing.assert_allclose(numbers(out, np.float32), expected.ravel(), rtol=1e-6)


@pytest.mark.parametrize(("prompts", "beams"), [(1, 1), (2, 3)])
@pytest.mark.parametrize("vocab_size", VOCABULARIES)
def test_beam_candidates(vocab_size: int, prompts: int, beams: int) -> None:
    library().device_seed(beams)
    scores = np.round(4 * random(prompts * beams, vocab_size)) / 4  # many equal ones
    sums = random(prompts * beams, seed=1)
    count = min(2 * beams, beams * vocab_size)
    indices, values = beam_step(scores, sums, beams, count)
    totals = (scores + sums[:, None]).reshape(prompts, -1)
    order = np.argsort(-totals, 1, kind="stable")[:, :count]
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(values, np.take_along_axis(totals, order, 1))


def beam_step(scores: Array, sums: Array, beams: int, count: int) -> tuple[Array, Array]:
    prompts = len(scores) // beams
    indices, values = Buffer("indices", 4 * prompts * count), Buffer("values", 4 * prompts * count)
    workspace = Buffer("workspace", size("beam_workspace_bytes", len(scores), count))
    call("beam_candidates", indices, values, matrix(scores, padding=3), vector(sums, "sums"), beams,
         count, workspace)  # fmt: skip
    shape = (prompts, count)
    return numbers(indices, np.int32).reshape(shape), numbers(values, np.float32).reshape(shape)


@pytest.mark.parametrize(("beams", "vocab_size"), [(3, 1031), (5, 40), (2, VOCABULARY)])
def test_a_step_of_beams_is_the_one_of_the_host(beams: int, vocab_size: int) -> None:
    scores = logits(beams, vocab_size)
    scores[0, 5] = np.nan if beams == 5 else 0.0  # comes first
    sums = random(beams, seed=1)
    indices, values = beam_step(scores, sums, beams, 2 * beams)
    totals = scores + sums[:, None]
    expected, best = np.empty(2 * beams, np.int32), np.empty(2 * beams, np.float32)
    call("generation_top_k", host(expected), host(best), host(totals), totals.size, 2 * beams)
    np.testing.assert_array_equal(indices[0], expected)
    np.testing.assert_array_equal(values[0], best)


def test_most_candidates() -> None:
    totals = logits(2, 900)
    indices, _ = beam_step(totals, np.zeros(2, np.float32), 2, 1024)
    np.testing.assert_array_equal(indices[0], np.argsort(-totals.ravel(), kind="stable")[:1024])


def test_arguments_are_checked() -> None:
    row, out = matrix(random(1, 7)), Buffer("out", 64)
    with pytest.raises(DeviceError, match="temperature: expected a positive number, got 0"):
        call("sample", out, out, row, Sampling(0.0, 0, 1.0, 1))
    with pytest.raises(DeviceError, match="count: expected 1 to 7, got 8"):
        call("beam_candidates", out, out, row, out, 1, 8, out)
    with pytest.raises(DeviceError, match="expected float32 of 1 to 262143 columns, got 262144"):
        call("argmax", out, matrix(np.zeros((1, 262144), np.float32)))
    with pytest.raises(DeviceError, match="log_probability: scores: expected a multiple of 2 rows"):
        call("log_probability", out, out, 2, 1, row)
    with pytest.raises(DeviceError, match="size: expected at least 1, got 0"):
        call("no_repeat_ngram", row, TokenRows(), 0)
