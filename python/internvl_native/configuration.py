"""The configs of the InternVL chat family, under the names and with the defaults of the reference
(configuration_internvl_chat.py, configuration_intern_vit.py, configuration_internlm2.py and
LlamaConfig of transformers 4.37.2)."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from internvl_native.pretrained_config import PretrainedConfig


class InternVisionConfig(PretrainedConfig):
    """InternViT, alone or inside a chat checkpoint."""

    model_type: ClassVar[str] = "intern_vit_6b"
    model_class: ClassVar[str] = "InternVisionModel"

    num_channels: int = 3
    patch_size: int = 14
    image_size: int = 224
    qkv_bias: bool = False
    hidden_size: int = 3200
    num_attention_heads: int = 25
    intermediate_size: int = 12800
    qk_normalization: bool = True
    num_hidden_layers: int = 48
    use_flash_attn: bool = True
    hidden_act: str = "gelu"
    norm_type: str = "rms_norm"
    layer_norm_eps: float = 1e-6
    dropout: float = 0.0
    drop_path_rate: float = 0.0
    attention_dropout: float = 0.0
    initializer_range: float = 0.02
    initializer_factor: float = 0.1

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """As for any config; the config.json of a chat checkpoint gives its vision part."""
        nested = config_dict.get("vision_config", config_dict)
        if not isinstance(nested, dict):
            raise ValueError(f"vision_config: expected an object, got {nested!r}")
        return super().from_dict(nested, **kwargs)


class DecoderConfig(PretrainedConfig):
    """What the decoder families have in common."""

    bias_key: ClassVar[str] = "attention_bias"
    """The value that says whether q, k, v and the attention's output layer have biases."""
    lowest_rope_factor_is_allowed: ClassVar[bool] = False
    """Whether the reference accepts a rope scaling factor of 1."""

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = None  # type: ignore[assignment]  # num_attention_heads
    hidden_act: str = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = False
    rope_theta: float = 10000.0
    rope_scaling: dict[str, Any] | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads

    @property
    def has_attention_bias(self) -> bool:
        """The value of `bias_key`."""
        return bool(getattr(self, self.bias_key))


class InternLM2Config(DecoderConfig):
    """InternLM2ForCausalLM."""

    model_type: ClassVar[str] = "internlm2"
    bias_key: ClassVar[str] = "bias"
    lowest_rope_factor_is_allowed: ClassVar[bool] = True

    vocab_size: int = 103168
    pad_token_id: int | None = 0
    bias: bool = True
    rope_theta: float = 10000
    attn_implementation: str = "eager"


class LlamaConfig(DecoderConfig):
    """LlamaForCausalLM."""

    model_type: ClassVar[str] = "llama"

    pretraining_tp: int = 1
    attention_bias: bool = False
    attention_dropout: float = 0.0


DECODER_CONFIGS: dict[str, type[DecoderConfig]] = {
    "InternLM2ForCausalLM": InternLM2Config,
    "LlamaForCausalLM": LlamaConfig,
}


class InternVLChatConfig(PretrainedConfig):
    """A vision model, a language model and how images reach it.

    `tie_word_embeddings` of `llm_config` is kept as it is stored, where the newest reference code
    turns it off: a checkpoint that ties has no output layer of its own to read.
    """

    model_type: ClassVar[str] = "internvl_chat"
    model_class: ClassVar[str] = "InternVLChatModel"
    is_composition: ClassVar[bool] = True

    use_backbone_lora: int = 0
    use_llm_lora: int = 0
    pad2square: bool = False
    select_layer: int = -1
    force_image_size: int | None = None
    downsample_ratio: float = 0.5
    template: str | None = None
    dynamic_image_size: bool = False
    use_thumbnail: bool = False
    ps_version: str = "v1"
    min_dynamic_patch: int = 1
    max_dynamic_patch: int = 6
    tie_word_embeddings: bool = False

    def __init__(
        self,
        vision_config: dict[str, Any] | InternVisionConfig | None = None,
        llm_config: dict[str, Any] | DecoderConfig | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vision_config = _nested_vision_config(vision_config)
        self.llm_config = _nested_decoder_config(llm_config)
        self.hidden_size = self.llm_config.hidden_size

    @property
    def downsample_factor(self) -> int:
        """The side of the squares of patches that become one token, 1 / downsample_ratio."""
        return int(1 / self.downsample_ratio)

    def _default_dict(self) -> dict[str, Any]:
        return {}  # there is no default language model


def _nested_vision_config(value: object) -> InternVisionConfig:
    if isinstance(value, InternVisionConfig):
        return value
    if value is None:
        return InternVisionConfig(architectures=["InternVisionModel"])
    if not isinstance(value, dict):
        raise ValueError(f"vision_config: expected an object, got {value!r:.200}")
    return InternVisionConfig(**value)


def _nested_decoder_config(value: object) -> DecoderConfig:
    if isinstance(value, DecoderConfig):
        return value
    supported = ", ".join(DECODER_CONFIGS)
    if not isinstance(value, dict):
        raise ValueError(
            f"llm_config: expected an object whose architectures name one of {supported}, "
            f"got {value!r:.200}"
        )
    architectures = value.get("architectures")
    name = architectures[0] if isinstance(architectures, list) and architectures else None
    if not isinstance(name, str) or name not in DECODER_CONFIGS:
        raise ValueError(
            f"llm_config.architectures: expected one of {supported}, got {architectures!r:.200}"
        )
    return DECODER_CONFIGS[name](**value)


CONFIGS: dict[str, type[PretrainedConfig]] = {
    config.model_type: config for config in (InternVLChatConfig, InternVisionConfig)
}


_ADVICE = {
    "internvl": ", a checkpoint converted for transformers (-HF): take the one it was made from",
    "internlm2": ", a language model alone: load the chat model, with adapters= if this is of one",
    "llama": ", a language model alone: load the chat model, with adapters= if this is of one",
}


def _type_of_architecture(values: dict[str, Any]) -> str | None:
    """The remote code loads a config without model_type by its auto_map, too."""
    types = {config.model_class: model_type for model_type, config in CONFIGS.items()}
    architectures = values.get("architectures")
    if not isinstance(architectures, list) or not architectures:
        return None
    return types.get(str(architectures[0]))


class AutoConfig:
    """Chooses the config class by `model_type`."""

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> Any:
        """The config of a checkpoint; see `PretrainedConfig.from_pretrained`."""
        values, _ = PretrainedConfig.get_config_dict(pretrained_model_name_or_path, **kwargs)
        model_type = values.get("model_type") or _type_of_architecture(values)
        if not isinstance(model_type, str) or model_type not in CONFIGS:
            advice = _ADVICE.get(str(model_type), "")
            raise ValueError(
                f"{os.fspath(pretrained_model_name_or_path)}: model_type: expected one of "
                f"{', '.join(CONFIGS)}, got {model_type!r}{advice}"
            )
        return CONFIGS[model_type].from_pretrained(pretrained_model_name_or_path, **kwargs)
