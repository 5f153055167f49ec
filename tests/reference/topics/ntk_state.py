"""ntk_state.json and rope.safetensors: what a long prompt leaves behind in dynamic NTK scaling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tests.reference.torch_reference import TorchReference
from tests.support.chat_cases import recorded_generate
from tests.support.goldens import read_json
from tests.support.implementation import load_tiles

MAX_NEW_TOKENS = 24


def _call(impl: TorchReference, model: Any, tokenizer: Any, call: dict[str, Any]) -> dict[str, Any]:
    pixels = None
    if call["image"] is not None:
        size = model.config.force_image_size
        pixels = torch.from_numpy(load_tiles(impl, call["image"], size, call["max_num"]))
    with recorded_generate(model) as calls:
        response = model.chat(
            tokenizer,
            pixels,
            call["question"],
            {"max_new_tokens": MAX_NEW_TOKENS, "do_sample": False},
        )
    rotary = model.language_model.model.layers[0].attention.rotary_emb
    return {
        "prompt_len": calls[0]["inputs"]["input_ids"].shape[1],
        "output_ids": calls[0]["output"].tolist(),
        "response": response,
        "cached_len": rotary.max_seq_len_cached,
    }


def regenerate(impl: TorchReference, data: Path) -> dict[str, Any]:
    stored = read_json(data / "ntk_state.json")
    tokenizer = impl.load_tokenizer(data / stored["ckpt"])
    sequence = impl.load_model(data / stored["ckpt"])
    fresh = impl.load_model(data / stored["ckpt"])
    calls = []
    for call in stored["calls"]:
        call = {key: call[key] for key in ("name", "image", "max_num", "question")}
        impl.renew(fresh)
        results = {
            "one_model_in_sequence": _call(impl, sequence, tokenizer, call),
            "fresh_model": _call(impl, fresh, tokenizer, call),
        }
        ids = [result["output_ids"] for result in results.values()]
        calls.append({**call, **results, "same": ids[0] == ids[1]})

    from internvl.model.internlm2.modeling_internlm2 import (
        InternLM2DynamicNTKScalingRotaryEmbedding,
    )

    rotary = InternLM2DynamicNTKScalingRotaryEmbedding(
        stored["rope_head_dim"],
        max_position_embeddings=stored["max_position_embeddings"],
        base=stored["rope_base"],
        scaling_factor=stored["rope_factor"],
    )
    tables = {}
    for name in stored["rope_calls"]:
        length = int(name.split("_")[-1])
        tables[name] = torch.stack(rotary(torch.zeros(1), seq_len=length)).numpy()
    kept = {key: value for key, value in stored.items() if key not in ("meta", "calls")}
    return {"ntk_state.json": {**kept, "calls": calls}, "rope.safetensors": tables}
