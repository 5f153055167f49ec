"""Random checkpoints of real shapes, so that nothing has to be downloaded to measure.

python -m benchmarks.checkpoint build/checkpoint-2b --shape 2b
"""

from __future__ import annotations

import argparse
import json
import pathlib
import struct
from collections.abc import Iterator

import numpy as np

SHAPES = {
    # Mini-InternVL-Chat-2B-V1-5: InternViT-300M and InternLM2-Chat-1.8B
    "2b": {"vit": (24, 1024, 16, 4096), "llm": (24, 2048, 16, 8, 8192), "vocab": 92553},
    # the same widths with few layers: for a machine with little memory or time
    "2b-slice": {"vit": (4, 1024, 16, 4096), "llm": (4, 2048, 16, 8, 8192), "vocab": 92553},
    # one layer in each half of the 26B model's widths
    "26b-slice": {"vit": (1, 3200, 25, 12800), "llm": (1, 6144, 48, 8, 16384), "vocab": 92553},
}


def config(shape: str) -> dict[str, object]:
    """config.json of a shape, with the published checkpoints' other values."""
    vit_layers, vit_width, vit_heads, vit_inner = SHAPES[shape]["vit"]  # type: ignore[misc]
    layers, width, heads, kv_heads, inner = SHAPES[shape]["llm"]  # type: ignore[misc]
    is_6b = vit_width == 3200
    return {
        "architectures": ["InternVLChatModel"],
        "model_type": "internvl_chat",
        "downsample_ratio": 0.5,
        "dynamic_image_size": True,
        "force_image_size": 448,
        "max_dynamic_patch": 12,
        "min_dynamic_patch": 1,
        "ps_version": "v2",
        "select_layer": -1,
        "template": "internlm2-chat",
        "torch_dtype": "bfloat16",
        "use_thumbnail": True,
        "llm_config": {
            "architectures": ["InternLM2ForCausalLM"],
            "model_type": "internlm2",
            "bias": False,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 2,
            "hidden_act": "silu",
            "hidden_size": width,
            "intermediate_size": inner,
            "max_position_embeddings": 32768,
            "num_attention_heads": heads,
            "num_hidden_layers": layers,
            "num_key_value_heads": kv_heads,
            "rms_norm_eps": 1e-05,
            "rope_scaling": {"factor": 2.0, "type": "dynamic"},
            "rope_theta": 1000000,
            "vocab_size": SHAPES[shape]["vocab"],
        },
        "vision_config": {
            "architectures": ["InternVisionModel"],
            "model_type": "intern_vit_6b",
            "hidden_act": "gelu",
            "hidden_size": vit_width,
            "image_size": 448,
            "intermediate_size": vit_inner,
            "layer_norm_eps": 1e-06,
            "norm_type": "rms_norm" if is_6b else "layer_norm",
            "num_attention_heads": vit_heads,
            "num_hidden_layers": vit_layers,
            "patch_size": 14,
            "qk_normalization": is_6b,
            "qkv_bias": not is_6b,
        },
    }


def tensors(shape: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a checkpoint's tensors."""
    vit_layers, vit_width, _, vit_inner = SHAPES[shape]["vit"]  # type: ignore[misc]
    layers, width, heads, kv_heads, inner = SHAPES[shape]["llm"]  # type: ignore[misc]
    vocab: int = SHAPES[shape]["vocab"]  # type: ignore[assignment]
    is_6b = vit_width == 3200
    vision = "vision_model.embeddings."
    yield vision + "class_embedding", (1, 1, vit_width)
    yield vision + "patch_embedding.weight", (vit_width, 3, 14, 14)
    yield vision + "patch_embedding.bias", (vit_width,)
    yield vision + "position_embedding", (1, 1025, vit_width)
    for i in range(vit_layers):
        prefix = f"vision_model.encoder.layers.{i}."
        yield prefix + "attn.qkv.weight", (3 * vit_width, vit_width)
        if is_6b:
            yield prefix + "attn.q_norm.weight", (vit_width,)
            yield prefix + "attn.k_norm.weight", (vit_width,)
        else:
            yield prefix + "attn.qkv.bias", (3 * vit_width,)
        yield prefix + "attn.proj.weight", (vit_width, vit_width)
        yield prefix + "attn.proj.bias", (vit_width,)
        yield prefix + "mlp.fc1.weight", (vit_inner, vit_width)
        yield prefix + "mlp.fc1.bias", (vit_inner,)
        yield prefix + "mlp.fc2.weight", (vit_width, vit_inner)
        yield prefix + "mlp.fc2.bias", (vit_width,)
        for norm in ("norm1", "norm2"):
            yield f"{prefix}{norm}.weight", (vit_width,)
            if not is_6b:
                yield f"{prefix}{norm}.bias", (vit_width,)
        yield prefix + "ls1", (vit_width,)
        yield prefix + "ls2", (vit_width,)
    yield "mlp1.0.weight", (4 * vit_width,)
    yield "mlp1.0.bias", (4 * vit_width,)
    yield "mlp1.1.weight", (width, 4 * vit_width)
    yield "mlp1.1.bias", (width,)
    yield "mlp1.3.weight", (width, width)
    yield "mlp1.3.bias", (width,)
    head_dim = width // heads
    yield "language_model.model.tok_embeddings.weight", (vocab, width)
    for i in range(layers):
        prefix = f"language_model.model.layers.{i}."
        yield prefix + "attention.wqkv.weight", ((heads + 2 * kv_heads) * head_dim, width)
        yield prefix + "attention.wo.weight", (width, heads * head_dim)
        yield prefix + "attention_norm.weight", (width,)
        yield prefix + "ffn_norm.weight", (width,)
        yield prefix + "feed_forward.w1.weight", (inner, width)
        yield prefix + "feed_forward.w3.weight", (inner, width)
        yield prefix + "feed_forward.w2.weight", (width, inner)
    yield "language_model.model.norm.weight", (width,)
    yield "language_model.output.weight", (vocab, width)


def write(folder: pathlib.Path, shape: str, seed: int = 0) -> None:
    """Writes config.json and model.safetensors (bfloat16) of a shape."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(shape), indent=2))
    header: dict[str, dict[str, object]] = {}
    offset = 0
    for name, dims in tensors(shape):
        size = 2 * int(np.prod(dims))
        header[name] = {"dtype": "BF16", "shape": dims, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    # One block of normal values is repeated at shifting offsets: drawing billions takes minutes.
    block = np.random.default_rng(seed).standard_normal((1 << 20) + 4096, dtype=np.float32)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for index, (name, dims) in enumerate(tensors(shape)):
            is_norm = len(dims) == 1 and name.endswith("weight")
            values = block * (0.02 if len(dims) > 1 else 0.1) + (1.0 if is_norm else 0.0)
            bits = (values.view(np.uint32) >> 16).astype(np.uint16)
            count = int(np.prod(dims))
            shift = (index * 97) % 4096
            while count > 0:
                part = bits[shift : shift + min(count, 1 << 20)]
                file.write(part.tobytes())
                count -= len(part)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="2b")
    arguments = parser.parse_args()
    write(arguments.folder, arguments.shape)


if __name__ == "__main__":
    main()
