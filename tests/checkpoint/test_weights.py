"""Weight maps: what the tables make of a checkpoint, against plain numpy on the same tensors."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.checkpoint.synthetic import (
    DTYPES,
    LLAMA,
    VISION,
    Array,
    chat_config,
    chat_shapes,
    checkpoint_of,
    read_rows,
    values_of,
)

from internvl_native.checkpoint import CheckpointError, open_checkpoint, unused_tensors, weight_map
from internvl_native.configuration import AutoConfig, InternVisionConfig, InternVLChatConfig

DATA = Path(__file__).parents[1] / "data"


def read_plainly(folder: Path) -> dict[str, Array]:
    tensors = {}
    for path in folder.glob("*.safetensors"):
        content = path.read_bytes()
        begin = 8 + int.from_bytes(content[:8], "little")
        for name, entry in json.loads(content[8:begin]).items():
            if name != "__metadata__":
                first, last = entry["data_offsets"]
                data = np.frombuffer(content[begin + first : begin + last], DTYPES[entry["dtype"]])
                tensors[name] = data.reshape(entry["shape"])
    return tensors


def split_wqkv(wqkv: Array, kv_heads: int, head_dim: int) -> Array:
    """As the reference rearranges the projection: (kv_heads, group + 2, head_dim) rows."""
    groups = wqkv.reshape(kv_heads, -1, head_dim, wqkv.shape[-1] if wqkv.ndim == 2 else 1)
    parts = groups[:, :-2], groups[:, -2], groups[:, -1]
    return np.concatenate([part.reshape(-1, groups.shape[-1]) for part in parts])


@pytest.mark.parametrize("name", ["ckpt_layernorm", "ckpt_rmsnorm", "ckpt_ntk"])
def test_stored_checkpoints_are_used_completely(name: str) -> None:
    folder = DATA / name
    config = AutoConfig.from_pretrained(folder)
    checkpoint = open_checkpoint(folder)
    weights = weight_map(config, checkpoint)
    assert unused_tensors(config, checkpoint) == []
    tensors = read_plainly(folder)

    decoder, vision = config.llm_config, config.vision_config
    head_dim = decoder.hidden_size // decoder.num_attention_heads
    expected = {
        "vision.class_embedding": "vision_model.embeddings.class_embedding",
        "vision.patch_embedding": "vision_model.embeddings.patch_embedding.weight",
        "vision.patch_embedding.bias": "vision_model.embeddings.patch_embedding.bias",
        "vision.position_embedding": "vision_model.embeddings.position_embedding",
        "projector.norm": "mlp1.0.weight",
        "projector.norm.bias": "mlp1.0.bias",
        "projector.linear1": "mlp1.1.weight",
        "projector.linear1.bias": "mlp1.1.bias",
        "projector.linear2": "mlp1.3.weight",
        "projector.linear2.bias": "mlp1.3.bias",
        "decoder.tok_embeddings": "language_model.model.tok_embeddings.weight",
        "decoder.norm": "language_model.model.norm.weight",
        "decoder.output": "language_model.output.weight",
    }
    vision_layer = {
        "norm1": "norm1.weight", "qkv": "attn.qkv.weight", "proj": "attn.proj.weight",
        "proj.bias": "attn.proj.bias", "ls1": "ls1", "norm2": "norm2.weight",
        "fc1": "mlp.fc1.weight", "fc1.bias": "mlp.fc1.bias", "fc2": "mlp.fc2.weight",
        "fc2.bias": "mlp.fc2.bias", "ls2": "ls2",
    }  # fmt: skip
    if vision.norm_type == "layer_norm":
        vision_layer.update({"norm1.bias": "norm1.bias", "norm2.bias": "norm2.bias"})
    if vision.qkv_bias:
        vision_layer["qkv.bias"] = "attn.qkv.bias"
    if vision.qk_normalization:
        vision_layer.update({"q_norm": "attn.q_norm.weight", "k_norm": "attn.k_norm.weight"})
    decoder_layer = {
        "attention_norm": "attention_norm.weight", "wo": "attention.wo.weight",
        "ffn_norm": "ffn_norm.weight", "gate": "feed_forward.w1.weight",
        "up": "feed_forward.w3.weight", "down": "feed_forward.w2.weight",
    }  # fmt: skip
    for layer in range(vision.num_hidden_layers):
        for ours, theirs in vision_layer.items():
            prefix = f"vision_model.encoder.layers.{layer}."
            expected[f"vision.layers.{layer}.{ours}"] = prefix + theirs
    for layer in range(decoder.num_hidden_layers):
        prefix = f"language_model.model.layers.{layer}."
        for ours, theirs in decoder_layer.items():
            expected[f"decoder.layers.{layer}.{ours}"] = prefix + theirs
        qkv = split_wqkv(
            tensors.pop(prefix + "attention.wqkv.weight"), decoder.num_key_value_heads, head_dim
        )
        assert np.array_equal(read_rows(weights.pop(f"decoder.layers.{layer}.qkv")), qkv)

    assert sorted(weights) == sorted(expected)
    assert sorted(tensors) == sorted(expected.values())
    for ours, theirs in expected.items():
        matrix = read_rows(weights[ours])
        assert np.array_equal(matrix.reshape(-1), tensors[theirs].reshape(-1)), ours
    assert read_rows(weights["vision.patch_embedding"]).shape == (vision.hidden_size, 588)
    assert read_rows(weights["vision.class_embedding"]).shape == (vision.hidden_size, 1)
    tokens = (vision.image_size // 14) ** 2 + 1
    assert read_rows(weights["vision.position_embedding"]).shape == (tokens, vision.hidden_size)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_internlm2_with_biases(tmp_path: Path, dtype: str) -> None:
    shapes = chat_shapes()
    shapes["language_model.model.layers.0.attention.wqkv.bias"] = (32,)
    shapes["language_model.model.layers.0.attention.wo.bias"] = (16,)
    tensors = values_of(shapes, dtype)
    config = InternVLChatConfig(**chat_config(bias=True))
    weights = weight_map(config, checkpoint_of(tmp_path, tensors))
    bias = split_wqkv(tensors["language_model.model.layers.0.attention.wqkv.bias"], 2, 4)
    assert np.array_equal(read_rows(weights["decoder.layers.0.qkv.bias"]), bias)
    wo = tensors["language_model.model.layers.0.attention.wo.bias"]
    assert np.array_equal(read_rows(weights["decoder.layers.0.wo.bias"])[:, 0], wo)


@pytest.mark.parametrize("bias", [False, True])
def test_llama(tmp_path: Path, bias: bool) -> None:
    shapes = chat_shapes(LLAMA)
    prefix = "language_model.model.layers.0."
    projections = ("q", "k", "v", "o")
    if bias:
        for name, size in zip(projections, (16, 8, 8, 16)):
            shapes[f"{prefix}self_attn.{name}_proj.bias"] = (size,)
    tensors = values_of(shapes)
    config = InternVLChatConfig(**chat_config("LlamaForCausalLM", attention_bias=bias))
    weights = weight_map(config, checkpoint_of(tmp_path, tensors))

    def stored(*names: str) -> Array:
        parts = [tensors[prefix + name] for name in names]
        return np.concatenate([part.reshape(len(part), -1) for part in parts])

    attention = [f"self_attn.{name}_proj" for name in projections]
    expected = {
        "attention_norm": stored("input_layernorm.weight"),
        "qkv": stored(*(f"{name}.weight" for name in attention[:3])),
        "wo": stored("self_attn.o_proj.weight"),
        "ffn_norm": stored("post_attention_layernorm.weight"),
        "gate": stored("mlp.gate_proj.weight"),
        "up": stored("mlp.up_proj.weight"),
        "down": stored("mlp.down_proj.weight"),
    }
    if bias:
        expected["qkv.bias"] = stored(*(f"{name}.bias" for name in attention[:3]))
        expected["wo.bias"] = stored("self_attn.o_proj.bias")
    decoder = {name[17:] for name in weights if name.startswith("decoder.layers.0.")}
    assert decoder == set(expected)
    for name, matrix in expected.items():
        assert np.array_equal(read_rows(weights[f"decoder.layers.0.{name}"]), matrix), name
    output = tensors["language_model.lm_head.weight"]
    assert np.array_equal(read_rows(weights["decoder.output"]), output)


def test_tied_embeddings(tmp_path: Path) -> None:
    tensors = values_of(chat_shapes())
    config = InternVLChatConfig(**chat_config(tie_word_embeddings=True))
    stored = weight_map(config, checkpoint_of(tmp_path, tensors))
    assert stored["decoder.output"] != stored["decoder.tok_embeddings"]
    del tensors["language_model.output.weight"]
    checkpoint = checkpoint_of(tmp_path, tensors)
    tied = weight_map(config, checkpoint)
    assert tied["decoder.output"] == tied["decoder.tok_embeddings"]
    with pytest.raises(CheckpointError, match=r"language_model\.output\.weight"):
        weight_map(InternVLChatConfig(**chat_config()), checkpoint)


def test_a_vision_tower_alone_or_inside(tmp_path: Path) -> None:
    config = InternVisionConfig(**chat_config()["vision_config"])
    tensors = values_of(VISION)
    alone = weight_map(config, checkpoint_of(tmp_path, tensors))
    assert np.array_equal(
        read_rows(alone["vision.layers.0.qkv"]), tensors["encoder.layers.0.attn.qkv.weight"]
    )
    assert all(name.startswith("vision.") for name in alone)
    inside = weight_map(config, checkpoint_of(tmp_path, values_of(chat_shapes())))
    assert set(inside) == set(alone)


def broken(**changes: Array | None) -> dict[str, Array]:
    tensors = {**values_of(chat_shapes()), **changes}
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mlp1.3.bias": None}, "tensor 'mlp1.3.bias': expected shape (16,), got no such tensor"),
        (
            {"mlp1.3.weight": np.ones((16, 17), np.float32)},
            "model.safetensors: tensor 'mlp1.3.weight': expected shape (16, 16), got (16, 17)",
        ),
        (
            {"vision_model.embeddings.position_embedding": np.ones((5, 8), np.float32)},
            "expected shape (1, 5, 8), got (5, 8)",
        ),
        (
            {"mlp1.0.weight": np.ones(32, np.float64)},
            "tensor 'mlp1.0.weight': expected a dtype of BF16, F16, F32, got F64",
        ),
        (
            {"language_model.model.layers.0.attention.wqkv.weight": np.ones((32, 16), np.int8)},
            "expected a dtype of BF16, F16, F32, got I8",
        ),
    ],
)
def test_tensors_that_do_not_fit(
    tmp_path: Path, changes: dict[str, Array | None], message: str
) -> None:
    config = InternVLChatConfig(**chat_config())
    with pytest.raises(CheckpointError, match=re.escape(message)) as error:
        weight_map(config, checkpoint_of(tmp_path, broken(**changes)))
    assert "tensors that do not fit config.json: 1\n" in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_all_problems_are_counted_and_the_first_listed(tmp_path: Path) -> None:
    missing = dict.fromkeys(f"vision_model.{name}" for name in VISION)
    with pytest.raises(CheckpointError) as error:
        weight_map(InternVLChatConfig(**chat_config()), checkpoint_of(tmp_path, broken(**missing)))
    lines = str(error.value).splitlines()
    assert lines[0].endswith(f"tensors that do not fit config.json: {len(VISION)}")
    assert len(lines) == 10
    assert lines[-1] == f"... and {len(VISION) - 8} more"


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("vision_config", "num_hidden_layers"),
        ("vision_config", "intermediate_size"),
        ("vision_config", "num_channels"),
        ("vision_config", "hidden_size"),
        ("llm_config", "num_hidden_layers"),
        ("llm_config", "vocab_size"),
        ("llm_config", "hidden_size"),
        ("llm_config", "intermediate_size"),
    ],
)
def test_absurd_sizes_are_refused_by_the_files(tmp_path: Path, part: str, name: str) -> None:
    values: dict[str, Any] = chat_config()
    values[part][name] = 2**30
    with pytest.raises(CheckpointError, match="expected"):
        weight_map(InternVLChatConfig(**values), checkpoint_of(tmp_path, values_of(chat_shapes())))


def test_absurd_head_counts_are_refused_by_the_files(tmp_path: Path) -> None:
    heads: dict[str, Any] = {
        "hidden_size": 2**30,
        "num_attention_heads": 2**29,
        "num_key_value_heads": 2**29,
    }
    config = InternVLChatConfig(**chat_config(**heads))
    with pytest.raises(CheckpointError, match="expected"):
        weight_map(config, checkpoint_of(tmp_path, values_of(chat_shapes())))


def test_surplus_tensors_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    surplus: dict[str, Array] = {
        "z.weight": np.ones(3, np.int8),
        "a.weight": np.ones(3, np.float32),
        "language_model.model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(2, np.float32),
    }
    checkpoint = checkpoint_of(tmp_path, broken(**surplus))
    config = InternVLChatConfig(**chat_config())
    with caplog.at_level(logging.WARNING, "internvl_native"):
        weight_map(config, checkpoint)
    (record,) = caplog.records
    assert record.getMessage().startswith(
        f"Some weights of the model checkpoint at {tmp_path} were not used when initializing "
        "InternVLChatModel: ['a.weight', 'z.weight']"
    )
    assert unused_tensors(config, checkpoint) == ["a.weight", "z.weight"]
