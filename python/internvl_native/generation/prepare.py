"""From the keywords of ``generate`` to the engine's configuration.

Checks happen in the order and, where it has them, with the messages of transformers 4.37.2
(GenerationMixin.generate and the classes that it builds), all of them before any arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from internvl_native import _core
from internvl_native.arguments import did_you_mean
from internvl_native.generation import processors, random_state
from internvl_native.generation.configuration import GenerationConfig
from internvl_native.generation.values import exceeds, finite_number, integer, tokens

__all__ = ["build_core_config", "resolve_config"]

_LARGEST_LENGTH = 2**31 - 1
_MOST_SEQUENCES = 4096

# Inputs of the reference's forward() that generate() lets through without using them.
_IGNORED_MODEL_KWARGS = ("labels", "return_dict")


def resolve_config(
    kwargs: Mapping[str, Any], generation_config: Any, defaults: GenerationConfig
) -> GenerationConfig:
    """Merges the keywords into the given config, or else the model's, and checks relations."""
    if generation_config is None:
        config = GenerationConfig(**defaults.to_dict())
    else:
        config = GenerationConfig.from_any(generation_config)
    unused = config.update(**kwargs)
    _check_relations(config)
    unknown = [k for k, v in unused.items() if v is not None and k not in _IGNORED_MODEL_KWARGS]
    if unknown:
        raise ValueError(
            f"The following `model_kwargs` are not used by the model: {unknown} (note: typos in the"
            " generate arguments will also show up in this list)"
            f"{did_you_mean(unknown[0], vars(config))}"
        )
    return config


def build_core_config(
    config: GenerationConfig,
    defaults: GenerationConfig,
    vocab_size: int,
    prompt_ids: Sequence[list[int]] = (),
) -> _core.GenerationConfig:
    """The engine's configuration for a model with these defaults.

    ``prompt_ids``: rows of equal length, in the vocabulary, that sequences begin with; none for
    prompts of embeddings, whose sequences begin with ``bos_token_id``.
    """
    core = _core.GenerationConfig()
    if prompt_ids:
        core.prompt_ids = list(prompt_ids)
    elif config.bos_token_id is None:
        raise ValueError("`bos_token_id` has to be defined when no `input_ids` are provided.")
    else:
        core.bos_token_id = integer("bos_token_id", config.bos_token_id)
    prompt_length = len(prompt_ids[0]) if prompt_ids else 1
    core.begin_index = prompt_length
    _set_special_tokens(core, config, defaults)
    _set_lengths(core, config, prompt_length)
    _set_search(core, config)
    processors.set_processors(core, config, vocab_size)
    if config.max_time is not None:
        core.max_time = finite_number("max_time", config.max_time)
    if core.do_sample:
        processors.set_warpers(core, config)
        core.seed = _seed(config)
    elif isinstance(config.temperature, float) and math.isnan(config.temperature):
        raise ValueError(f"`temperature` has to be a number, but is {config.temperature}")
    if config.num_beams != 1:
        _set_beams(core, config)
    elif _is_contrastive(config):
        core.top_k = integer("top_k", config.top_k)
        core.penalty_alpha = finite_number("penalty_alpha", config.penalty_alpha)
        if core.top_k > vocab_size:
            raise ValueError(f"`top_k` ({core.top_k}) exceeds the vocabulary of {vocab_size}")
    if config.prompt_lookup_num_tokens is not None:
        _set_prompt_lookup(core, config)
    core.num_return_sequences = _sequence_count("num_return_sequences", config.num_return_sequences)
    if config.return_dict_in_generate:
        if config.output_attentions:
            raise NotImplementedError("`output_attentions`: the engine does not keep attentions")
        core.output_scores = bool(config.output_scores)
        core.output_logits = bool(config.output_logits)
        core.output_logprobs = bool(config.output_logprobs)
        hidden_states = config.output_hidden_states
        if hidden_states is None:  # what InternVL's generate() passes on unless it is told
            hidden_states = defaults.output_hidden_states
        core.output_hidden_states = bool(hidden_states)
    return core


def _check_relations(config: GenerationConfig) -> None:
    """GenerationConfig.validate of the reference, without its warnings."""
    if config.early_stopping not in (True, False, "never"):
        raise ValueError(
            f"`early_stopping` must be a boolean or 'never', but is {config.early_stopping}."
        )
    if config.num_beams is None:
        config.update(num_beams=1)
    if config.num_beams != 1 and (config.diversity_penalty != 0.0 or config.num_beam_groups != 1):
        prefix = (
            "`diversity_penalty` is not 0.0 or `num_beam_groups` is not 1, triggering group beam "
            "search. In this generation mode, "
        )
        if config.do_sample is True:
            raise ValueError(prefix + "`do_sample` must be set to `False`")
        groups = integer("num_beam_groups", config.num_beam_groups)
        if groups < 1 or integer("num_beams", config.num_beams) % groups != 0:
            raise ValueError(prefix + "`num_beams` should be divisible by `num_beam_groups`")
        if config.diversity_penalty == 0.0:
            raise ValueError(
                prefix + "`diversity_penalty` should be greater than `0.0`, otherwise your groups "
                "will be identical."
            )
    if config.num_return_sequences != 1:
        if config.num_beams == 1:
            if config.do_sample is False:
                raise ValueError(
                    "Greedy methods without beam search do not support `num_return_sequences` "
                    f"different than 1 (got {config.num_return_sequences})."
                )
        elif exceeds(
            "num_return_sequences",
            config.num_return_sequences,
            integer("num_beams", config.num_beams),
        ):
            raise ValueError(
                f"`num_return_sequences` ({config.num_return_sequences}) has to be smaller or "
                f"equal to `num_beams` ({config.num_beams})."
            )


def _set_special_tokens(
    core: _core.GenerationConfig, config: GenerationConfig, defaults: GenerationConfig
) -> None:
    eos = tokens("eos_token_id", config.eos_token_id)
    pad = config.pad_token_id
    if pad is None:
        pad = eos[0] if eos else defaults.pad_token_id
    core.processed_eos_token_id = eos
    # Without an eos of its own, the search falls back on the model's; the processors do not.
    if config.eos_token_id is None:
        eos = tokens("eos_token_id", defaults.eos_token_id)
    if eos and pad is None:
        raise ValueError("If `eos_token_id` is defined, make sure that `pad_token_id` is defined.")
    core.eos_token_id = eos
    core.pad_token_id = 0 if pad is None else integer("pad_token_id", pad)


def _set_lengths(
    core: _core.GenerationConfig, config: GenerationConfig, prompt_length: int
) -> None:
    if config.max_new_tokens is not None:
        length = prompt_length + _length("max_new_tokens", config.max_new_tokens)
    else:
        length = _length("max_length", config.max_length)
    core.max_length = length


def _length(name: str, value: Any) -> int:
    # A fraction of a token counts as one: generation stops once the limit is reached.
    length = math.ceil(finite_number(name, value))
    if not 0 <= length < _LARGEST_LENGTH:
        raise ValueError(f"`{name}` has to be between 0 and {_LARGEST_LENGTH - 1}, but is {value}")
    return length


def _set_search(core: _core.GenerationConfig, config: GenerationConfig) -> None:
    if config.constraints is not None or config.force_words_ids is not None:
        raise NotImplementedError(
            "Constrained beam search (`constraints`, `force_words_ids`) is not supported."
        )
    if config.guidance_scale is not None and config.guidance_scale != 1:
        raise NotImplementedError("`guidance_scale` is not supported.")
    if config.num_beams != 1:
        core.do_sample = config.do_sample is True
    else:
        core.do_sample = config.do_sample is not False


def _is_contrastive(config: GenerationConfig) -> bool:
    if config.num_beams != 1 or config.do_sample is not False:
        return False
    return exceeds("top_k", config.top_k, 1) and exceeds("penalty_alpha", config.penalty_alpha, 0)


def _set_beams(core: _core.GenerationConfig, config: GenerationConfig) -> None:
    if not isinstance(config.num_beams, int) or config.num_beams <= 1:
        raise ValueError(
            "`num_beams` has to be an integer strictly greater than 1, but is "
            f"{config.num_beams}. For `num_beams` == 1, one should make use of `greedy_search` "
            "instead."
        )
    core.num_beams = _sequence_count("num_beams", config.num_beams)
    core.num_beam_groups = integer("num_beam_groups", config.num_beam_groups)
    core.length_penalty = finite_number("length_penalty", config.length_penalty)
    # As in the reference, what is neither False nor True itself means "never".
    stopping = config.early_stopping
    core.early_stopping = stopping if isinstance(stopping, bool) else None


def _set_prompt_lookup(core: _core.GenerationConfig, config: GenerationConfig) -> None:
    name = "prompt_lookup_num_tokens"
    if core.num_beams > 1 or core.penalty_alpha > 0:
        raise ValueError(f"`{name}` is only supported with greedy search and sampling.")
    if config.num_return_sequences != 1:
        raise ValueError(
            f"`num_return_sequences` has to be 1 with `{name}`, but is "
            f"{config.num_return_sequences}."
        )
    core.prompt_lookup_num_tokens = _positive(name, config.prompt_lookup_num_tokens)
    if config.max_matching_ngram_size is not None:
        core.max_matching_ngram_size = _positive(
            "max_matching_ngram_size", config.max_matching_ngram_size
        )


def _positive(name: str, value: Any) -> int:
    number = integer(name, value)
    if number < 1:
        raise ValueError(f"`{name}` has to be at least 1, but is {value}")
    return number


def _sequence_count(name: str, value: Any) -> int:
    count = integer(name, value)
    if not 1 <= count <= _MOST_SEQUENCES:
        raise ValueError(f"`{name}` has to be between 1 and {_MOST_SEQUENCES}, but is {value}")
    return count


def _seed(config: GenerationConfig) -> int:
    if config.seed is None:
        return random_state.next_seed()
    return integer("seed", config.seed, 2**64 - 1) & (2**64 - 1)
