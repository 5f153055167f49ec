"""Makes the checkpoints of tests/data/extra and the inputs of the files beside them.

    python -m tests.reference.make_extra
    python -m tests.reference.regenerate --data tests/data/extra --write TOPIC ...

where the topics are activations, chat, edges and features.

Each checkpoint covers what those of tests/data do not: another decoder family, biases, the other
rope scalings, shapes that no vector width divides.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.reference.make_checkpoint import make
from tests.reference.make_tokenizer import train, write
from tests.reference.torch_reference import TorchReference
from tests.support.edge_cases import EDGE_CASES
from tests.support.goldens import EXTRA

PIECES = 448
TILE = 56


def _vision(**settings: Any) -> dict[str, Any]:
    return {
        "architectures": ["InternVisionModel"],
        "model_type": "intern_vit_6b",
        "image_size": TILE,
        "patch_size": 14,
        "num_hidden_layers": 2,
        "layer_norm_eps": 1e-6,
        "hidden_act": "gelu",
        "initializer_factor": 1.0,
        "use_flash_attn": False,
        **settings,
    }


def _config(
    template: str, llm: dict[str, Any], vision: dict[str, Any], **rest: Any
) -> dict[str, Any]:
    llm = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2, "hidden_act": "silu", **llm}
    return {
        "architectures": ["InternVLChatModel"],
        "model_type": "internvl_chat",
        "downsample_ratio": 0.5,
        "force_image_size": TILE,
        "template": template,
        "use_thumbnail": True,
        **rest,
        "llm_config": llm,
        "vision_config": vision,
    }


CONFIGS: dict[str, dict[str, Any]] = {
    # InternVL-Chat-V1-2's kind: Llama, template Hermes-2; ps_version is left to its default, v1.
    "ckpt_llama": _config(
        "Hermes-2",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "attn_implementation": "eager",
            "hidden_size": 80,
            "intermediate_size": 148,
            "num_attention_heads": 5,
            "num_key_value_heads": 5,
            "num_hidden_layers": 2,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-5,
            "rope_theta": 5000000.0,
        },
        _vision(
            hidden_size=48,
            intermediate_size=92,
            num_attention_heads=3,
            norm_type="rms_norm",
            qk_normalization=True,
            qkv_bias=False,
        ),
    ),
    # Biases in the attention, three query heads a key head, linear scaling, an odd MLP.
    "ckpt_linear": _config(
        "internlm2-chat",
        {
            "architectures": ["InternLM2ForCausalLM"],
            "model_type": "internlm2",
            "bias": True,
            "hidden_size": 192,
            "intermediate_size": 172,
            "num_attention_heads": 3,
            "num_key_value_heads": 1,
            "num_hidden_layers": 2,
            "max_position_embeddings": 32768,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1000000,
            "rope_scaling": {"type": "linear", "factor": 2.5},
        },
        _vision(
            hidden_size=40,
            intermediate_size=100,
            num_attention_heads=5,
            norm_type="layer_norm",
            qk_normalization=False,
            qkv_bias=True,
        ),
        ps_version="v2",
    ),
    # No scaling, an inner layer's features, q/k norm over LayerNorm with biases.
    "ckpt_plain": _config(
        "internlm2-chat",
        {
            "architectures": ["InternLM2ForCausalLM"],
            "model_type": "internlm2",
            "bias": False,
            "hidden_size": 72,
            "intermediate_size": 120,
            "num_attention_heads": 6,
            "num_key_value_heads": 3,
            "num_hidden_layers": 3,
            "max_position_embeddings": 512,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000,
            "rope_scaling": None,
        },
        _vision(
            hidden_size=36,
            intermediate_size=84,
            num_attention_heads=3,
            num_hidden_layers=3,
            norm_type="layer_norm",
            qk_normalization=True,
            qkv_bias=True,
        ),
        ps_version="v2",
        select_layer=-2,
        system_message="Answer briefly.",
    ),
    # Prompts and answers that pass max_position_embeddings, by padding too; biases and grouped
    # heads in Llama, few large steps of the pixel shuffle, a position grid of another size.
    "ckpt_dynamic": _config(
        "Hermes-2",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "attention_bias": True,
            "attn_implementation": "eager",
            "hidden_act": "gelu",
            "hidden_size": 80,
            "intermediate_size": 77,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "num_hidden_layers": 2,
            "max_position_embeddings": 190,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "rope_scaling": {"type": "dynamic", "factor": 2.0},
        },
        _vision(
            hidden_size=30,
            image_size=42,
            patch_size=7,
            intermediate_size=33,
            num_attention_heads=3,
            hidden_act="quick_gelu",
            layer_norm_eps=1e-3,
            norm_type="layer_norm",
            qk_normalization=False,
            qkv_bias=True,
        ),
        downsample_ratio=0.25,
        select_layer=1,
    ),
}
SEEDS = {"ckpt_llama": 1, "ckpt_linear": 2, "ckpt_plain": 3, "ckpt_dynamic": 4}
SHARDS = {"ckpt_llama": 2, "ckpt_linear": 1, "ckpt_plain": 1, "ckpt_dynamic": 3}
DTYPES = {
    "ckpt_llama": "float16",
    "ckpt_linear": "bfloat16",
    "ckpt_plain": "bfloat16",
    "ckpt_dynamic": "float32",
}


def _image(file: str, max_num: int = 1) -> dict[str, Any]:
    return {
        "file": file,
        "input_size": TILE,
        "min_num": 1,
        "max_num": max_num,
        "use_thumbnail": True,
    }


GREEDY = {"max_new_tokens": 24, "do_sample": False}
BEAMS = {"max_new_tokens": 16, "do_sample": False, "num_beams": 3}
TURN = ["<image>\nDescribe the picture.", "A street with trees."]
CHAT = "<|im_start|>user\n{}<|im_end|><|im_start|>assistant\n"

# name -> (call, images, inputs, generation_config)
CASES: dict[str, tuple[str, Any, dict[str, Any], dict[str, Any]]] = {
    "single": ("chat", [_image("land.jpg")], {"question": "Describe the picture."}, GREEDY),
    "single_zh": ("chat", [_image("port.jpg")], {"question": "请详细描述这张图片。"}, GREEDY),
    "two_tiles": ("chat", [_image("panorama.jpg", 2)], {"question": "What is this?"}, GREEDY),
    "many_tiles": ("chat", [_image("big.jpg", 12)], {"question": "Read the sign."}, GREEDY),
    "text": ("chat", None, {"question": "Tell me a story."}, GREEDY),
    "text_zh": ("chat", None, {"question": "请介绍一下你自己。"}, GREEDY),
    "history": (
        "chat",
        [_image("land.jpg", 2)],
        {"question": "Where is it?", "history": [TURN, ["更多", "没有了"]]},
        GREEDY,
    ),
    "two_images": (
        "chat",
        [_image("land.jpg", 3), _image("port.jpg", 2)],
        {
            "question": "Image-1: <image>\nImage-2: <image>\n比较这两张图片。",
            "num_patches_list": "per_image",
        },
        GREEDY,
    ),
    "beams": ("chat", [_image("land.jpg")], {"question": "Describe the picture."}, BEAMS),
    "beams_penalty": (
        "chat",
        None,
        {"question": "写一首诗。"},
        {**BEAMS, "length_penalty": 0.4, "early_stopping": True, "repetition_penalty": 1.1},
    ),
    "penalties": (
        "chat",
        [_image("sub422.jpg")],
        {"question": "What does the sign say?"},
        {**GREEDY, "repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "min_new_tokens": 12},
    ),
    "batch": (
        "batch_chat",
        [_image("gray.jpg"), _image("land.jpg", 2), _image("port.jpg")],
        {
            "questions": ["Short?", "这张照片里有什么。请详细说明。", "Where was this taken?"],
            "num_patches_list": "per_image",
        },
        GREEDY,
    ),
    "batch_text": (
        "batch_chat",
        None,
        {"questions": ["Hi", "Tell me a longer story."], "num_patches_list": [0, 0]},
        GREEDY,
    ),
    "batch_beams": (
        "batch_chat",
        [_image("land.jpg"), _image("port.jpg")],
        {"questions": ["Hm?", "描述一下图片。"], "num_patches_list": "per_image"},
        BEAMS,
    ),
    "generate_scores": (
        "generate",
        [_image("land.jpg")],
        {"prompts": [CHAT.format("<image>\nhello"), CHAT.format("just text, and more of it")]},
        {"max_new_tokens": 8, "return_dict_in_generate": True, "output_scores": True},
    ),
    "generate_beam_scores": (
        "generate",
        [_image("tower.jpg", 6)],
        {"prompts": [CHAT.format("<image>\nhow tall?")]},
        {
            "max_new_tokens": 8,
            "num_beams": 4,
            "num_return_sequences": 2,
            "return_dict_in_generate": True,
            "output_scores": True,
        },
    ),
}
# Other settings of config.json, on the case named: (checkpoint, case, settings).
OVERRIDDEN: list[tuple[str, str, dict[str, Any]]] = [
    ("ckpt_llama", "single_zh", {"template": "internvl_zh"}),
    ("ckpt_llama", "history", {"template": "phi3-chat"}),
    ("ckpt_llama", "two_tiles", {"ps_version": "v2"}),
    ("ckpt_plain", "two_tiles", {"select_layer": 1}),
    ("ckpt_linear", "two_images", {"ps_version": "v1"}),
]


def chat_cases() -> list[dict[str, Any]]:
    def case(ckpt: str, name: str, suffix: str = "", **extra: Any) -> dict[str, Any]:
        call, images, inputs, config = CASES[name]
        return {
            "id": f"{ckpt.removeprefix('ckpt_')}/{name}{suffix}",
            "call": call,
            **inputs,
            "images": images,
            "generation_config": config,
            "ckpt": ckpt,
            **extra,
        }

    plain = [case(ckpt, name) for ckpt in CONFIGS for name in CASES]
    overridden = [
        case(ckpt, name, "_" + "_".join(map(str, settings.values())), config=settings)
        for ckpt, name, settings in OVERRIDDEN
    ]
    return plain + overridden


def feature_entries() -> list[dict[str, Any]]:
    def entry(ckpt: str, key: str, settings: str, size: int = TILE) -> dict[str, Any]:
        return {
            "key": f"{ckpt.removeprefix('ckpt_')}.{key}",
            "ckpt": ckpt,
            "rows": None,
            "settings": settings,
            "input_size": size,
        }

    entries = []
    for ckpt in CONFIGS:
        entries += [
            entry(ckpt, "default", "as stored"),
            entry(ckpt, "select_0", "config select_layer 0"),
            entry(ckpt, "vision.last_hidden_state", "vision_model(pixel_values)"),
            entry(ckpt, "size_84", "tile of another size: position grid interpolated", 84),
        ]
    return entries


def main() -> None:
    TorchReference()  # makes the reference importable
    repo = Path(os.environ["INTERNVL_REPO"])
    model = train([repo / "README.md", repo / "README_zh.md"], PIECES)
    for name, config in CONFIGS.items():
        write(EXTRA / name, model)
        make(EXTRA / name, config, DTYPES[name], SHARDS[name], SEEDS[name])
    activations = {
        name: {
            "image": "land.jpg",
            "input_size": TILE,
            "max_num": 2,
            "prompt_question": "<image>\nWhere was this taken?",
        }
        for name in CONFIGS
    }
    edges = [{"case": name, "call": "tests/support/edge_cases.py"} for name in EDGE_CASES]
    inputs = {
        "edges.json": {"ckpt": "ckpt_linear", "cases": edges},
        "chat.json": {"cases": chat_cases()},
        "activations.json": {"checkpoints": activations},
        "features.json": {"image": "sub422.jpg, max_num 1", "entries": feature_entries()},
    }
    for file, content in inputs.items():
        (EXTRA / file).write_text(json.dumps(content) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
