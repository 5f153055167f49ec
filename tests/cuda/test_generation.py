"""Tokens and beams that the CUDA backend chooses are those of the CPU, and what a step costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .models import counter, emulated


@emulated
def test_decoding_launches_graphs(cuda: Any, load: Any, tokenizer: Any) -> None:
    launched = counter(cuda, "standin_launched_graphs")
    ids = tokenizer("A few words", return_tensors="np").input_ids
    outputs = []
    for device in ("cpu", "cuda:0"):
        before = launched()
        model = load(device).language_model
        outputs.append(model.generate(ids, max_new_tokens=6, min_new_tokens=6, do_sample=False))
    np.testing.assert_array_equal(outputs[1], outputs[0])
    # Of five steps after the prompt, the first only runs.
    assert launched() - before == 4


HALF_OF_THE_VOCABULARY = list(range(0, 2202, 2))

RULES: dict[str, dict[str, Any]] = {  # what the backend chooses tokens by itself
    "greedy": {},
    "penalties": {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2},
    "impossible tokens": {
        "min_length": 9,
        "min_new_tokens": 5,
        "suppress_tokens": HALF_OF_THE_VOCABULARY,
        "begin_suppress_tokens": [5, 5, 4],
    },
    "sampling": {
        "do_sample": True,
        "seed": 3,
        "temperature": 0.7,
        "top_k": 90,
        "top_p": 0.9,
        "repetition_penalty": 0.9,
        "num_return_sequences": 2,
    },
    "log-probabilities": {
        "do_sample": True,
        "seed": 4,
        "repetition_penalty": 1.2,
        "output_logprobs": True,
    },
}

LEFT_TO_THE_HOST: dict[str, dict[str, Any]] = {
    "typical tokens": {"do_sample": True, "seed": 3, "typical_p": 0.5},
    "scores": {"output_scores": True},
    "words": {"bad_words_ids": [[7, 8]]},
    "processors": {"logits_processor": [lambda ids, scores: scores]},
}


def generated(model: Any, tokenizer: Any, tokens: int, settings: dict[str, Any]) -> Any:
    ids = tokenizer("A few words", return_tensors="np").input_ids
    return model.language_model.generate(
        ids, max_new_tokens=tokens, eos_token_id=1, return_dict_in_generate=True, **settings
    )


def assert_same_tokens(actual: Any, expected: Any) -> None:
    np.testing.assert_array_equal(actual.sequences, expected.sequences)
    for one, other in zip(actual.logprobs or (), expected.logprobs or ()):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("checkpoint", ["ckpt_rmsnorm"], indirect=True)
@pytest.mark.parametrize("name", [*RULES, *LEFT_TO_THE_HOST])
def test_tokens(load: Any, tokenizer: Any, name: str) -> None:
    settings = {**RULES, **LEFT_TO_THE_HOST}[name]
    on_cpu, on_gpu = (
        generated(load(device), tokenizer, 6, settings) for device in ("cpu", "cuda:0")
    )
    assert_same_tokens(on_gpu, on_cpu)
    assert (on_gpu.logprobs is not None) == settings.get("output_logprobs", False)


@emulated
@pytest.mark.parametrize("checkpoint", ["ckpt_rmsnorm"], indirect=True)
@pytest.mark.parametrize("name", [*RULES, "scores"])
def test_what_a_step_reads(cuda: Any, load: Any, tokenizer: Any, name: str) -> None:
    settings = {**RULES, **LEFT_TO_THE_HOST}[name]
    model = load("cuda:0")
    read = counter(cuda, "standin_bytes_to_host")
    waited = counter(cuda, "standin_synchronizations")
    before = read(), waited()
    length = generated(model, tokenizer, 4, settings).sequences.shape[1]
    assert length == 4 + len(tokenizer("A few words").input_ids)  # no sequence ended early
    rows = settings.get("num_return_sequences", 1)
    values = 2202 if name in LEFT_TO_THE_HOST else 1 + settings.get("output_logprobs", False)
    assert read() - before[0] == 4 * 4 * rows * values
    assert waited() - before[1] == 4 + 1  # for each token, and for the recording at its end


ENDS = [145, 231, 271, 432, 499, 605, 765, 1265, 1398, 1815, 1859]  # of what the model says

BEAMS: dict[str, dict[str, Any]] = {  # what the backend chooses the candidates of
    "all": {"num_beams": 3, "length_penalty": 2.0, "num_return_sequences": 3},
    "ends": {"num_beams": 4, "eos_token_id": ENDS, "num_return_sequences": 2},
    "early ends": {"num_beams": 3, "eos_token_id": ENDS, "early_stopping": True},
    "late ends": {"num_beams": 2, "eos_token_id": ENDS, "early_stopping": "never"},
    "penalties": {"num_beams": 5, "repetition_penalty": 1.4, "no_repeat_ngram_size": 2},
    "impossible tokens": {
        "num_beams": 2,
        "eos_token_id": ENDS,
        "length_penalty": -1.0,
        "min_new_tokens": 3,
        "suppress_tokens": HALF_OF_THE_VOCABULARY,
    },
    "few tokens": {"num_beams": 2, "suppress_tokens": list(range(3, 2202))},
}

BEAMS_LEFT_TO_THE_HOST: dict[str, dict[str, Any]] = {
    "groups": {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5},
    "drawn": {"num_beams": 2, "do_sample": True, "seed": 2},
    "scores": {"num_beams": 2, "output_scores": True},
    "most ends": {"num_beams": 2, "eos_token_id": list(range(5, 1000))},
}


def beams(model: Any, prompts: int, tokens: int, settings: dict[str, Any]) -> Any:
    return model.language_model.generate(
        np.random.default_rng(0).integers(3, 2000, (prompts, 3)),
        **{"max_new_tokens": tokens, "eos_token_id": 1, **settings},
        output_logprobs=True,
        return_dict_in_generate=True,
    )


@pytest.mark.parametrize("checkpoint", ["ckpt_rmsnorm"], indirect=True)
@pytest.mark.parametrize(("name", "prompts"), list(zip(BEAMS, [1, 1, 2, 3, 1, 1, 1])))
def test_beams(load: Any, name: str, prompts: int) -> None:
    """The beams that the host chooses from the logits of the CPU."""
    on_cpu, on_gpu = (beams(load(device), prompts, 4, BEAMS[name]) for device in ("cpu", "cuda:0"))
    assert_same_tokens(on_gpu, on_cpu)
    np.testing.assert_allclose(on_gpu.sequences_scores, on_cpu.sequences_scores, rtol=1e-5)


@emulated
@pytest.mark.parametrize("checkpoint", ["ckpt_rmsnorm"], indirect=True)
@pytest.mark.parametrize("name", ["penalties", "few tokens", *BEAMS_LEFT_TO_THE_HOST])
def test_what_a_step_of_beams_reads(cuda: Any, load: Any, name: str) -> None:
    settings = {**BEAMS, **BEAMS_LEFT_TO_THE_HOST}[name]
    model = load("cuda:0")
    read = counter(cuda, "standin_bytes_to_host")
    before = read()
    beams(model, 1, 2, settings)
    logits = settings["num_beams"] * 2202
    candidates = 3 * (2 * settings["num_beams"] + 1)  # index, score and log-probability
    if name in BEAMS_LEFT_TO_THE_HOST:
        values = 2 * logits
    elif name == "few tokens":  # impossible ones are equal: the host says which come first
        values = 2 * candidates + logits
    else:
        values = 2 * candidates
    assert read() - before == 4 * values


@pytest.mark.parametrize("checkpoint", ["ckpt_rmsnorm"], indirect=True)
@pytest.mark.parametrize(("dtype", "num_beams"), [("float32", 1), ("bfloat16", 2)])
def test_replayed_steps_have_the_bits_of_eager_ones(load: Any, dtype: str, num_beams: int) -> None:
    """Past a page, where steps are recorded anew. What shows hidden states is not recorded."""
    settings = {
        "num_beams": num_beams,
        "max_new_tokens": 6,
        "min_new_tokens": 6,
        "output_logits": True,
        "return_dict_in_generate": True,
    }
    ids = np.random.default_rng(0).integers(3, 2000, (1, 124))
    model = load("cuda:0", dtype).language_model
    replayed = model.generate(ids, **settings)
    eager = model.generate(ids, **settings, output_hidden_states=True)
    np.testing.assert_array_equal(replayed.sequences, eager.sequences)
    np.testing.assert_array_equal(np.stack(replayed.logits), np.stack(eager.logits))


@pytest.mark.parametrize("checkpoint", ["ckpt_rmsnorm"], indirect=True)
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_the_only_possible_token_becomes_impossible(load: Any, tokenizer: Any, device: str) -> None:
    others = [token for token in range(2202) if token != 2000]
    settings = {"do_sample": True, "suppress_tokens": others, "no_repeat_ngram_size": 1}
    with pytest.raises(RuntimeError, match="probabilities of the next token are not finite"):
        generated(load(device), tokenizer, 2, settings)


def test_decoding_past_a_page(load: Any, tokenizer: Any) -> None:
    ids = tokenizer("a " * 123, return_tensors="np").input_ids
    assert ids.shape[1] < 128 < ids.shape[1] + 6
    outputs = [
        load(device).language_model.generate(ids, max_new_tokens=6, min_new_tokens=6)
        for device in ("cpu", "cuda:0")
    ]
    np.testing.assert_array_equal(outputs[1], outputs[0])


def test_beams_share_pages(load: Any, tokenizer: Any) -> None:
    outputs = [
        model.language_model.generate(
            tokenizer("A few words", return_tensors="np").input_ids, num_beams=2, max_new_tokens=3
        )
        for model in (load("cpu"), load("cuda:0"))
    ]
    np.testing.assert_array_equal(outputs[1], outputs[0])
