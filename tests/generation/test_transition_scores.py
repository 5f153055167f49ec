"""Token scores add up to what the searches report."""

from __future__ import annotations

import numpy as np
import pytest

from internvl_native.generation import compute_transition_scores, generate

from .hash_model import HashModel, logits_of, model_config

KEEP = {"return_dict_in_generate": True, "output_scores": True, "max_new_tokens": 8}


def test_greedy_log_probabilities() -> None:
    output = generate(HashModel([3, 4]), {**KEEP, "eos_token_id": -1}, model_config=model_config())
    got = compute_transition_scores(output.sequences, output.scores, normalize_logits=True)
    tokens = output.sequences[1, 1:].tolist()
    logits = np.stack([logits_of(4, tokens[:n], 40) for n in range(8)]).astype(np.float64)
    want = logits.max(axis=1) - np.log(np.exp(logits).sum(axis=1))
    np.testing.assert_allclose(got[1], want, rtol=1e-5)
    raw = compute_transition_scores(output.sequences, output.scores)
    np.testing.assert_array_equal(raw[1], logits.max(axis=1).astype(np.float32))


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_beam_scores_add_up(length_penalty: float) -> None:
    parameters = {"num_beams": 4, "num_return_sequences": 4, "length_penalty": length_penalty}
    output = generate(
        HashModel([3, 4]),
        {**KEEP, **parameters, "eos_token_id": 11, "max_new_tokens": 5},
        model_config=model_config(),
    )
    scores = compute_transition_scores(output.sequences, output.scores, output.beam_indices)
    lengths = (output.beam_indices >= 0).sum(axis=1)
    assert len(set(lengths.tolist())) > 1
    totals = scores.sum(axis=1) / lengths**length_penalty
    np.testing.assert_allclose(totals, output.sequences_scores, rtol=1e-5)
