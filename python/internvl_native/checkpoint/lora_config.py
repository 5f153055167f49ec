"""adapter_config.json of PEFT: what it says about the mathematics of a LoRA adapter.

After `LoraConfig` and `LoraModel` of peft (0.10 and later). An option that changes what an adapter
computes is honoured or refused by name, and so is one that this package does not know.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from internvl_native.json_file import read_json_object

ADAPTER_CONFIG = "adapter_config.json"

_PLAIN_STARTS = (None, True, False, "gaussian", "orthogonal", "eva")
_WITHOUT_EFFECT = frozenset(
    {
        # where the adapter comes from, how it was trained and saved
        "peft_type", "task_type", "auto_mapping", "base_model_name_or_path", "revision",
        "inference_mode", "lora_dropout", "peft_version", "loftq_config", "eva_config",
        "corda_config", "megatron_core", "qalora_group_size", "runtime_config",
        # tensors that replace those of the base model: each is there by name
        "bias", "modules_to_save",
        # about weights stored the other way round, which these models have none of
        "fan_in_fan_out",
        # which modules have layers: their tensors are there
        "exclude_modules",
    }
)  # fmt: skip
_HONOURED = frozenset(
    {
        "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora",
        "target_modules", "layers_to_transform", "layers_pattern", "init_lora_weights",
    }
)  # fmt: skip


@dataclass(frozen=True)
class LoraConfig:
    """A checked adapter_config.json."""

    path: Path
    values: Mapping[str, Any]
    """Everything that it holds."""

    @property
    def base_model(self) -> str | None:
        """Name or path of the model that the adapter was trained on."""
        name: str | None = self.values.get("base_model_name_or_path") or None
        return name

    @property
    def uses_dora(self) -> bool:
        return bool(self.values.get("use_dora"))

    def scale(self, module: str, rank: int) -> float:
        """The factor of B A in `module`, whose tensors have `rank`. Raises ValueError for a rank
        and for a module that the config does not have."""
        if not self._is_target(module):
            raise ValueError("expected a module that target_modules and layers_to_transform name")
        expected = self._of_module("rank_pattern", module, self.values.get("r", 8))
        if rank != expected:
            raise ValueError(f"expected rank {expected} by {self.path.name}, got {rank}")
        alpha = float(self._of_module("alpha_pattern", module, self.values.get("lora_alpha", 8)))
        return alpha / (math.sqrt(rank) if self.values.get("use_rslora") else rank)

    def _of_module(self, name: str, module: str, default: Any) -> Any:
        patterns = self.values.get(name) or {}
        return next((v for key, v in patterns.items() if _ends_with(key, module)), default)

    def _is_target(self, module: str) -> bool:
        """`check_target_module_exists` of peft."""
        targets = self.values.get("target_modules")
        if targets is None or targets == "all-linear":
            return True
        if isinstance(targets, str):
            return re.fullmatch(targets, module) is not None
        if module in targets:
            return True
        layers = self.values.get("layers_to_transform")
        found = any(module.endswith(f".{target}") for target in targets)
        return found and (layers in (None, []) or self._layer_of(module) in _as_list(layers))

    def _layer_of(self, module: str) -> int | None:
        patterns = _as_list(self.values.get("layers_pattern") or r"[^.]*")
        matches = (re.match(rf".*\.{pattern}\.(\d+)\.", module) for pattern in patterns)
        return next((int(match[1]) for match in matches if match), None)


def read_lora_config(folder: Path) -> LoraConfig:
    """The config of the adapter in `folder`.

    Raises CheckpointError for a file that is missing or not JSON, ValueError for an option that is
    no option of LoRA or changes the mathematics in a way that this package does not follow.
    """
    path = folder / ADAPTER_CONFIG
    values = read_json_object(path)
    peft_type = values.get("peft_type")
    if peft_type != "LORA":
        raise ValueError(f"{path}: peft_type: expected 'LORA', got {peft_type!r:.200}")
    for name, value in values.items():
        if name == "init_lora_weights" and value not in _PLAIN_STARTS:
            raise ValueError(
                f"{path}: init_lora_weights: expected {_PLAIN_STARTS}, got {value!r:.200}, which "
                "changes the base model's weights: convert the adapter with "
                "path_initial_model_for_weight_conversion of peft's save_pretrained"
            )
        if value and name not in _HONOURED | _WITHOUT_EFFECT:
            raise ValueError(
                f"{path}: {name}: expected nothing, got {value!r:.200}: this option of LoRA is "
                "not supported; merge the adapter with peft's merge_and_unload()"
            )
    for name, valid, expected in _TYPES:
        if name in values and not valid(values[name]):
            raise ValueError(f"{path}: {name}: expected {expected}, got {values[name]!r:.200}")
    return LoraConfig(path, values)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_pattern(value: Any) -> bool:
    try:
        re.compile(value)
    except (re.error, TypeError):
        return False
    return isinstance(value, str)


def _is_pattern_map(value: Any) -> bool:
    numbers = isinstance(value, dict) and all(map(_is_number, value.values()))
    return value is None or (numbers and all(map(_is_pattern, value)))


def _is_list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)


_TYPES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("r", lambda value: isinstance(value, int) and value > 0, "a rank of at least 1"),
    ("lora_alpha", _is_number, "a number"),
    ("rank_pattern", _is_pattern_map, "an object of regular expressions and ranks"),
    ("alpha_pattern", _is_pattern_map, "an object of regular expressions and numbers"),
    (
        "target_modules",
        lambda value: value is None or _is_pattern(value) or _is_list_of(str, value),
        "a regular expression or a list of names",
    ),
    (
        "layers_to_transform",
        lambda value: value is None or isinstance(value, int) or _is_list_of(int, value),
        "a number or a list of numbers",
    ),
    (
        "layers_pattern",
        lambda value: value is None or all(map(_is_pattern, _as_list(value))),
        "a regular expression or a list of them",
    ),
    (
        "base_model_name_or_path",
        lambda value: value is None or isinstance(value, str),
        "a name or a path",
    ),
)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _ends_with(pattern: str, module: str) -> bool:
    return re.match(rf"(.*\.)?({pattern})$", module) is not None
