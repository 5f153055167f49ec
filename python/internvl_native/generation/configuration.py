"""``GenerationConfig``: the parameters of ``generate`` by their transformers names."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from internvl_native import arguments
from internvl_native.json_file import read_json_object

__all__ = ["GENERATE_ARGUMENTS", "GENERATION_CONFIG", "GenerationConfig"]

GENERATION_CONFIG = "generation_config.json"

# Parameters and defaults of transformers 4.37.2.
_DEFAULTS: dict[str, Any] = {
    "max_length": 20,
    "max_new_tokens": None,
    "min_length": 0,
    "min_new_tokens": None,
    "early_stopping": False,
    "max_time": None,
    "do_sample": False,
    "num_beams": 1,
    "num_beam_groups": 1,
    "penalty_alpha": None,
    "use_cache": True,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "diversity_penalty": 0.0,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "length_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "bad_words_ids": None,
    "force_words_ids": None,
    "renormalize_logits": False,
    "constraints": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "remove_invalid_values": False,
    "exponential_decay_length_penalty": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "forced_decoder_ids": None,
    "sequence_bias": None,
    "guidance_scale": None,
    "low_memory": None,
    "num_return_sequences": 1,
    "output_attentions": False,
    "output_hidden_states": False,
    "output_scores": False,
    "return_dict_in_generate": False,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
    "encoder_no_repeat_ngram_size": 0,
    "decoder_start_token_id": None,
    "num_assistant_tokens": 5,
    "num_assistant_tokens_schedule": "heuristic",
    "prompt_lookup_num_tokens": None,
    "generation_kwargs": {},
}

# Ours: the seed of this call, the model's logits in the result and the longest n-gram of prompt
# lookup (newer transformers have both), and the log-probabilities of the result's tokens.
# The rest describes a file: it has no effect, but callers pass whole generation_config.json files.
_EXTENSIONS: dict[str, Any] = {
    "seed": None,
    "output_logits": False,
    "max_matching_ngram_size": None,
    "output_logprobs": False,
    "transformers_version": None,
    "_from_model_config": False,
    "_commit_hash": None,
}

# Keywords of generate() that are no parameters of a config.
GENERATE_ARGUMENTS = (
    "logits_processor",
    "stopping_criteria",
    "prefix_allowed_tokens_fn",
    "synced_gpus",
    "assistant_model",
    "streamer",
    "negative_prompt_ids",
    "negative_prompt_attention_mask",
)


class GenerationConfig:
    """Parameters of ``generate`` as attributes; what is not given has transformers' default.

    Values are checked when they are used, by ``generate``. Unknown keywords become attributes, as
    in transformers. ``seed`` (int), ``output_logits`` and ``output_logprobs`` (bool) are additions.

    ``prompt_lookup_num_tokens`` (int) tries up to so many tokens at once where the text repeats
    what the prompt or the answer said before, looked up by the last ``max_matching_ngram_size``
    tokens (2) or fewer. Every result is that of single steps, of sampling too; one prompt a call.
    """

    def __init__(self, **kwargs: Any) -> None:
        values = {**copy.deepcopy(_DEFAULTS), **_EXTENSIONS, **kwargs}
        for key, value in values.items():
            setattr(self, key, value)

    if TYPE_CHECKING:  # attributes are dynamic: this makes `config.top_k` known

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any], **kwargs: Any) -> GenerationConfig:
        """Builds a config from a dictionary; keywords win over it."""
        return cls(**{**config_dict, **kwargs})

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name: str | os.PathLike[str],
        config_file_name: str = GENERATION_CONFIG,
        **kwargs: Any,
    ) -> GenerationConfig:
        """Reads ``generation_config.json`` of a checkpoint folder.

        CheckpointError (an OSError) if there is none, or no JSON object in it.
        """
        folder = arguments.folder("pretrained_model_name", pretrained_model_name)
        return cls.from_dict(read_json_object(folder / config_file_name), **kwargs)

    @classmethod
    def from_model_config(cls, model_config: Any) -> GenerationConfig:
        """Defaults of a model: the generation parameters that its (language) config holds."""
        values = _as_dict(model_config)
        return cls(**{key: values[key] for key in _DEFAULTS if key in values})

    @classmethod
    def from_any(cls, config: Any) -> GenerationConfig:
        """Copies a config of ours or of transformers. TypeError for anything else.

        Since transformers 5 a parameter is None unless it was set; it has its default then. In
        older releases, None is a value of its own (no ``top_k``).
        """
        if isinstance(config, (Mapping, str, type)) or not hasattr(config, "to_dict"):
            raise TypeError(
                f"`generation_config` has to be a GenerationConfig, got {arguments.kind(config)}"
            )
        values = copy.deepcopy(config.to_dict())
        if not isinstance(config, cls):
            unset = {key for key, value in type(config)().to_dict().items() if value is None}
            values = {k: v for k, v in values.items() if v is not None or k not in unset}
        return cls(**values)

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        config_file_name: str = GENERATION_CONFIG,
    ) -> None:
        """Writes what differs from the defaults into a folder."""
        path = arguments.folder("save_directory", save_directory) / config_file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.to_diff_dict(), file, indent=2, sort_keys=True)
            file.write("\n")

    def to_dict(self) -> dict[str, Any]:
        """All parameters, as a copy."""
        return copy.deepcopy(vars(self))

    def to_diff_dict(self) -> dict[str, Any]:
        """Parameters that differ from the defaults."""
        defaults = {**_DEFAULTS, **_EXTENSIONS}
        missing = object()
        return {k: v for k, v in self.to_dict().items() if defaults.get(k, missing) != v}

    def update(self, **kwargs: Any) -> dict[str, Any]:
        """Sets the parameters that exist and returns the other keywords."""
        unused = {}
        for key, value in kwargs.items():
            if hasattr(self, key):
                setattr(self, key, value)
            else:
                unused[key] = value
        return unused

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GenerationConfig) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"GenerationConfig {json.dumps(self.to_diff_dict(), indent=2, default=str)}"


def _as_dict(config: Any) -> dict[str, Any]:
    if isinstance(config, Mapping):
        return dict(config)
    if hasattr(config, "to_dict"):
        return dict(config.to_dict())
    return dict(vars(config))
