"""Parameters of logits processors and warpers, checked as the reference's classes check them."""

from __future__ import annotations

from typing import Any

from internvl_native import _core
from internvl_native.generation.configuration import GenerationConfig
from internvl_native.generation.values import (
    LARGEST,
    exceeds,
    finite_number,
    integer,
    positive_float,
    resolve_token,
    resolve_tokens,
    tokens,
)

__all__ = ["set_processors", "set_warpers"]


def set_processors(core: _core.GenerationConfig, config: GenerationConfig, vocab_size: int) -> None:
    """Sets what acts on the scores in every search."""
    if config.sequence_bias is not None:
        core.sequence_bias = _sequence_bias(config.sequence_bias, vocab_size)
    if exceeds("diversity_penalty", config.diversity_penalty, 0):
        core.diversity_penalty = _diversity_penalty(config)
    if config.encoder_repetition_penalty not in (None, 1.0):
        raise ValueError("`encoder_repetition_penalty` needs a prompt of tokens, not embeddings")
    if config.repetition_penalty is not None and config.repetition_penalty != 1.0:
        core.repetition_penalty = positive_float("repetition_penalty", config.repetition_penalty)
        if not 0 <= core.bos_token_id < vocab_size:
            raise ValueError(
                f"`bos_token_id` ({core.bos_token_id}) has to be in the vocabulary of {vocab_size} "
                "for `repetition_penalty`"
            )
    if exceeds("no_repeat_ngram_size", config.no_repeat_ngram_size, 0):
        size = config.no_repeat_ngram_size
        if not isinstance(size, int):
            raise ValueError(
                f"`no_repeat_ngram_size` has to be a strictly positive integer, but is {size}"
            )
        core.no_repeat_ngram_size = min(size, LARGEST)
        if size == 1:
            resolve_token("bos_token_id", core.bos_token_id, vocab_size)
    if exceeds("encoder_no_repeat_ngram_size", config.encoder_no_repeat_ngram_size, 0):
        raise ValueError("`encoder_no_repeat_ngram_size` needs a prompt of tokens, not embeddings")
    if config.bad_words_ids is not None:
        core.bad_words_ids = _bad_words_ids(
            config.bad_words_ids, core.processed_eos_token_id, vocab_size
        )
    _set_eos_processors(core, config, vocab_size)
    _set_forced_and_suppressed(core, config, vocab_size)
    core.remove_invalid_values = config.remove_invalid_values is True
    core.renormalize_logits = config.renormalize_logits is True


def set_warpers(core: _core.GenerationConfig, config: GenerationConfig) -> None:
    """Sets what restricts sampling."""
    if config.num_beams != 1:
        eos = config.eos_token_id
        core.min_tokens_to_keep = len(eos) + 1 if isinstance(eos, list) else 2
    if config.temperature is not None and config.temperature != 1.0:
        core.temperature = _temperature(config.temperature)
    core.top_k = 0
    if config.top_k is not None and config.top_k != 0:
        if not isinstance(config.top_k, int) or config.top_k <= 0:
            raise ValueError(
                f"`top_k` has to be a strictly positive integer, but is {config.top_k}"
            )
        core.top_k = min(config.top_k, LARGEST)
    if config.top_p is not None:
        top_p = finite_number("top_p", config.top_p)
        if top_p < 0:
            raise ValueError(f"`top_p` has to be a float > 0 and < 1, but is {top_p}")
        core.top_p = top_p
    if config.typical_p is not None:
        typical_p = finite_number("typical_p", config.typical_p)
        if typical_p <= 0:
            raise ValueError(f"`typical_p` has to be a float > 0 and < 1, but is {typical_p}")
        core.typical_p = typical_p
    core.epsilon_cutoff = _cutoff("epsilon_cutoff", config.epsilon_cutoff)
    core.eta_cutoff = _cutoff("eta_cutoff", config.eta_cutoff)


def _sequence_bias(sequence_bias: Any, vocab_size: int) -> list[tuple[list[int], float]]:
    if not isinstance(sequence_bias, dict) or not sequence_bias:
        raise ValueError(
            f"`sequence_bias` has to be a non-empty dictionary, but is {sequence_bias}."
        )
    if any(not isinstance(sequence, tuple) for sequence in sequence_bias):
        raise ValueError(
            f"`sequence_bias` has to be a dict with tuples as keys, but is {sequence_bias}."
        )
    biases = [(tokens("sequence_bias", key), value) for key, value in sequence_bias.items()]
    if any(not sequence or min(sequence) < 0 for sequence, _ in biases):
        raise ValueError(
            "Each key in `sequence_bias` has to be a non-empty tuple of positive integers, but is "
            f"{sequence_bias}."
        )
    if any(not isinstance(bias, float) or bias != bias for _, bias in biases):
        raise ValueError(
            f"`sequence_bias` has to be a dict with floats as values, but is {sequence_bias}."
        )
    _check_biased_tokens([sequence for sequence, _ in biases], vocab_size)
    return biases


def _bad_words_ids(bad_words_ids: Any, eos: list[int], vocab_size: int) -> list[list[int]]:
    if not isinstance(bad_words_ids, list) or not bad_words_ids:
        raise ValueError(f"`bad_words_ids` has to be a non-empty list, but is {bad_words_ids}.")
    if any(not isinstance(word, list) for word in bad_words_ids):
        raise ValueError(f"`bad_words_ids` has to be a list of lists, but is {bad_words_ids}.")
    words = [tokens("bad_words_ids", word) for word in bad_words_ids]
    if any(not word or min(word) < 0 for word in words):
        raise ValueError(
            "Each list in `bad_words_ids` has to be a list of positive integers, but is "
            f"{bad_words_ids}."
        )
    words = [word for word in words if word not in [[token] for token in eos]]
    _check_biased_tokens(words, vocab_size)
    return words


def _check_biased_tokens(sequences: list[list[int]], vocab_size: int) -> None:
    invalid = [token for sequence in sequences for token in sequence if token >= vocab_size]
    if invalid:
        raise ValueError(
            f"The model vocabulary size is {vocab_size}, but the following tokens were being "
            f"biased: {invalid}"
        )


def _diversity_penalty(config: GenerationConfig) -> float:
    if not isinstance(config.diversity_penalty, float):
        raise ValueError("`diversity_penalty` should be a float strictly larger than 0.")
    if not exceeds("num_beams", config.num_beams, 1):
        raise ValueError("`num_beams` should be an integer strictly larger than 1.")
    if not exceeds("num_beam_groups", config.num_beam_groups, 1):
        raise ValueError("`num_beam_groups` should be an integer strictly larger than 1.")
    return finite_number("diversity_penalty", config.diversity_penalty)


def _set_eos_processors(
    core: _core.GenerationConfig, config: GenerationConfig, vocab_size: int
) -> None:
    eos = core.processed_eos_token_id
    core.processed_eos_token_id = []  # ids outside the vocabulary are harmless where none is used
    lengths = {}
    for name in ("min_length", "min_new_tokens"):
        value = getattr(config, name)
        if exceeds(name, value, 0) and config.eos_token_id is not None:
            if not isinstance(value, int):
                raise ValueError(f"`{name}` has to be a non-negative integer, but is {value}")
            lengths[name] = min(value, LARGEST)
    decay = config.exponential_decay_length_penalty
    if decay is not None:
        if config.eos_token_id is None:
            raise ValueError("`exponential_decay_length_penalty` needs an `eos_token_id`")
        name = "exponential_decay_length_penalty"
        if not isinstance(decay, (list, tuple)) or len(decay) != 2:
            raise ValueError(f"`{name}` has to be a pair (start, factor), but is {decay!r}")
        core.exponential_decay_length_penalty = (
            integer(name, decay[0]),
            finite_number(name, decay[1]),
        )
    if lengths or decay is not None:
        core.processed_eos_token_id = resolve_tokens("eos_token_id", eos, vocab_size)
    core.min_length = lengths.get("min_length", 0)
    core.min_new_tokens = lengths.get("min_new_tokens", 0)


def _set_forced_and_suppressed(
    core: _core.GenerationConfig, config: GenerationConfig, vocab_size: int
) -> None:
    if config.forced_bos_token_id is not None:
        token = integer("forced_bos_token_id", config.forced_bos_token_id)
        core.forced_bos_token_id = resolve_token("forced_bos_token_id", token, vocab_size)
        core.begin_index = max(2, core.begin_index)
    core.forced_eos_token_id = resolve_tokens(
        "forced_eos_token_id", config.forced_eos_token_id, vocab_size
    )
    core.suppress_tokens = resolve_tokens("suppress_tokens", config.suppress_tokens, vocab_size)
    core.begin_suppress_tokens = resolve_tokens(
        "begin_suppress_tokens", config.begin_suppress_tokens, vocab_size
    )
    if config.forced_decoder_ids is not None:
        name = "forced_decoder_ids"
        try:
            pairs = [(length, token) for length, token in config.forced_decoder_ids]
        except (TypeError, ValueError):
            raise ValueError(
                f"`{name}` has to be a list of pairs (length, token), but is "
                f"{config.forced_decoder_ids}"
            ) from None
        core.forced_decoder_ids = {
            integer(name, length): resolve_token(name, integer(name, token), vocab_size)
            for length, token in dict(pairs).items()
            if token is not None
        }
        if pairs:
            core.begin_index += integer(name, pairs[-1][0])


def _temperature(temperature: Any) -> float:
    if not isinstance(temperature, float) or not temperature > 0:
        message = (
            f"`temperature` (={temperature}) has to be a strictly positive float, otherwise your "
            "next token scores will be invalid."
        )
        if isinstance(temperature, float) and temperature == 0.0:
            message += " If you're looking for greedy decoding strategies, set `do_sample=False`."
        raise ValueError(message)
    return finite_number("temperature", temperature)


def _cutoff(name: str, value: Any) -> float:
    """The cutoff, or 0 (off) for values outside (0, 1), which the reference ignores."""
    if value is None:
        return 0.0
    cutoff = finite_number(name, value)
    return cutoff if 0.0 < cutoff < 1.0 else 0.0
