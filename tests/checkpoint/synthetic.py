"""Checkpoints of a few kilobytes, written and read back without the package's code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from internvl_native._core import MappedFile
from internvl_native.checkpoint import Checkpoint, RowRange, open_checkpoint

Array = np.ndarray[Any, np.dtype[Any]]
Shapes = dict[str, tuple[int, ...]]

DTYPES = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16, "I8": np.int8, "F64": np.float64}
NUMPY = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}

VISION: Shapes = {
    "embeddings.class_embedding": (1, 1, 8),
    "embeddings.patch_embedding.weight": (8, 3, 2, 2),
    "embeddings.patch_embedding.bias": (8,),
    "embeddings.position_embedding": (1, 5, 8),
    "encoder.layers.0.attn.qkv.weight": (24, 8),
    "encoder.layers.0.attn.q_norm.weight": (8,),
    "encoder.layers.0.attn.k_norm.weight": (8,),
    "encoder.layers.0.attn.proj.weight": (8, 8),
    "encoder.layers.0.attn.proj.bias": (8,),
    "encoder.layers.0.mlp.fc1.weight": (12, 8),
    "encoder.layers.0.mlp.fc1.bias": (12,),
    "encoder.layers.0.mlp.fc2.weight": (8, 12),
    "encoder.layers.0.mlp.fc2.bias": (8,),
    "encoder.layers.0.norm1.weight": (8,),
    "encoder.layers.0.norm2.weight": (8,),
    "encoder.layers.0.ls1": (8,),
    "encoder.layers.0.ls2": (8,),
}
PROJECTOR: Shapes = {
    "mlp1.0.weight": (32,),
    "mlp1.0.bias": (32,),
    "mlp1.1.weight": (16, 32),
    "mlp1.1.bias": (16,),
    "mlp1.3.weight": (16, 16),
    "mlp1.3.bias": (16,),
}
INTERNLM2: Shapes = {
    "model.tok_embeddings.weight": (10, 16),
    "model.layers.0.attention.wqkv.weight": (32, 16),
    "model.layers.0.attention.wo.weight": (16, 16),
    "model.layers.0.attention_norm.weight": (16,),
    "model.layers.0.ffn_norm.weight": (16,),
    "model.layers.0.feed_forward.w1.weight": (20, 16),
    "model.layers.0.feed_forward.w3.weight": (20, 16),
    "model.layers.0.feed_forward.w2.weight": (16, 20),
    "model.norm.weight": (16,),
    "output.weight": (10, 16),
}
LLAMA: Shapes = {
    "model.embed_tokens.weight": (10, 16),
    "model.layers.0.self_attn.q_proj.weight": (16, 16),
    "model.layers.0.self_attn.k_proj.weight": (8, 16),
    "model.layers.0.self_attn.v_proj.weight": (8, 16),
    "model.layers.0.self_attn.o_proj.weight": (16, 16),
    "model.layers.0.input_layernorm.weight": (16,),
    "model.layers.0.post_attention_layernorm.weight": (16,),
    "model.layers.0.mlp.gate_proj.weight": (20, 16),
    "model.layers.0.mlp.up_proj.weight": (20, 16),
    "model.layers.0.mlp.down_proj.weight": (16, 20),
    "model.norm.weight": (16,),
    "lm_head.weight": (10, 16),
}


def chat_config(architecture: str = "InternLM2ForCausalLM", **llm: Any) -> dict[str, Any]:
    """config.json of the tensors above: 4 heads of 4, 2 key-value heads, 4 patches a tile."""
    return {
        "architectures": ["InternVLChatModel"],
        "model_type": "internvl_chat",
        "ps_version": "v2",
        "template": "internlm2-chat",
        "vision_config": {
            "hidden_size": 8,
            "intermediate_size": 12,
            "num_attention_heads": 2,
            "num_hidden_layers": 1,
            "image_size": 4,
            "patch_size": 2,
        },
        "llm_config": {
            "architectures": [architecture],
            "bias": False,
            "vocab_size": 10,
            "hidden_size": 16,
            "intermediate_size": 20,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "num_hidden_layers": 1,
            **llm,
        },
    }


def chat_shapes(decoder: Shapes = INTERNLM2) -> Shapes:
    return {
        **{f"vision_model.{name}": shape for name, shape in VISION.items()},
        **PROJECTOR,
        **{f"language_model.{name}": shape for name, shape in decoder.items()},
    }


def values_of(shapes: Shapes, dtype: str = "F32") -> dict[str, Array]:
    """Different numbers in every tensor; BF16 as its bits."""
    random = np.random.default_rng(7)
    return {
        name: random.integers(-99, 99, shape).astype(DTYPES[dtype])
        for name, shape in shapes.items()
    }


def write_safetensors(path: Path, tensors: dict[str, Array]) -> Path:
    names = {np.dtype(value): name for name, value in DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, tensor in tensors.items():
        offsets = [len(data), len(data) + tensor.nbytes]
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": offsets,
        }
        data += tensor.tobytes()
    return write_raw(path, json.dumps(header), data)


def write_raw(path: Path, header: str | bytes, data: bytes = b"") -> Path:
    encoded = header.encode() if isinstance(header, str) else header
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + data)
    return path


def checkpoint_of(folder: Path, tensors: dict[str, Array]) -> Checkpoint:
    write_safetensors(folder / "model.safetensors", tensors)
    return open_checkpoint(folder)


def read_rows(ranges: list[RowRange]) -> Array:
    """The matrix that a weight's row ranges make; BF16 as its bits."""
    parts = []
    for part in ranges:
        dtype = np.dtype(NUMPY[part.dtype])
        assert isinstance(part.source, MappedFile)
        data = part.source.read(part.offset, part.rows * part.cols * dtype.itemsize)
        parts.append(np.frombuffer(data, dtype).reshape(part.rows, part.cols))
    return np.concatenate(parts)
