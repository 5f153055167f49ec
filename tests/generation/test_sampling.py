"""Probabilities against the goldens, and random choice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from internvl_native import _core
from internvl_native.generation import GenerationConfig, generate, manual_seed
from internvl_native.generation.prepare import build_core_config, resolve_config

from .hash_model import HashModel, logits_of, model_config

DATA = Path(__file__).parents[1] / "data"
GOLDEN = json.loads((DATA / "sampling.json").read_text())
ARRAYS = np.load(DATA / "sampling.npz")


def probabilities(
    parameters: dict[str, Any], sequence: list[int], logits: NDArray[np.float32]
) -> NDArray[np.float64]:
    defaults = GenerationConfig.from_model_config(model_config(logits.size))
    config = resolve_config({**parameters, "do_sample": True, "seed": 0}, None, defaults)
    core = build_core_config(config, defaults, logits.size)
    scores = _core.process_scores(core, [sequence], logits[np.newaxis])[0].astype(np.float64)
    weights: NDArray[np.float64] = np.exp(scores - scores.max())
    weights /= weights.sum()
    return weights


@pytest.mark.parametrize("entry", GOLDEN["entries"], ids=lambda entry: entry["key"])
def test_golden_probabilities(entry: dict[str, Any]) -> None:
    logits = ARRAYS[f"logits_{entry['step']}"].reshape(-1)
    got = probabilities(entry["config"], entry["generated"], logits)
    want = ARRAYS[entry["key"]]
    assert np.array_equal(got > 0, want > 0)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-9)


def sample(count: int, **parameters: Any) -> list[list[int]]:
    kwargs = {"do_sample": True, "max_new_tokens": 1, "num_return_sequences": count, **parameters}
    result: list[list[int]] = generate(HashModel([7]), kwargs, model_config=model_config()).tolist()
    return result


def test_frequencies_are_the_probabilities() -> None:
    count = 4000
    tokens = np.array(sample(count, seed=11, temperature=2.0))[:, 1]
    want = probabilities({"temperature": 2.0}, [1], logits_of(7, [], 40))
    got = np.bincount(tokens, minlength=40) / count
    assert np.abs(got - want).max() < 4 * np.sqrt(0.25 / count)


def test_first_return_sequence_does_not_depend_on_the_others() -> None:
    assert sample(1, seed=3, max_new_tokens=8)[0] == sample(5, seed=3, max_new_tokens=8)[0]


def test_seed_decides() -> None:
    assert sample(8, seed=1) == sample(8, seed=1)
    assert sample(8, seed=1) != sample(8, seed=2)
    assert sample(8, seed=-1) == sample(8, seed=2**64 - 1)


def test_manual_seed_makes_a_run_reproducible() -> None:
    manual_seed(5)
    first, second = sample(8), sample(8)
    assert first != second
    manual_seed(5)
    assert [sample(8), sample(8)] == [first, second]
    manual_seed(6)
    assert sample(8) != first
    with pytest.raises(TypeError, match="seed"):
        manual_seed(1.5)  # type: ignore[arg-type]


def test_greedy_calls_draw_no_seed() -> None:
    manual_seed(9)
    expected = sample(4)
    manual_seed(9)
    generate(HashModel([7]), {"max_new_tokens": 3}, model_config=model_config())
    assert sample(4) == expected


class InvalidModel(HashModel):
    def prefill(self) -> NDArray[np.float32]:
        return np.full((1, 40), np.nan, dtype=np.float32)


def test_nan_logits_are_an_error_when_sampling() -> None:
    with pytest.raises(RuntimeError, match="not finite"):
        generate(InvalidModel([1]), {"do_sample": True}, model_config=model_config())
