"""LlamaForCausalLM: tensor names; q, k and v are stored apart."""

from __future__ import annotations

from internvl_native.checkpoint.table import (
    DecoderFamily,
    Table,
    head_dim,
    linear,
    matrix,
    norm,
    stacked,
)
from internvl_native.configuration import DecoderConfig


def _model(config: DecoderConfig) -> Table:
    hidden_size = config.hidden_size
    return {
        "tok_embeddings": [matrix("model.embed_tokens.weight", config.vocab_size, hidden_size)],
        **norm("norm", "model.norm", hidden_size, bias=False),
        **linear("output", "lm_head", config.vocab_size, hidden_size, bias=False),
    }


def _layer(config: DecoderConfig) -> Table:
    hidden_size, intermediate_size = config.hidden_size, config.intermediate_size
    key_value_size = config.num_key_value_heads * head_dim(config)
    bias = config.has_attention_bias
    return {
        **stacked(
            "qkv",
            linear("q", "self_attn.q_proj", hidden_size, hidden_size, bias=bias),
            linear("k", "self_attn.k_proj", key_value_size, hidden_size, bias=bias),
            linear("v", "self_attn.v_proj", key_value_size, hidden_size, bias=bias),
        ),
        **linear("wo", "self_attn.o_proj", hidden_size, hidden_size, bias=bias),
        **linear("gate", "mlp.gate_proj", intermediate_size, hidden_size, bias=False),
        **linear("up", "mlp.up_proj", intermediate_size, hidden_size, bias=False),
        **linear("down", "mlp.down_proj", hidden_size, intermediate_size, bias=False),
        **norm("attention_norm", "input_layernorm", hidden_size, bias=False),
        **norm("ffn_norm", "post_attention_layernorm", hidden_size, bias=False),
    }


LLAMA = DecoderFamily(_model, _layer, layer_prefix="model.layers.{}.")
