"""InternLM2ForCausalLM: tensor names, and the interleaved rows of `wqkv`."""

from __future__ import annotations

from functools import partial

from internvl_native.checkpoint.table import (
    DecoderFamily,
    Table,
    head_dim,
    linear,
    matrix,
    norm,
)
from internvl_native.configuration import DecoderConfig


def _model(config: DecoderConfig) -> Table:
    hidden_size = config.hidden_size
    return {
        "tok_embeddings": [matrix("model.tok_embeddings.weight", config.vocab_size, hidden_size)],
        **norm("norm", "model.norm", hidden_size, bias=False),
        **linear("output", "output", config.vocab_size, hidden_size, bias=False),
    }


def _layer(config: DecoderConfig) -> Table:
    hidden_size, intermediate_size = config.hidden_size, config.intermediate_size
    qkv_rows = (config.num_attention_heads + 2 * config.num_key_value_heads) * head_dim(config)
    ranges = partial(_split_wqkv, config)
    qkv = linear("qkv", "attention.wqkv", qkv_rows, hidden_size, bias=config.has_attention_bias)
    return {
        **{name: [rows._replace(ranges=ranges) for rows in all_] for name, all_ in qkv.items()},
        **linear("wo", "attention.wo", hidden_size, hidden_size, bias=config.has_attention_bias),
        **linear("gate", "feed_forward.w1", intermediate_size, hidden_size, bias=False),
        **linear("up", "feed_forward.w3", intermediate_size, hidden_size, bias=False),
        **linear("down", "feed_forward.w2", hidden_size, intermediate_size, bias=False),
        **norm("attention_norm", "attention_norm", hidden_size, bias=False),
        **norm("ffn_norm", "ffn_norm", hidden_size, bias=False),
    }


def _split_wqkv(config: DecoderConfig) -> list[range]:
    """The rows of q, then k, then v: `wqkv` holds, for each key-value head, its group of query
    heads, then one key head, then one value head."""
    size = head_dim(config)
    query_rows = config.num_attention_heads // config.num_key_value_heads * size
    group_rows = query_rows + 2 * size
    groups = range(0, config.num_key_value_heads * group_rows, group_rows)
    query = [range(group, group + query_rows) for group in groups]
    key = [range(group + query_rows, group + query_rows + size) for group in groups]
    value = [range(group + query_rows + size, group + group_rows) for group in groups]
    return query + key + value


INTERNLM2 = DecoderFamily(_model, _layer, layer_prefix="model.layers.{}.")
