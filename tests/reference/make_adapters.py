"""Makes tests/data/extra/lora, adapters with random weights for the checkpoints beside it.

    python -m tests.reference.make_adapters
    python -m tests.reference.regenerate --data tests/data/extra --write lora

Needs peft 0.10 and accelerate besides what the other scripts need.
"""

from __future__ import annotations

import json
import shutil
from typing import Any

import torch
from tests.reference.make_checkpoint import write
from tests.reference.torch_reference import TorchReference
from tests.support.goldens import EXTRA

FOLDER = EXTRA / "lora"
TOKENIZER_FILES = ("*token*", "generation_config.json")

# folder -> (checkpoint, part of the model, options of LoraConfig)
ADAPTERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama_language": (
        "ckpt_llama",
        "language_model",
        {
            "r": 3,
            "lora_alpha": 5,
            "use_rslora": True,
            "target_modules": ["q_proj", "v_proj", "up_proj", "embed_tokens"],
            "rank_pattern": {"up_proj": 2},
            "alpha_pattern": {"layers.1.self_attn.q_proj": 9},
            "modules_to_save": ["lm_head"],
        },
    ),
    "llama_second": (
        "ckpt_llama",
        "language_model",
        {"r": 2, "lora_alpha": 7, "target_modules": r".*\.mlp\.(gate|down)_proj"},
    ),
    "linear_chat": (
        "ckpt_linear",
        "",
        {
            "r": 4,
            "lora_alpha": 4,
            "bias": "all",
            "target_modules": r"language_model.*\.(wqkv|wo|w2)|.*(qkv|fc1)|mlp1\.[13]",
        },
    ),
    "plain_dora": (
        "ckpt_plain",
        "language_model",
        {
            "r": 2,
            "lora_alpha": 6,
            "use_dora": True,
            "target_modules": ["wqkv", "w1"],
            "layers_to_transform": [0, 2],
        },
    ),
    "dynamic_vision": (
        "ckpt_dynamic",
        "vision_model",
        {"r": 2, "lora_alpha": 8, "target_modules": ["qkv", "fc2", "patch_embedding"]},
    ),
}
# case -> adapters; the wrapped checkpoint has LoRA layers inside
CASES = {
    "llama": ["llama_language"],
    "llama_two": ["llama_language", "llama_second"],
    "linear": ["linear_chat"],
    "plain": ["plain_dora"],
    "dynamic": ["dynamic_vision"],
}


def randomize(model: torch.nn.Module, generator: torch.Generator) -> None:
    """Gives everything that an adapter trains values that change the answer."""
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        noise = torch.randn(parameter.shape, generator=generator)
        if "lora_A" in name or "lora_embedding_B" in name:
            parameter.data = noise * parameter.shape[1:].numel() ** -0.5
        elif "lora_B" in name or "lora_embedding_A" in name:
            parameter.data = 0.3 * noise
        else:  # biases, whole layers, the magnitudes of DoRA
            parameter.data = parameter.data * (1 + 0.2 * noise)


def make_adapter(impl: TorchReference, name: str, seed: int) -> None:
    from peft import LoraConfig, get_peft_model

    checkpoint, part, options = ADAPTERS[name]
    target = impl.load_model(EXTRA / checkpoint).get_submodule(part)
    model = get_peft_model(target, LoraConfig(**options))
    randomize(model, torch.Generator().manual_seed(seed))
    config = model.peft_config["default"]
    config.base_model_name_or_path = f"tests/data/extra/{checkpoint}"
    model.save_pretrained(FOLDER / name)
    (FOLDER / name / "README.md").unlink()


def make_wrapped(impl: TorchReference, checkpoint: str, llm_rank: int, backbone_rank: int) -> None:
    """A checkpoint as the reference's training saves it with --use_llm_lora."""
    folder = FOLDER / "wrapped"
    folder.mkdir(parents=True, exist_ok=True)
    model = impl.load_model(EXTRA / checkpoint)
    model.wrap_llm_lora(r=llm_rank, lora_alpha=2 * llm_rank)
    model.wrap_backbone_lora(r=backbone_rank, lora_alpha=2 * backbone_rank)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = "lora_" in name
    randomize(model, torch.Generator().manual_seed(9))
    tensors = {name: value.to(torch.bfloat16) for name, value in model.state_dict().items()}
    write(folder, tensors, shards=1)
    config = json.loads((EXTRA / checkpoint / "config.json").read_text(encoding="utf-8"))
    config.update(use_llm_lora=llm_rank, use_backbone_lora=backbone_rank)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for pattern in TOKENIZER_FILES:
        for file in (EXTRA / checkpoint).glob(pattern):
            shutil.copy(file, folder)


def main() -> None:
    impl = TorchReference()
    for seed, name in enumerate(ADAPTERS, 1):
        make_adapter(impl, name, seed)
    make_wrapped(impl, "ckpt_plain", llm_rank=3, backbone_rank=2)
    cases: list[dict[str, Any]] = [
        {"case": "wrapped", "ckpt": "lora/wrapped", "part": "", "adapters": []}
    ]
    for case, adapters in CASES.items():
        checkpoint, part, _ = ADAPTERS[adapters[0]]
        folders = [f"lora/{name}" for name in adapters]
        cases.append({"case": case, "ckpt": checkpoint, "part": part, "adapters": folders})
    (EXTRA / "lora.json").write_text(json.dumps({"cases": cases}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
