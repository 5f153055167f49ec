"""InternVisionModel: tensor names, the same for both kinds (6B and 300M)."""

from __future__ import annotations

from internvl_native.checkpoint.table import Table, linear, matrix, norm, vector
from internvl_native.configuration import InternVisionConfig

LAYER_PREFIX = "encoder.layers.{}."


def vision_model(config: InternVisionConfig) -> Table:
    """What is not in a layer."""
    size, channels, patch = config.hidden_size, config.num_channels, config.patch_size
    tokens = 1 + (config.image_size // patch) ** 2
    return {
        "class_embedding": [vector("embeddings.class_embedding", size, shape=(1, 1, size))],
        "position_embedding": [
            matrix("embeddings.position_embedding", tokens, size, shape=(1, tokens, size))
        ],
        "patch_embedding": [
            matrix(
                "embeddings.patch_embedding.weight",
                size,
                channels * patch * patch,
                shape=(size, channels, patch, patch),
            )
        ],
        "patch_embedding.bias": [vector("embeddings.patch_embedding.bias", size)],
    }


def vision_layer(config: InternVisionConfig) -> Table:
    """One layer; tensor names follow `LAYER_PREFIX`."""
    size, intermediate_size = config.hidden_size, config.intermediate_size
    layer_norm = config.norm_type == "layer_norm"
    qk_norms: Table = {}
    if config.qk_normalization:  # always an RMSNorm, over all heads together
        qk_norms.update(norm("q_norm", "attn.q_norm", size, bias=False))
        qk_norms.update(norm("k_norm", "attn.k_norm", size, bias=False))
    return {
        "ls1": [vector("ls1", size)],
        "ls2": [vector("ls2", size)],
        **linear("qkv", "attn.qkv", 3 * size, size, bias=config.qkv_bias),
        **qk_norms,
        **linear("proj", "attn.proj", size, size),
        **linear("fc1", "mlp.fc1", intermediate_size, size),
        **linear("fc2", "mlp.fc2", size, intermediate_size),
        **norm("norm1", "norm1", size, bias=layer_norm),
        **norm("norm2", "norm2", size, bias=layer_norm),
    }
