"""InternVL with a Llama decoder by transformers' own classes, sdpa, with random weights.

torch and transformers are imported when a model is made.
"""

from __future__ import annotations

from typing import Any

from .checkpoint import Shape
from .work import IMAGE_TOKENS

IMAGE_TOKEN = 5


def vision_values(sizes: Shape) -> dict[str, Any]:
    """What an `InternVLVisionConfig` of a shape takes."""
    return {
        "hidden_size": sizes.vit_width,
        "intermediate_size": sizes.vit_inner,
        "num_hidden_layers": sizes.vit_layers,
        "num_attention_heads": sizes.vit_heads,
        "attention_bias": not sizes.is_6b,
        "use_qk_norm": sizes.is_6b,
        "norm_type": "rms_norm" if sizes.is_6b else "layer_norm",
        "image_size": [448, 448],
        "patch_size": [14, 14],
        "layer_norm_eps": 1e-6,
    }


def text_values(sizes: Shape) -> dict[str, Any]:
    """What a `LlamaConfig` of a shape takes."""
    return {
        "vocab_size": sizes.vocab,
        "hidden_size": sizes.width,
        "intermediate_size": sizes.inner,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.kv_heads,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-5,
    }


def random_model(sizes: Shape, dtype: Any, decoder_layers: int | None = None) -> Any:
    """A model of that shape on torch's current device, or one with another number of decoder
    layers. Raises ImportError or AttributeError where transformers lacks the classes."""
    import transformers

    text = text_values(sizes)
    if decoder_layers is not None:
        text["num_hidden_layers"] = decoder_layers
    config = transformers.InternVLConfig(
        vision_config=transformers.InternVLVisionConfig(**vision_values(sizes)),
        text_config=transformers.LlamaConfig(**text),
        image_token_id=IMAGE_TOKEN,
        image_seq_length=IMAGE_TOKENS,
        downsample_ratio=0.5,
        projector_hidden_act="gelu",
        tie_word_embeddings=False,
    )
    model = transformers.AutoModelForImageTextToText.from_config(
        config, dtype=dtype, attn_implementation="sdpa"
    )
    return model.eval()
