"""Log-probabilities of generated tokens: those of the logits, in every search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from internvl_native.generation import generate

from .hash_model import HashModel, logits_of, model_config

SEARCHES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "sampling": {
        "do_sample": True,
        "seed": 3,
        "temperature": 0.7,
        "top_k": 9,
        "num_return_sequences": 2,
    },
    "processed": {"repetition_penalty": 1.7, "no_repeat_ngram_size": 2},
    "contrastive": {"penalty_alpha": 0.5, "top_k": 4},
    "beams": {"num_beams": 4, "num_return_sequences": 3},
    "beams with scores": {"num_beams": 3, "output_scores": True},
    "beam sampling": {"num_beams": 3, "do_sample": True, "seed": 5},
    "groups": {
        "num_beams": 4,
        "num_beam_groups": 2,
        "diversity_penalty": 0.4,
        "num_return_sequences": 4,
    },
}


def log_softmax(row: np.ndarray) -> np.ndarray:
    exact = row.astype(np.float64)
    return np.asarray(exact - np.log(np.exp(exact).sum()))


def expected(prompt: int, tokens: list[int]) -> np.ndarray:
    """What the model itself says about each token after those before it."""
    rows = [logits_of(prompt, tokens[:i], 40) for i in range(len(tokens))]
    return np.asarray([log_softmax(row)[token] for row, token in zip(rows, tokens)])


@pytest.mark.parametrize("eos", [None, 7, [3, 11, 19]])
@pytest.mark.parametrize("search", SEARCHES)
def test_of_the_models_own_distribution(search: str, eos: Any) -> None:
    options = dict(SEARCHES[search], max_new_tokens=9)
    if eos is not None:
        options["eos_token_id"] = eos
    prompts = [4, 8]
    output = generate(
        HashModel(prompts),
        dict(options, return_dict_in_generate=True, output_logprobs=True),
        model_config=model_config(),
    )
    assert np.array_equal(
        output.sequences, generate(HashModel(prompts), options, model_config=model_config())
    )
    each = len(output.sequences) // len(prompts)
    assert len(output.logprobs) == len(output.sequences)
    for row, (sequence, logprobs) in enumerate(zip(output.sequences, output.logprobs)):
        tokens = sequence[1 : 1 + len(logprobs)].tolist()
        assert logprobs.dtype == np.float32
        # Results of beams show the first eos, whichever ended them: the one that did is meant.
        endings = eos if isinstance(eos, list) and tokens[-1] == eos[0] else tokens[-1:]
        versions = [expected(prompts[row // each], [*tokens[:-1], end]) for end in endings]
        assert any(np.allclose(logprobs, version, rtol=2e-6) for version in versions)


def test_nothing_is_kept_that_was_not_asked_for() -> None:
    options = {"max_new_tokens": 4, "return_dict_in_generate": True}
    assert generate(HashModel([1]), options, model_config=model_config()).logprobs is None


def test_scores_of_beams_come_with_them() -> None:
    options = {"num_beams": 3, "max_new_tokens": 5, "return_dict_in_generate": True}
    with_scores = generate(
        HashModel([1]), dict(options, output_scores=True), model_config=model_config()
    )
    with_logprobs = generate(
        HashModel([1]), dict(options, output_logprobs=True), model_config=model_config()
    )
    assert np.array_equal(with_scores.sequences_scores, with_logprobs.sequences_scores)
    assert with_logprobs.beam_indices is None
    total = with_logprobs.logprobs[0].sum() / len(with_logprobs.logprobs[0])
    assert total == pytest.approx(with_logprobs.sequences_scores[0], rel=1e-5)
