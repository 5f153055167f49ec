"""What is refused, with which error, and what is harmless."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from internvl_native.generation import GenerationConfig, generate, prepare_generation

from .hash_model import HashModel, model_config

SAMPLE = {"do_sample": True}
BEAMS = {"num_beams": 3}
LOOKUP = {"prompt_lookup_num_tokens": 2}


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"foo": 1}, ValueError, r"model_kwargs` are not used by the model: \['foo'\]"),
        ({"bos_token_id": None}, ValueError, "`bos_token_id` has to be defined"),
        ({"max_new_tokens": -3}, ValueError, "max_new_tokens"),
        ({"max_new_tokens": 10**12}, ValueError, "max_new_tokens"),
        ({"max_new_tokens": "8"}, TypeError, "max_new_tokens"),
        ({"max_new_tokens": float("nan")}, ValueError, "max_new_tokens"),
        ({"max_length": None}, TypeError, "max_length"),
        ({"max_length": -1}, ValueError, "max_length"),
        ({"max_time": float("nan")}, ValueError, "max_time"),
        ({"temperature": float("nan")}, ValueError, "temperature"),
        ({**SAMPLE, "temperature": float("nan")}, ValueError, "temperature"),
        ({**SAMPLE, "temperature": float("inf")}, ValueError, "temperature"),
        ({**SAMPLE, "temperature": "1"}, ValueError, "temperature"),
        ({**SAMPLE, "temperature": -1.0}, ValueError, "strictly positive float"),
        ({**SAMPLE, "temperature": 0.0}, ValueError, "greedy decoding.*do_sample=False"),
        ({**SAMPLE, "top_k": -1}, ValueError, "`top_k` has to be a strictly positive integer"),
        ({**SAMPLE, "top_k": 5.0}, ValueError, "`top_k`"),
        ({**SAMPLE, "top_p": -0.1}, ValueError, "`top_p`"),
        ({**SAMPLE, "top_p": "0.5"}, TypeError, "`top_p`"),
        ({**SAMPLE, "typical_p": 0.0}, ValueError, "`typical_p`"),
        ({**SAMPLE, "seed": 1.5}, TypeError, "`seed`"),
        ({**SAMPLE, "num_return_sequences": 0}, ValueError, "num_return_sequences"),
        ({**SAMPLE, "num_return_sequences": 10**9}, ValueError, "num_return_sequences"),
        ({"num_return_sequences": 2}, ValueError, r"Greedy methods.*\(got 2\)"),
        ({"repetition_penalty": -1.0}, ValueError, "`repetition_penalty` has to be a strictly"),
        ({"repetition_penalty": 0.0}, ValueError, "`repetition_penalty`"),
        ({"repetition_penalty": 2}, ValueError, "`repetition_penalty`"),
        ({"repetition_penalty": float("inf")}, ValueError, "`repetition_penalty`"),
        ({"repetition_penalty": 2.0, "bos_token_id": 40}, ValueError, "bos_token_id"),
        pytest.param({"max_new_tokens": 10**400}, ValueError, "max_new_tokens", id="huge length"),
        pytest.param({"eos_token_id": 10**400}, ValueError, "`eos_token_id` has", id="huge id"),
        pytest.param({**SAMPLE, "seed": -(10**400)}, ValueError, "`seed` has", id="huge seed"),
        ({"no_repeat_ngram_size": 2.0}, ValueError, "`no_repeat_ngram_size`.*but is 2.0"),
        ({"min_length": 2.0}, ValueError, "`min_length`"),
        ({"min_new_tokens": 3, "eos_token_id": 99}, ValueError, "eos_token_id.*99"),
        ({"eos_token_id": "x"}, TypeError, "eos_token_id"),
        ({"bad_words_ids": []}, ValueError, "`bad_words_ids` has to be a non-empty list"),
        ({"bad_words_ids": [5]}, ValueError, "list of lists"),
        ({"bad_words_ids": [[40]]}, ValueError, r"vocabulary size is 40.*\[40\]"),
        ({"sequence_bias": {}}, ValueError, "non-empty dictionary"),
        ({"sequence_bias": {(1,): 1}}, ValueError, "floats as values"),
        ({"sequence_bias": {5: 1.0}}, ValueError, "tuples as keys"),
        ({"suppress_tokens": [40]}, ValueError, "`suppress_tokens`.*40"),
        ({"forced_bos_token_id": -41}, ValueError, "`forced_bos_token_id`"),
        ({"early_stopping": None}, ValueError, "`early_stopping` must be a boolean or 'never'"),
        ({"num_beams": 0}, ValueError, "`num_beams` has to be an integer strictly greater than 1"),
        ({"num_beams": 2.0}, ValueError, "`num_beams`"),
        ({"num_beams": 10**9}, ValueError, "`num_beams`"),
        ({**BEAMS, "num_return_sequences": 4}, ValueError, "smaller or equal to `num_beams`"),
        ({**BEAMS, "length_penalty": None}, TypeError, "length_penalty"),
        ({**BEAMS, "length_penalty": float("inf")}, ValueError, "length_penalty"),
        ({**BEAMS, "num_beam_groups": 2, "diversity_penalty": 1.0}, ValueError, "divisible"),
        ({**BEAMS, "num_beam_groups": 3}, ValueError, "diversity_penalty"),
        ({**BEAMS, "diversity_penalty": 0.5}, ValueError, "`num_beam_groups`"),
        ({**BEAMS, "num_beam_groups": 0, "diversity_penalty": 1.0}, ValueError, "divisible"),
        ({"diversity_penalty": 0.5}, ValueError, "`num_beams`"),
        ({"penalty_alpha": 0.5, "top_k": 41}, ValueError, "`top_k`"),
        ({"encoder_repetition_penalty": 2.0}, ValueError, "embeddings"),
        ({"encoder_no_repeat_ngram_size": 2}, ValueError, "embeddings"),
        ({"guidance_scale": 2.0}, NotImplementedError, "guidance_scale"),
        ({"constraints": [1]}, NotImplementedError, "constraints"),
        ({"force_words_ids": [[1]]}, NotImplementedError, "force_words_ids"),
        ({**LOOKUP, **BEAMS}, ValueError, "`prompt_lookup_num_tokens` is only supported"),
        ({**LOOKUP, "penalty_alpha": 0.5, "top_k": 4}, ValueError, "is only supported"),
        ({**LOOKUP, **SAMPLE, "num_return_sequences": 2}, ValueError, "`num_return_sequences`"),
        ({"prompt_lookup_num_tokens": 0}, ValueError, "`prompt_lookup_num_tokens`.* at least 1"),
        ({"prompt_lookup_num_tokens": 2.0}, TypeError, "`prompt_lookup_num_tokens`"),
        ({**LOOKUP, "max_matching_ngram_size": 0}, ValueError, "`max_matching_ngram_size`"),
        ({"assistant_model": object()}, NotImplementedError, "Assisted"),
        *[
            ({**SAMPLE, name: "x"}, (TypeError, ValueError), name)
            for name in (
                "min_length",
                "min_new_tokens",
                "no_repeat_ngram_size",
                "top_k",
                "max_time",
            )
        ],
        ({"penalty_alpha": "x"}, TypeError, "penalty_alpha"),
        ({"top_k": "x"}, TypeError, "top_k"),
        ({"pad_token_id": 0.0}, TypeError, "pad_token_id"),
        ({"forced_decoder_ids": [3]}, ValueError, "pairs"),
        ({"forced_decoder_ids": [[3]]}, ValueError, r"pairs.*\[\[3\]\]"),
        ({"exponential_decay_length_penalty": 3}, ValueError, "pair"),
        ({"num_beams": "x", "num_return_sequences": 2}, TypeError, "num_beams"),
        ({"num_beams": "x"}, (TypeError, ValueError), "num_beams"),
        ({"streamer": object()}, TypeError, "streamer"),
        ({"stopping_criteria": 5}, TypeError, "stopping_criteria"),
        ({"logits_processor": [None]}, TypeError, "logits_processor"),
        (
            {"output_attentions": True, "return_dict_in_generate": True},
            NotImplementedError,
            "output_attentions",
        ),
    ],
    ids=str,
)
def test_refused_before_any_arithmetic(
    parameters: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        prepare_generation(parameters, model_config=model_config())


GREEDY = {"max_new_tokens": 6}


@pytest.mark.parametrize(
    "parameters",
    [
        {"temperature": None, "top_p": None, "top_k": None, "repetition_penalty": None},
        {"temperature": 0.0, "top_p": 0.1, "top_k": 3},
        {"foo": None, "use_cache": False, "output_attentions": True, "output_hidden_states": True},
        {"num_beams": None, "early_stopping": True, "length_penalty": 2.0},
        {"max_length": 3},
        {"max_new_tokens": 5.5},
        {"max_new_tokens": np.int64(6)},
        {"pad_token_id": None},
        {"seed": None, "transformers_version": "4.37.2", "_from_model_config": True},
        {"stopping_criteria": None, "logits_processor": None, "synced_gpus": False},
        {"bos_token_id": 1, "no_repeat_ngram_size": 0, "min_length": None},
        {"bad_words_ids": [[2]]},  # end tokens cannot be banned
    ],
    ids=str,
)
def test_harmless(parameters: dict[str, Any]) -> None:
    expected = generate(HashModel([3]), GREEDY, model_config=model_config()).tolist()
    got = generate(HashModel([3]), {**GREEDY, **parameters}, model_config=model_config())
    assert got.tolist() == expected


@pytest.mark.parametrize(
    ("parameters", "length"),
    [
        ({}, 20),
        ({"max_length": 2}, 2),
        ({"max_length": 0}, 2),
        ({"max_new_tokens": 0}, 2),
        ({"max_new_tokens": 1}, 2),
        ({"max_length": 5, "max_new_tokens": 9}, 10),
        ({"max_time": 0.0}, 2),
    ],
    ids=str,
)
def test_lengths(parameters: dict[str, Any], length: int) -> None:
    kwargs = {**parameters, "eos_token_id": -1}
    assert generate(HashModel([3]), kwargs, model_config=model_config()).shape == (1, length)


def test_a_large_limit_allocates_nothing() -> None:
    kwargs = {"max_new_tokens": 10**9, "forced_decoder_ids": [[3, 2]]}
    sequences = generate(HashModel([3]), kwargs, model_config=model_config())
    assert sequences.shape == (1, 4)
    assert sequences[0, -1] == 2


def test_generation_config_replaces_the_model_defaults() -> None:
    with pytest.raises(ValueError, match="bos_token_id"):
        prepare_generation(
            {}, model_config=model_config(), generation_config=GenerationConfig(max_new_tokens=4)
        )
    config = GenerationConfig(max_new_tokens=4, bos_token_id=1)
    kwargs = {"max_new_tokens": 3}
    first = generate(HashModel([3]), {}, model_config=model_config(), generation_config=config)
    second = generate(HashModel([3]), kwargs, model_config=model_config(), generation_config=config)
    assert first.shape == (1, 5)
    assert second.tolist() == first[:, :4].tolist()
    assert config.max_new_tokens == 4
    with pytest.raises(TypeError, match="generation_config"):
        prepare_generation({}, model_config=model_config(), generation_config={"max_length": 3})


def test_vocabulary_of_config_and_model_must_agree() -> None:
    with pytest.raises(ValueError, match=r"vocab_size 41.* have 40"):
        generate(HashModel([3]), {}, model_config=model_config(41))


def test_pad_token_outside_the_vocabulary_matters_only_where_it_is_used() -> None:
    kwargs = {"max_new_tokens": 6, "pad_token_id": 99}
    generate(HashModel([3]), kwargs, model_config=model_config())
    first = generate(HashModel([3]), {"max_new_tokens": 1}, model_config=model_config())[0, 1]
    with pytest.raises(ValueError, match="pad_token_id 99"):
        generate(
            HashModel([3, 4]), {**kwargs, "eos_token_id": int(first)}, model_config=model_config()
        )


@pytest.mark.parametrize(
    ("allowed", "error", "message"),
    [
        ([], ValueError, "empty list for batch ID 0"),
        (None, ValueError, "empty list for batch ID 0"),
        ([40], ValueError, "token 40"),
        (["5"], TypeError, "`prefix_allowed_tokens_fn` has to be an integer, but is '5'"),
    ],
)
def test_allowed_tokens_that_are_none(allowed: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        generate(
            HashModel([3]),
            {"prefix_allowed_tokens_fn": lambda batch_id, ids: allowed},
            model_config=model_config(),
        )


def test_processors_that_return_no_scores() -> None:
    with pytest.raises(TypeError, match="`logits_processor` has to return scores, got str"):
        generate(
            HashModel([3]),
            {"logits_processor": [lambda ids, scores: "x"]},
            model_config=model_config(),
        )
