"""sampling.json and sampling.npz: probabilities after transformers' processors and warpers.

Kept inputs: ckpt, image, max_num, question, and per entry config, step and key; the raw logits of
a step come from a greedy run whose tokens are the prefix.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.reference.torch_reference import TorchReference
from tests.support.chat_cases import recorded_generate
from tests.support.goldens import read_json
from tests.support.implementation import load_tiles


class _RawLogits:
    """A logits processor that keeps what reaches it; no other runs in a plain greedy call."""

    def __init__(self) -> None:
        self.steps: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.steps.append(scores.clone())
        return scores


def _greedy(impl: TorchReference, model: Any, data: Path, stored: dict[str, Any]) -> Any:
    """The greedy sequence (start token first), never stopped, and each step's raw logits."""
    tokenizer = impl.load_tokenizer(data / stored["ckpt"])
    size = model.config.force_image_size
    pixels = torch.from_numpy(load_tiles(impl, stored["image"], size, stored["max_num"]))
    with recorded_generate(model) as calls:
        model.chat(tokenizer, pixels, stored["question"], {"max_new_tokens": 1})
    impl.renew(model)
    raw = _RawLogits()
    new_tokens = len(stored["greedy"]) - 1
    sequence = model.generate(
        pixel_values=pixels,
        **calls[0]["inputs"],
        max_new_tokens=new_tokens,
        logits_processor=[raw],
    )
    return sequence, raw.steps


def _probabilities(
    language_model: Any, config: dict[str, Any], generated: list[int], logits: torch.Tensor
) -> np.ndarray:
    from transformers import LogitsProcessorList

    settings = copy.deepcopy(language_model.generation_config)
    settings.update(do_sample=True, **config)
    ids = torch.tensor([generated])
    processors = language_model._get_logits_processor(
        generation_config=settings,
        input_ids_seq_length=1,
        encoder_input_ids=ids[:, :1],
        prefix_allowed_tokens_fn=None,
        logits_processor=LogitsProcessorList(),
    )
    warpers = language_model._get_logits_warper(settings)
    scores = warpers(ids, processors(ids, logits.clone()))
    probabilities: np.ndarray = scores.softmax(-1)[0].numpy()
    return probabilities


def regenerate(impl: TorchReference, data: Path) -> dict[str, Any]:
    stored = read_json(data / "sampling.json")
    model = impl.load_model(data / stored["ckpt"])
    sequence, raw = _greedy(impl, model, data, stored)
    greedy = sequence[0].tolist()
    arrays: dict[str, np.ndarray] = {}
    entries = []
    for entry in stored["entries"]:
        step = entry["step"]
        generated = greedy[: step + 1]
        logits = raw[step]
        arrays[f"logits_{step}"] = logits[0].numpy()
        p = _probabilities(model.language_model, entry["config"], generated, logits)
        arrays[entry["key"]] = p
        entries.append(
            {
                "config": entry["config"],
                "step": step,
                "generated": generated,
                "key": entry["key"],
                "nonzero": int((p > 0).sum()),
                "pmax": float(p.max()),
                "argmax": int(p.argmax()),
            }
        )
    kept = {key: stored[key] for key in ("ckpt", "image", "max_num", "question")}
    return {
        "sampling.json": {**kept, "greedy": greedy, "entries": entries},
        "sampling.npz": arrays,
    }
