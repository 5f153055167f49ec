"""Writes a checkpoint with random weights for a config.json.

    python -m tests.reference.make_checkpoint FOLDER --config config.json --shards 2 --seed 1

config.json says everything about the shape (decoder family, rope scaling, bias, ps_version, ...)
and is copied as it is; `--shards` splits the tensors into that many files and an index.
`llm_config.vocab_size` is set to the tokenizer's size where FOLDER has one.
"""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path
from typing import Any

import torch
from tests.reference.torch_reference import TorchReference

VISION_EMBEDDINGS = ("class_embedding", "position_embedding")
TOKEN_EMBEDDINGS = ("tok_embeddings.weight", "embed_tokens.weight")
TOKEN_SCALE = 0.3  # small beside the image's rows and the layers, so that both change the answer
ATTENTION_GAIN = 2.0
OUTPUT_GAIN = 3.0  # spreads the logits, so that the best token leads clearly


def random_tensor(name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Values that keep activations near one and make every parameter matter."""
    values = torch.randn(shape, generator=generator)
    if name.endswith(("ls1", "ls2")):
        return 0.5 + 0.2 * values
    if name.endswith("bias"):
        return 0.2 * values
    if len(shape) == 1:  # the norms
        return 1 + 0.2 * values
    if name.endswith(VISION_EMBEDDINGS):
        return values
    if name.endswith(TOKEN_EMBEDDINGS):
        return TOKEN_SCALE * values
    gain = ATTENTION_GAIN if "attention" in name or "attn" in name else 1.0
    if name.endswith(("output.weight", "lm_head.weight")):
        gain = OUTPUT_GAIN
    return values * gain * shape[1:].numel() ** -0.5


def random_tensors(config: dict[str, Any], seed: int) -> dict[str, torch.Tensor]:
    """Every tensor of the model that `config` describes, by the names the reference gives them."""
    from internvl.model.internvl_chat import InternVLChatConfig, InternVLChatModel

    model = InternVLChatModel(InternVLChatConfig(**copy.deepcopy(config)))
    generator = torch.Generator().manual_seed(seed)
    return {
        name: random_tensor(name, parameter.shape, generator)
        for name, parameter in model.named_parameters()
    }


def write(folder: Path, tensors: dict[str, torch.Tensor], shards: int) -> None:
    from safetensors.torch import save_file

    names = sorted(tensors)
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = names[len(names) * shard // shards : len(names) * (shard + 1) // shards]
        save_file({name: tensors[name] for name in part}, folder / file, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(part, file))
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    text = json.dumps(index, indent=2, sort_keys=True) + "\n"
    (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


def make(folder: Path, config: dict[str, Any], dtype: str, shards: int, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    added = folder / "added_tokens.json"
    if added.is_file():
        rows = 1 + max(json.loads(added.read_text(encoding="utf-8")).values())
        config["llm_config"]["vocab_size"] = rows
    for part in (config, config["llm_config"], config["vision_config"]):
        part["torch_dtype"] = dtype
    tensors = random_tensors(config, seed)
    target = getattr(torch, dtype)
    write(folder, {name: tensor.to(target) for name, tensor in tensors.items()}, shards)
    text = json.dumps(config, indent=2) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--config", type=Path, required=True, help="config.json to copy")
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    TorchReference()  # makes the reference importable
    config = json.loads(arguments.config.read_text(encoding="utf-8"))
    make(arguments.folder, config, arguments.dtype, arguments.shards, arguments.seed)


if __name__ == "__main__":
    main()
