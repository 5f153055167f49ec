"""The base of all configs: attributes with defaults, JSON in and out (transformers 4.37.2,
`PretrainedConfig`)."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from internvl_native import arguments
from internvl_native.dtypes import torch_dtype_of
from internvl_native.json_file import read_json_object

CONFIG_NAME = "config.json"

_Config = TypeVar("_Config", bound="PretrainedConfig")


class PretrainedConfig:
    """Named values of a model. Every class attribute with an annotation is a default that the
    instance gets; keys that the class does not know are kept as attributes, too.

    Configs can be read with attribute access, set, compared, and written back as JSON.
    """

    model_type: ClassVar[str] = ""
    model_class: ClassVar[str] = ""
    """Name of the class of the models that have such a config."""

    # The attributes that transformers gives to every config and that callers of this family read.
    architectures: list[str] | None = None
    torch_dtype: Any = None
    return_dict: bool = True
    output_hidden_states: bool = False
    output_attentions: bool = False
    torchscript: bool = False
    use_bfloat16: bool = False
    tie_word_embeddings: bool = True
    chunk_size_feed_forward: int = 0
    is_encoder_decoder: bool = False
    is_decoder: bool = False
    cross_attention_hidden_size: int | None = None
    add_cross_attention: bool = False
    tie_encoder_decoder: bool = False
    finetuning_task: str | None = None
    task_specific_params: dict[str, Any] | None = None
    problem_type: str | None = None
    tokenizer_class: str | None = None
    prefix: str | None = None
    bos_token_id: int | None = None
    pad_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    sep_token_id: int | None = None
    decoder_start_token_id: int | None = None
    transformers_version: str | None = None

    # Defaults of generation (transformers reads them from llm_config).
    max_length: int = 20
    min_length: int = 0
    do_sample: bool = False
    early_stopping: bool | str = False
    num_beams: int = 1
    num_beam_groups: int = 1
    diversity_penalty: float = 0.0
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    length_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    encoder_no_repeat_ngram_size: int = 0
    bad_words_ids: list[list[int]] | None = None
    num_return_sequences: int = 1
    output_scores: bool = False
    return_dict_in_generate: bool = False
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | list[int] | None = None
    remove_invalid_values: bool = False
    exponential_decay_length_penalty: tuple[int, float] | None = None
    suppress_tokens: list[int] | None = None
    begin_suppress_tokens: list[int] | None = None

    def __init__(self, **kwargs: Any) -> None:
        model_type = kwargs.pop("model_type", None) or self.model_type
        if model_type != self.model_type:
            raise ValueError(
                f"{type(self).__name__}: expected model_type {self.model_type!r}, "
                f"got {model_type!r:.200}"
            )
        self._name_or_path = str(kwargs.pop("name_or_path", ""))
        for name in self._default_names():
            setattr(self, name, kwargs.pop(name, copy.deepcopy(getattr(type(self), name))))
        for name, value in kwargs.items():
            if hasattr(type(self), name):
                raise ValueError(f"{type(self).__name__}: {name!r} is not the name of a value")
            setattr(self, name, value)
        if isinstance(self.torch_dtype, str):
            self.torch_dtype = torch_dtype_of(self.torch_dtype)

    @classmethod
    def _default_names(cls) -> list[str]:
        names = (
            name
            for base in reversed(cls.__mro__)
            for name, annotation in getattr(base, "__annotations__", {}).items()
            if not str(annotation).startswith("ClassVar")
        )
        return list(dict.fromkeys(names))

    @property
    def name_or_path(self) -> str:
        """Where the config was loaded from; empty if it was not."""
        return self._name_or_path

    @name_or_path.setter
    def name_or_path(self, value: object) -> None:
        self._name_or_path = str(value)

    @property
    def use_return_dict(self) -> bool:
        """Whether model calls return objects instead of tuples."""
        return self.return_dict and not self.torchscript

    # ---- reading

    @classmethod
    def from_pretrained(
        cls: type[_Config], pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> _Config:
        """The config of a checkpoint folder, of a hub name or in a JSON file.

        `cache_dir`, `revision`, `local_files_only`, `token` and `subfolder` say where to look;
        keyword arguments that name attributes of the config replace their values, others are
        ignored (with `return_unused_kwargs=True` they come back: `(config, unused)`).
        Raises CheckpointError (an OSError) for a file that is missing or not JSON, ValueError for
        values that do not make sense.
        """
        values = cls.get_config_dict(pretrained_model_name_or_path, **kwargs)[0]
        for name in _LOCATION_ARGUMENTS:
            kwargs.pop(name, None)
        values["_name_or_path"] = os.fspath(pretrained_model_name_or_path)
        config: _Config = cls.from_dict(values, **kwargs)
        return config

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What `from_pretrained` would build the config from, and the other keyword arguments."""
        # Imported late: the package's tables need the configs.
        from internvl_native.checkpoint.resolve import CONFIG_FILES, resolve_checkpoint

        location = {name: kwargs.pop(name) for name in _LOCATION_ARGUMENTS if name in kwargs}
        is_path = isinstance(pretrained_model_name_or_path, (str, os.PathLike))
        if is_path and Path(pretrained_model_name_or_path).is_file():
            path = Path(pretrained_model_name_or_path)
        else:
            where = {name: location[name] for name in _RESOLVE_ARGUMENTS if name in location}
            folder = resolve_checkpoint(pretrained_model_name_or_path, files=CONFIG_FILES, **where)
            path = folder / (location.get("subfolder") or "") / CONFIG_NAME
        return read_json_object(path), kwargs

    @classmethod
    def from_dict(cls: type[_Config], config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """The config with the values of `config_dict`; see `from_pretrained` for `kwargs`."""
        return_unused = kwargs.pop("return_unused_kwargs", False)
        config = cls(**config_dict)
        unused = config.override(kwargs)
        return (config, unused) if return_unused else config

    @classmethod
    def from_json_file(cls: type[_Config], json_file: str | os.PathLike[str]) -> _Config:
        """The config with the values of a JSON file."""
        return cls(**read_json_object(json_file))

    def override(self, values: dict[str, Any]) -> dict[str, Any]:
        """Replaces the values of known attributes; returns what the config has no attribute for.

        A dict in place of a nested config makes a new one with the defaults for missing keys.
        """
        unused = {}
        for name, value in values.items():
            if not hasattr(self, name):
                unused[name] = value
                continue
            current = getattr(self, name)
            if isinstance(current, PretrainedConfig) and isinstance(value, dict):
                value = type(current)(**value)
            setattr(self, name, value)
        return unused

    def update(self, config_dict: dict[str, Any]) -> None:
        """Sets attributes, known or not."""
        for name, value in config_dict.items():
            setattr(self, name, value)

    # ---- writing

    def to_dict(self) -> dict[str, Any]:
        """All values, nested configs as dicts, torch dtypes as strings."""
        result: dict[str, Any] = {}
        for name, value in self.__dict__.items():
            if isinstance(value, PretrainedConfig):
                result[name] = value.to_dict()
            elif name == "torch_dtype" and value is not None:
                result[name] = str(value).rpartition(".")[2]
            else:
                result[name] = copy.deepcopy(value)
        result["model_type"] = self.model_type
        return result

    def to_diff_dict(self) -> dict[str, Any]:
        """The values that differ from the defaults of all configs or of this class."""
        common, own = PretrainedConfig().to_dict(), self._default_dict()
        return {
            name: value
            for name, value in self.to_dict().items()
            if name not in common or value != common[name] or (name in own and value != own[name])
        }

    def _default_dict(self) -> dict[str, Any]:
        return type(self)().to_dict()

    def to_json_string(self, use_diff: bool = True) -> str:
        """JSON of `to_diff_dict()`, or of everything."""
        values = self.to_diff_dict() if use_diff else self.to_dict()
        return json.dumps(values, indent=2, sort_keys=True) + "\n"

    def to_json_file(self, json_file_path: str | os.PathLike[str], use_diff: bool = True) -> None:
        """Writes `to_json_string(use_diff)`."""
        Path(json_file_path).write_text(self.to_json_string(use_diff), encoding="utf-8")

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Writes config.json into a folder, which is made if needed."""
        if kwargs.get("push_to_hub"):
            raise ValueError("push_to_hub: expected False; upload the folder with huggingface-cli")
        folder = arguments.folder("save_directory", save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        self.to_json_file(folder / CONFIG_NAME)

    # ---- as a mapping

    def get(self, name: str, default: Any = None) -> Any:
        """The value of an attribute, or `default` if there is none of this name."""
        return getattr(self, name, default)

    def __contains__(self, name: str) -> bool:
        return hasattr(self, name)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """The values that are not the defaults, in nested configs as well."""
        values = self.to_diff_dict()
        for name, value in vars(self).items():
            if isinstance(value, PretrainedConfig):
                values[name] = value.to_diff_dict()
        return f"{type(self).__name__} {json.dumps(values, indent=2, sort_keys=True)}\n"

    def _repr_html_(self) -> str:
        # Imported late: the page's tables need the configs.
        from internvl_native import html

        return html.config(self)


_RESOLVE_ARGUMENTS = ("cache_dir", "revision", "local_files_only", "token")
_LOCATION_ARGUMENTS = (
    *_RESOLVE_ARGUMENTS,
    "subfolder",
    "force_download",
    "resume_download",
    "proxies",
    "trust_remote_code",
    "code_revision",
    "use_auth_token",
)
