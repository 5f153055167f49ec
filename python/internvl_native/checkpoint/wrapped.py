"""Checkpoints of the reference with LoRA layers inside (`use_llm_lora`, `use_backbone_lora`).

Their tensors have the names that PEFT gives to the modules it wraps:
`language_model.base_model.model.model.layers.0.attention.wqkv.lora_A.default.weight`, and
`wqkv.base_layer.weight`, in old releases `wqkv.weight`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from internvl_native._core import CheckpointError
from internvl_native.checkpoint.lora import is_lora_tensor, low_rank_updates, merge_updates
from internvl_native.checkpoint.tensor import CheckpointTensor

_WRAPPED = re.compile(r"(language_model|vision_model)\.base_model\.model\.(.+)")
_SCALE = 2.0
"""lora_alpha / r: `wrap_llm_lora` and `wrap_backbone_lora` are called with lora_alpha = 2 r."""


class Unwrapped(NamedTuple):
    """Tensors under the names of the model without LoRA."""

    tensors: dict[str, CheckpointTensor]
    ranks: dict[str, int]
    """Of the parts that were wrapped: {"language_model": 16}."""


def unwrap(path: Path, tensors: Mapping[str, CheckpointTensor]) -> Unwrapped:
    """Merges the LoRA layers among the tensors of the model in `path`, if there are any.

    Raises CheckpointError for layers that are not whole, fit no weight or have several ranks.
    """
    plain: dict[str, CheckpointTensor] = {}
    for name, tensor in tensors.items():
        match = _WRAPPED.fullmatch(name)
        new = f"{match[1]}.{match[2]}".replace(".base_layer.", ".") if match else name
        if new in plain:
            raise CheckpointError(
                f"{tensor.path}: tensor {name!r}: expected one tensor for {new!r}, got several"
            )
        plain[new] = tensor
    lora = {name: tensor for name, tensor in plain.items() if is_lora_tensor(name)}
    ranks: dict[str, int] = {}

    def scale_of(module: str, rank: int) -> float:
        part = module.partition(".")[0]
        if ranks.setdefault(part, rank) != rank:
            raise ValueError(f"expected rank {ranks[part]} as in other layers, got {rank}")
        return _SCALE

    updates = low_rank_updates(path, lora, scale_of)
    stored = {name: tensor for name, tensor in plain.items() if name not in lora}
    named = ((f"{module}.weight", update) for module, update in updates.items())
    return Unwrapped(merge_updates(path, stored, named), ranks)
