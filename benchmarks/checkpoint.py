"""Random checkpoints of real shapes, so that nothing has to be downloaded to measure.

python -m benchmarks.checkpoint build/checkpoint-2b --shape 2b
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import struct
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from tests.reference import make_tokenizer

README = pathlib.Path(__file__).parent.parent / "README.md"
TRAINED_PIECES = 1000
LAST = "added_tokens.json"  # of the files that are written


class Shape(NamedTuple):
    """Sizes of a chat model; the rest is as published."""

    vit_layers: int
    vit_width: int
    vit_heads: int
    vit_inner: int
    layers: int
    width: int
    heads: int
    kv_heads: int
    inner: int
    vocab: int = 92553

    @property
    def is_6b(self) -> bool:
        """InternViT-6B has RMS norms, query and key norms, and no bias of qkv."""
        return self.vit_width == 3200


SHAPES = {
    # Mini-InternVL-Chat-2B-V1-5: InternViT-300M and InternLM2-Chat-1.8B
    "2b": Shape(24, 1024, 16, 4096, 24, 2048, 16, 8, 8192),
    # InternVL-Chat-V1-5: InternViT-6B and InternLM2-Chat-20B
    "26b": Shape(45, 3200, 25, 12800, 48, 6144, 48, 8, 16384),
    # the 2B model's widths with few layers: for a machine with little memory or time
    "2b-slice": Shape(4, 1024, 16, 4096, 4, 2048, 16, 8, 8192),
    # one layer in each half of the 26B model's widths
    "26b-slice": Shape(1, 3200, 25, 12800, 1, 6144, 48, 8, 16384),
    # to try the programs, not to measure
    "tiny": Shape(2, 256, 4, 512, 2, 256, 4, 2, 512, 2048),
}


def config(shape: str) -> dict[str, Any]:
    """config.json of a shape, with the published checkpoints' other values."""
    sizes = SHAPES[shape]
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
            "hidden_size": sizes.width,
            "intermediate_size": sizes.inner,
            "max_position_embeddings": 32768,
            "num_attention_heads": sizes.heads,
            "num_hidden_layers": sizes.layers,
            "num_key_value_heads": sizes.kv_heads,
            "rms_norm_eps": 1e-05,
            "rope_scaling": {"factor": 2.0, "type": "dynamic"},
            "rope_theta": 1000000,
            "vocab_size": sizes.vocab,
        },
        "vision_config": {
            "architectures": ["InternVisionModel"],
            "model_type": "intern_vit_6b",
            "hidden_act": "gelu",
            "hidden_size": sizes.vit_width,
            "image_size": 448,
            "intermediate_size": sizes.vit_inner,
            "layer_norm_eps": 1e-06,
            "norm_type": "rms_norm" if sizes.is_6b else "layer_norm",
            "num_attention_heads": sizes.vit_heads,
            "num_hidden_layers": sizes.vit_layers,
            "patch_size": 14,
            "qk_normalization": sizes.is_6b,
            "qkv_bias": not sizes.is_6b,
        },
    }


def tensors(shape: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a checkpoint's tensors."""
    sizes = SHAPES[shape]
    vit_width, vit_inner, width, inner = (
        sizes.vit_width,
        sizes.vit_inner,
        sizes.width,
        sizes.inner,
    )
    vision = "vision_model.embeddings."
    yield vision + "class_embedding", (1, 1, vit_width)
    yield vision + "patch_embedding.weight", (vit_width, 3, 14, 14)
    yield vision + "patch_embedding.bias", (vit_width,)
    yield vision + "position_embedding", (1, 1025, vit_width)
    for i in range(sizes.vit_layers):
        prefix = f"vision_model.encoder.layers.{i}."
        yield prefix + "attn.qkv.weight", (3 * vit_width, vit_width)
        if sizes.is_6b:
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
            if not sizes.is_6b:
                yield f"{prefix}{norm}.bias", (vit_width,)
        yield prefix + "ls1", (vit_width,)
        yield prefix + "ls2", (vit_width,)
    yield "mlp1.0.weight", (4 * vit_width,)
    yield "mlp1.0.bias", (4 * vit_width,)
    yield "mlp1.1.weight", (width, 4 * vit_width)
    yield "mlp1.1.bias", (width,)
    yield "mlp1.3.weight", (width, width)
    yield "mlp1.3.bias", (width,)
    head_dim = width // sizes.heads
    yield "language_model.model.tok_embeddings.weight", (sizes.vocab, width)
    for i in range(sizes.layers):
        prefix = f"language_model.model.layers.{i}."
        yield (
            prefix + "attention.wqkv.weight",
            ((sizes.heads + 2 * sizes.kv_heads) * head_dim, width),
        )
        yield prefix + "attention.wo.weight", (width, sizes.heads * head_dim)
        yield prefix + "attention_norm.weight", (width,)
        yield prefix + "ffn_norm.weight", (width,)
        yield prefix + "feed_forward.w1.weight", (inner, width)
        yield prefix + "feed_forward.w3.weight", (inner, width)
        yield prefix + "feed_forward.w2.weight", (width, inner)
    yield "language_model.model.norm.weight", (width,)
    yield "language_model.output.weight", (sizes.vocab, width)


def write_tokenizer(folder: pathlib.Path, shape: str) -> None:
    """Writes a tokenizer with the published one's special tokens and as many ids as the model."""
    following = len(make_tokenizer.FOLLOWING)
    size = SHAPES[shape].vocab - following
    trained = min(TRAINED_PIECES, size - make_tokenizer.UNUSED)
    make_tokenizer.write(folder, make_tokenizer.train([README], trained, size - trained))


def write(folder: pathlib.Path, shape: str, seed: int = 0) -> None:
    """Writes config.json and model.safetensors (bfloat16) of a shape."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(shape), indent=2))
    header: dict[str, dict[str, object]] = {"__metadata__": {"format": "pt"}}
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


@contextlib.contextmanager
def written(folder: pathlib.Path | None, shape: str) -> Iterator[pathlib.Path]:
    """A folder with such a checkpoint: the given one, where one that is there is kept, or one for
    as long as the context lasts."""
    with tempfile.TemporaryDirectory() as temporary:
        chosen = folder or pathlib.Path(temporary)
        if not (chosen / LAST).exists():
            write(chosen, shape)
            write_tokenizer(chosen, shape)
        yield chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="2b")
    arguments = parser.parse_args()
    write(arguments.folder, arguments.shape)
    write_tokenizer(arguments.folder, arguments.shape)


if __name__ == "__main__":
    main()
