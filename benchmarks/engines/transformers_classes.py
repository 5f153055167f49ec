"""The same architecture by transformers' own classes: InternVL with a Llama decoder, sdpa.

InternLM2 is Llama with other names, and transformers' InternViT keeps query, key and value apart.
Shapes and arithmetic are the checkpoint's; the weights are random, which speed does not depend on,
and are not read from it.
"""

from __future__ import annotations

from typing import Any

import torch
import transformers

from benchmarks.checkpoint import Shape
from benchmarks.transformers_model import IMAGE_TOKEN, random_model
from benchmarks.work import NEW_TOKENS, TEXT_TOKENS

from . import inputs
from .job import Job
from .torch_model import TorchEngine

TURN_TOKENS = 64  # the first answer and the second question


def build(sizes: Shape, dtype: Any, decoder_layers: int | None = None) -> Any:
    """A model of that shape; OpenVINO takes its vision part from one with few decoder layers."""
    if sizes.is_6b:
        raise ValueError("shape: transformers' class has no InternViT-6B")
    return random_model(sizes, dtype, decoder_layers)


class Engine(TorchEngine):
    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.description = (
            f"transformers {transformers.__version__}'s InternVL and Llama classes (sdpa) "
            f"and torch {torch.__version__}"
        )

    def load_model(self) -> Any:
        return build(self.sizes, self.dtype)

    def features(self, pixels: Any) -> Any:
        return self.model.model.get_image_features(pixel_values=pixels)

    def project(self, shuffled: Any) -> Any:
        return self.model.model.multi_modal_projector(shuffled)

    def run_decoder(self, ids: Any, past: Any) -> Any:
        cache = transformers.DynamicCache() if past is None else past
        self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        if past is not None:
            cache.crop(-ids.shape[1])
        return cache

    def answer(self, pixels: Any, second_turn: bool) -> None:
        text = TEXT_TOKENS + (TURN_TOKENS if second_turn else 0)
        prompt = inputs.image_prompt(
            len(pixels), IMAGE_TOKEN, self.sizes.vocab, next(self.seeds), text
        )
        ids = torch.from_numpy(prompt)
        self.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels,
            max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False,
        )  # fmt: skip
