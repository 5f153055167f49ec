"""The keyword arguments of `AutoModel.from_pretrained`: honoured, harmless or refused."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from internvl_native.arguments import did_you_mean, kind
from internvl_native.configuration import (
    CONFIGS,
    AutoConfig,
    InternVisionConfig,
    InternVLChatConfig,
)
from internvl_native.dtypes import is_auto, parse_dtype, torch_dtype_of
from internvl_native.pretrained_config import PretrainedConfig

_HARMLESS = frozenset(
    {
        # placement and loading strategy: this package places things and maps files itself
        "max_memory", "low_cpu_mem_usage", "offload_folder", "offload_buffers",
        "offload_state_dict", "_fast_init", "tp_plan",
        # the implementation of attention: see devices.backend
        "use_flash_attn", "use_flash_attention_2", "attn_implementation",
        # there is no remote code to trust or to find
        "trust_remote_code", "code_revision",
        # downloads: huggingface_hub decides
        "resume_download", "force_download", "proxies", "mirror",
        # how transformers calls itself
        "_from_auto", "_from_pipeline", "_commit_hash", "commit_hash", "adapter_kwargs",
    }
)  # fmt: skip

_REFUSED_WHEN_TRUE = {
    "load_in_8bit": "int8 is not available yet: drop the argument",
    "load_in_4bit": "4-bit weights are not available: drop the argument",
    "quantization_config": "quantized weights are not available yet: drop the argument",
    "from_tf": "only safetensors checkpoints can be read",
    "from_flax": "only safetensors checkpoints can be read",
    "ignore_mismatched_sizes": "every shape has to be that of config.json",
    "gguf_file": "only safetensors checkpoints can be read",
}
_REFUSED_WHEN_GIVEN = {
    "state_dict": "weights are read from the checkpoint's files",
    "vision_model": "the parts of a model are made from the checkpoint's files",
    "language_model": "the parts of a model are made from the checkpoint's files",
}


@dataclass(frozen=True)
class LoadOptions:
    """What is honoured of the keyword arguments of `from_pretrained`."""

    torch_dtype: Any = None
    config: Any = None
    """A config object, the path or name of one, or None for the checkpoint's."""
    revision: str | None = None
    cache_dir: str | os.PathLike[str] | None = None
    local_files_only: bool = False
    token: str | bool | None = None
    subfolder: str = ""
    variant: str | None = None
    adapters: Any = None
    """Folder or hub name of a LoRA adapter, or a dict of several by name."""
    adapter_name: str | None = None
    """Of the adapter whose folder is loaded in place of a model's."""
    device_map: Any = None
    output_loading_info: bool = False
    """Return `(model, info)`, info a dict of missing_keys, unexpected_keys, mismatched_keys and
    error_msgs."""
    others: dict[str, Any] = field(default_factory=dict)
    """Names that may be attributes of the config: see `load_config`."""

    @property
    def location(self) -> dict[str, Any]:
        """The keyword arguments of `resolve_checkpoint`."""
        return {
            name: getattr(self, name)
            for name in ("revision", "cache_dir", "local_files_only", "token")
        }


_HONOURED = frozenset(LoadOptions.__dataclass_fields__) - {"others"}


def load_options(kwargs: dict[str, Any]) -> LoadOptions:
    """Sorts the keyword arguments of `from_pretrained`.

    Strategies of loading, attention kernels and download details are ignored. Raises ValueError,
    saying what to do, for what this package cannot honour.
    """
    for name, advice in _REFUSED_WHEN_TRUE.items():
        if kwargs.get(name):
            raise ValueError(f"{name}: expected None or False, got {kwargs[name]!r:.200}: {advice}")
    for name, advice in _REFUSED_WHEN_GIVEN.items():
        if kwargs.get(name) is not None:
            raise ValueError(f"{name}: expected None, got {type(kwargs[name]).__name__}: {advice}")
    if kwargs.get("use_safetensors") is False:
        raise ValueError(
            "use_safetensors: expected True or None, got False: only safetensors can be read"
        )
    known = {name: value for name, value in kwargs.items() if name in _HONOURED}
    if "dtype" in kwargs:  # the name in newer releases of transformers
        known.setdefault("torch_dtype", kwargs["dtype"])
    if "use_auth_token" in kwargs:  # and in older ones
        known.setdefault("token", kwargs["use_auth_token"])
    known["subfolder"] = known.get("subfolder") or ""
    ignored = {
        *_HONOURED, *_HARMLESS, *_REFUSED_WHEN_TRUE, *_REFUSED_WHEN_GIVEN,
        "use_safetensors", "dtype", "use_auth_token",
    }  # fmt: skip
    others = {name: value for name, value in kwargs.items() if name not in ignored}
    return LoadOptions(**known, others=others)


def load_config(folder: Path, options: LoadOptions, config_class: type[PretrainedConfig]) -> Any:
    """The config to load the checkpoint in `folder` with: a copy of `config=`, or its config.json.
    A chat model's gives its vision part for an `InternVisionConfig`.

    As in transformers, other keyword arguments replace attributes of a config that was read, not
    of one passed as an object; and `torch_dtype` is noted in the config. Raises TypeError for
    names that are no attributes, ValueError for a config of another class, and as
    `AutoConfig.from_pretrained` does.
    """
    given = options.config
    if given is None or isinstance(given, (str, os.PathLike)):
        where = options.location if given else {}
        config = _of_class(AutoConfig.from_pretrained(given or folder, **where), config_class)
        unknown = config.override(options.others)
    else:
        config, unknown = _of_class(as_config(given), config_class), options.others
    if unknown:
        name = next(iter(unknown))
        raise TypeError(
            f"{config_class.model_class}.from_pretrained() got an unexpected keyword argument "
            f"{name!r}{did_you_mean(name, [*_HONOURED, *vars(config)])}"
        )
    if options.torch_dtype is not None and not is_auto(options.torch_dtype):
        config.torch_dtype = torch_dtype_of(parse_dtype(options.torch_dtype, config))
    return config


def _of_class(config: PretrainedConfig, config_class: type[PretrainedConfig]) -> PretrainedConfig:
    if config_class is InternVisionConfig and isinstance(config, InternVLChatConfig):
        config = config.vision_config
    if not isinstance(config, config_class):
        raise ValueError(
            f"{config.name_or_path}: expected a checkpoint of model_type "
            f"{config_class.model_type}, got {config.model_type}"
        )
    return config


def as_config(given: Any) -> PretrainedConfig:
    """A config of this package; that of the reference's own code gives its values."""
    if isinstance(given, PretrainedConfig):
        return copy.deepcopy(given)
    is_object = hasattr(given, "to_dict") and not isinstance(given, type)
    values = given.to_dict() if is_object else given
    if not isinstance(values, dict) or values.get("model_type") not in CONFIGS:
        raise ValueError(
            f"config: expected a config of model_type {' or '.join(CONFIGS)}, got {kind(given)}"
        )
    return CONFIGS[values["model_type"]](**values)
