"""Writes what was trained as a checkpoint: `python -m examples.train_demo.export OUT FOLDER`."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from examples.train_demo.data import SYSTEM
from examples.train_demo.model import Shape
from safetensors.torch import save_file

TOKENIZER = (
    "tokenizer.model", "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json",
)  # fmt: skip


def config(s: Shape) -> dict[str, Any]:
    """config.json with the names of the published checkpoints."""
    llm = {
        "architectures": ["InternLM2ForCausalLM"],
        "model_type": "internlm2",
        "attn_implementation": "eager",
        "bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": s.hidden,
        "intermediate_size": s.mlp,
        "max_position_embeddings": 4096,
        "num_attention_heads": s.heads,
        "num_hidden_layers": s.layers,
        "num_key_value_heads": s.kv_heads,
        "rms_norm_eps": 1e-5,
        "rope_theta": s.rope_theta,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": s.vocab,
    }
    vision = {
        "architectures": ["InternVisionModel"],
        "model_type": "intern_vit_6b",
        "attention_dropout": 0.0,
        "drop_path_rate": 0.0,
        "dropout": 0.0,
        "hidden_act": "gelu",
        "hidden_size": s.vision_hidden,
        "image_size": s.image_size,
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
        "intermediate_size": s.vision_mlp,
        "layer_norm_eps": 1e-6,
        "norm_type": "layer_norm",
        "num_attention_heads": s.vision_heads,
        "num_channels": 3,
        "num_hidden_layers": s.vision_layers,
        "patch_size": s.patch_size,
        "qk_normalization": False,
        "qkv_bias": True,
        "torch_dtype": "bfloat16",
        "use_flash_attn": False,
    }
    return {
        "architectures": ["InternVLChatModel"],
        "model_type": "internvl_chat",
        "downsample_ratio": 0.5,
        "dynamic_image_size": True,
        "force_image_size": s.image_size,
        "llm_config": llm,
        "max_dynamic_patch": 12,
        "min_dynamic_patch": 1,
        "pad2square": False,
        "ps_version": "v2",
        "select_layer": -1,
        "system_message": SYSTEM,
        "template": "internlm2-chat",
        "torch_dtype": "bfloat16",
        "transformers_version": "4.37.2",
        "use_backbone_lora": 0,
        "use_llm_lora": 0,
        "use_thumbnail": True,
        "vision_config": vision,
    }


def export(out: Path, folder: Path) -> None:
    weights = torch.load(out / "state.pt", weights_only=True)["student"]
    weights = {
        name.removeprefix("model."): value.to(torch.bfloat16).contiguous()
        for name, value in weights.items()
        if name.startswith("model.")
    }
    vocab = len(weights["language_model.output.weight"])
    added = json.loads((out / "added_tokens.json").read_text())
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    generation = {
        "_from_model_config": True,
        "eos_token_id": [added["<|im_end|>"], added["<|im_start|>"]],
        "transformers_version": "4.37.2",
    }
    for name, content in {
        "config.json": config(Shape(vocab=vocab)), "generation_config.json": generation,
    }.items():  # fmt: skip
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for name in TOKENIZER:
        shutil.copyfile(out / name, folder / name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("folder", type=Path)
    a = parser.parse_args()
    export(a.out, a.folder)
