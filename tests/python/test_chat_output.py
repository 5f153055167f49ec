"""chat(..., return_output=True): tokens and log-probabilities without a second pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

CONFIG = {"max_new_tokens": 5}
SEARCHES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "sampling": {"do_sample": True, "seed": 4, "temperature": 0.8},
    "beams": {"num_beams": 3},
    "penalised": {"repetition_penalty": 2.0},
}


def scored_by_forward(model: Any, tokenizer: Any, question: str, token_ids: Any) -> np.ndarray:
    """Log-probabilities of an answer from a forward pass over the prompt and the answer."""
    template = model.conv_template.copy()
    template.system_message = model.system_message
    template.append_message(template.roles[0], question)
    template.append_message(template.roles[1], None)
    prompt = tokenizer(template.get_prompt())["input_ids"]
    ids = np.asarray([[*prompt, *token_ids]])
    logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1].astype(np.float64)
    table = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return np.asarray(table[np.arange(len(token_ids)), token_ids])


@pytest.mark.parametrize("search", SEARCHES)
def test_logprobs_are_those_of_forward(fast_model: Any, tokenizer: Any, search: str) -> None:
    config = dict(CONFIG, **SEARCHES[search])
    answer, output = fast_model.chat(tokenizer, None, "Hello", dict(config), return_output=True)
    assert answer == fast_model.chat(tokenizer, None, "Hello", dict(config))
    assert np.asarray(output.logprobs).dtype == np.float32  # torch's where torch is loaded
    expected = scored_by_forward(fast_model, tokenizer, "Hello", output.token_ids.tolist())
    np.testing.assert_allclose(output.logprobs, expected, atol=2e-5)
    text = tokenizer.decode(output.token_ids, skip_special_tokens=True)
    assert text.split(fast_model.conv_template.sep.strip())[0].strip() == answer
    assert (output.sequences_scores is not None) == (search == "beams")
    assert output.scores is None
    assert output.logits is None
    assert output.hidden_states is None


def test_last_of_what_is_returned(fast_model: Any, tokenizer: Any) -> None:
    _, history, output = fast_model.chat(
        tokenizer, None, "Hello", dict(CONFIG), return_history=True, return_output=True
    )
    assert len(history) == 1
    assert len(output.token_ids) == len(output.logprobs)
    _, histories, outputs = fast_model.batch_chat(
        tokenizer, None, ["a", "b"], dict(CONFIG), return_history=True, return_output=True
    )
    assert len(histories) == len(outputs) == 2
    config = dict(CONFIG)
    fast_model.chat(tokenizer, None, "Hello", config, return_output=True)
    assert set(config) == {"max_new_tokens", "eos_token_id"}


@pytest.mark.parametrize("search", ["greedy", "beams", "penalised"])
def test_batch_as_alone(fast_model: Any, tokenizer: Any, search: str) -> None:
    """Also where one answer of a batch ends long before the other."""
    questions = ["Hello", "A longer question about a street and the houses in it"]
    config = dict(CONFIG, **SEARCHES[search], output_scores=True, output_logits=True)
    config["output_hidden_states"] = True
    _, outputs = fast_model.batch_chat(
        tokenizer, None, questions, dict(config), return_output=True, num_patches_list=[[], []]
    )
    for question, together in zip(questions, outputs):
        _, alone = fast_model.chat(tokenizer, None, question, dict(config), return_output=True)
        np.testing.assert_array_equal(together.token_ids, alone.token_ids)
        np.testing.assert_array_equal(together.logprobs, alone.logprobs)
        for name in ("scores", "logits"):
            for step, same in zip(together[name], alone[name]):
                np.testing.assert_array_equal(step, same)
        for layers, same_layers in zip(together.hidden_states[1:], alone.hidden_states[1:]):
            for layer, same in zip(layers, same_layers):
                np.testing.assert_array_equal(layer, same)
        if search == "beams":
            np.testing.assert_array_equal(together.beam_indices, alone.beam_indices)
            assert together.sequences_scores == alone.sequences_scores
        else:
            assert len(together.scores) == len(together.hidden_states) == len(together.token_ids)


def test_scores_of_sampling_are_the_processed_ones(fast_model: Any, tokenizer: Any) -> None:
    config = dict(CONFIG, do_sample=True, seed=1, top_k=3, output_scores=True, output_logits=True)
    _, output = fast_model.chat(tokenizer, None, "Hello", config, return_output=True)
    fields = ("token_ids", "scores", "logits", "logprobs")
    for token, scores, logits, logprob in zip(
        *([np.asarray(value) for value in output[name]] for name in fields)
    ):
        assert np.isfinite(scores).sum() == 3
        assert np.isfinite(scores[token])
        exact = logits.astype(np.float64)
        assert logprob == pytest.approx(exact[token] - np.log(np.exp(exact).sum()), abs=1e-5)


def test_dicts_are_asked_for_by_keyword(fast_model: Any, tokenizer: Any) -> None:
    config = dict(CONFIG, return_dict_in_generate=True)
    with pytest.raises(ValueError, match="return_output=True"):
        fast_model.chat(tokenizer, None, "Hello", dict(config))
    assert fast_model.chat(tokenizer, None, "Hello", dict(config), return_output=True)
