"""Checks a config and reduces it to what the C++ core needs (csrc/model/config.h)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from internvl_native.configuration import (
    DecoderConfig,
    InternVisionConfig,
    InternVLChatConfig,
)
from internvl_native.pretrained_config import PretrainedConfig

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
"""hidden_act -> the core's name of the activation."""

NORMS = {"rms_norm": "rms", "layer_norm": "layer"}
PIXEL_SHUFFLES = {"v1": True, "v2": False}
ROPE_SCALINGS = {"linear": "linear", "dynamic": "dynamic"}

_MAX_INT = 2**31 - 1
_MAX_IMAGE_SIZE = 2**15


def core_config(config: InternVLChatConfig | InternVisionConfig) -> dict[str, Any]:
    """Shapes and constants as plain values, under the names of the C++ structs.

    `{"vision": {...}}` for an InternVisionConfig; a chat config adds `"decoder"`, `select_layer`,
    `downsample_factor` and `transposed_shuffle`. Raises ValueError naming the value, what was
    expected and what came.
    """
    if isinstance(config, InternVisionConfig):
        return {"vision": _vision(config)}
    if not isinstance(config, InternVLChatConfig):
        raise ValueError(f"config: expected an InternVLChatConfig, got {type(config).__name__}")
    _check_lora_and_quantization(config)
    vision = _vision(config.vision_config)
    decoder = _decoder(config.llm_config)
    layers = vision["num_hidden_layers"]
    _check_image_values(config)
    return {
        "vision": vision,
        "decoder": decoder,
        "select_layer": _integer(config, "select_layer", -layers - 1, layers),
        "downsample_factor": _downsample_factor(config),
        "transposed_shuffle": _one_of(config, "ps_version", PIXEL_SHUFFLES),
    }


def tile_size(config: InternVLChatConfig) -> int:
    """Side of a tile in pixels: force_image_size, or else the vision model's."""
    return config.force_image_size or config.vision_config.image_size


def num_image_token(config: InternVLChatConfig) -> int:
    """Tokens that one tile becomes."""
    side = tile_size(config) // config.vision_config.patch_size
    return (side // config.downsample_factor) ** 2


def _vision(config: InternVisionConfig) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: _integer(config, name, 1)
        for name in ("hidden_size", "intermediate_size", "num_hidden_layers",
                     "num_attention_heads", "num_channels")
    }  # fmt: skip
    values["image_size"] = _integer(config, "image_size", 1, _MAX_IMAGE_SIZE)
    values["patch_size"] = _integer(config, "patch_size", 1, values["image_size"])
    _head_dim(config)
    return {
        **values,
        "qkv_bias": _boolean(config, "qkv_bias"),
        "qk_normalization": _boolean(config, "qk_normalization"),
        "norm_type": _one_of(config, "norm_type", NORMS),
        "layer_norm_eps": _positive(config, "layer_norm_eps"),
        "hidden_act": _one_of(config, "hidden_act", ACTIVATIONS),
    }


def _decoder(config: DecoderConfig) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: _integer(config, name, 1)
        for name in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                     "num_attention_heads", "num_key_value_heads", "max_position_embeddings")
    }  # fmt: skip
    _divides(config, "num_key_value_heads", "num_attention_heads")
    head_dim = _head_dim(config)
    _boolean(config, "tie_word_embeddings")
    _boolean(config, config.bias_key)
    return {
        **values,
        "rms_norm_eps": _positive(config, "rms_norm_eps"),
        "rope_theta": _positive(config, "rope_theta"),
        "rope_scaling": _rope_scaling(config, head_dim),
        "hidden_act": _one_of(config, "hidden_act", ACTIVATIONS),
    }


def _head_dim(config: InternVisionConfig | DecoderConfig) -> int:
    """Size of a head: even, as rotary embedding and the attention kernels have it."""
    _divides(config, "num_attention_heads", "hidden_size")
    size = config.hidden_size // config.num_attention_heads
    if size % 2 != 0:
        raise ValueError(
            f"{_name(config)}: expected heads of an even size, got "
            f"hidden_size / num_attention_heads = {size}"
        )
    return size


def _rope_scaling(config: DecoderConfig, head_dim: int) -> dict[str, Any]:
    value: object = config.rope_scaling
    if value is None:
        return {"type": "none", "factor": 1.0}
    where = f"{_name(config)}.rope_scaling"
    if not isinstance(value, dict) or set(value) != {"type", "factor"}:
        raise ValueError(f"{where}: expected an object of `type` and `factor`, got {value!r:.200}")
    kind, factor = value["type"], value["factor"]
    if not isinstance(kind, str) or kind not in ROPE_SCALINGS:
        raise ValueError(f"{where}: expected type 'linear' or 'dynamic', got {kind!r:.200}")
    lowest_is_allowed = config.lowest_rope_factor_is_allowed
    if (
        not isinstance(factor, float)  # the reference refuses integers, too
        or not math.isfinite(factor)
        or not (factor >= 1 if lowest_is_allowed else factor > 1)
    ):
        bound = ">= 1" if lowest_is_allowed else "> 1"
        raise ValueError(f"{where}: expected a float factor {bound}, got {factor!r:.200}")
    if kind == "dynamic" and head_dim == 2:
        raise ValueError(f"{where}: expected heads larger than 2 for type 'dynamic', got 2")
    return {"type": ROPE_SCALINGS[kind], "factor": factor}


def _check_lora_and_quantization(config: InternVLChatConfig) -> None:
    for name in ("use_backbone_lora", "use_llm_lora"):
        if getattr(config, name):  # null and false are no rank, too
            _integer(config, name, 1)
    if config.get("quantization_config") is not None:
        raise ValueError(
            f"{_name(config)}.quantization_config: expected none, got a quantized checkpoint: use "
            "the bfloat16 one"
        )


def _check_image_values(config: InternVLChatConfig) -> None:
    for name in ("dynamic_image_size", "use_thumbnail", "pad2square"):
        _boolean(config, name)
    smallest = _integer(config, "min_dynamic_patch", 1)
    _integer(config, "max_dynamic_patch", smallest)
    if config.force_image_size is not None:
        _integer(config, "force_image_size", 0, _MAX_IMAGE_SIZE)
    if config.template is not None and not isinstance(config.template, str):
        raise ValueError(f"{_name(config)}.template: expected a name, got {config.template!r:.200}")
    if not isinstance(config.get("system_message", ""), str):
        raise ValueError(
            f"{_name(config)}.system_message: expected a string, "
            f"got {config.get('system_message')!r:.200}"
        )


def _downsample_factor(config: InternVLChatConfig) -> int:
    ratio = _positive(config, "downsample_ratio")
    factor = int(1 / ratio) if ratio > 1e-6 else 0
    if ratio > 1 or factor == 0 or factor * ratio != 1:
        raise ValueError(
            f"{_name(config)}.downsample_ratio: expected 1 / integer, for example 0.5, got {ratio}"
        )
    side = tile_size(config) // config.vision_config.patch_size
    if side == 0 or side % factor != 0:
        raise ValueError(
            f"{_name(config)}: expected tiles of a multiple of {factor} patches on a side "
            f"(downsample_ratio {ratio}), got {tile_size(config)} pixels = {side} patches"
        )
    return factor


# ---- single values


def _name(config: PretrainedConfig) -> str:
    return type(config).__name__


def _integer(config: PretrainedConfig, name: str, lowest: int, highest: int = _MAX_INT) -> int:
    value: object = getattr(config, name)
    if type(value) is not int or not lowest <= value <= highest:
        raise ValueError(
            f"{_name(config)}.{name}: expected an integer in [{lowest}, {highest}], "
            f"got {value!r:.200}"
        )
    return value


def _positive(config: PretrainedConfig, name: str) -> float:
    value: object = getattr(config, name)
    if type(value) not in (int, float) or not 0 < value <= 1e30:  # type: ignore[operator]
        raise ValueError(f"{_name(config)}.{name}: expected a number > 0, got {value!r:.200}")
    return float(value)  # type: ignore[arg-type]


def _boolean(config: PretrainedConfig, name: str) -> bool:
    value: object = getattr(config, name)
    if type(value) is not bool:
        raise ValueError(f"{_name(config)}.{name}: expected true or false, got {value!r:.200}")
    return value


def _one_of(config: PretrainedConfig, name: str, known: Mapping[str, Any]) -> Any:
    value: object = getattr(config, name)
    if not isinstance(value, str) or value not in known:
        raise ValueError(
            f"{_name(config)}.{name}: expected one of {', '.join(known)}, got {value!r:.200}"
        )
    return known[value]


def _divides(config: PretrainedConfig, divisor: str, number: str) -> None:
    if getattr(config, number) % getattr(config, divisor) != 0:
        raise ValueError(
            f"{_name(config)}: expected {number} to be a multiple of {divisor}, got "
            f"{getattr(config, number)} and {getattr(config, divisor)}"
        )
