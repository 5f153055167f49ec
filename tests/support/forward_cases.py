"""Calls of `forward` that both sides can make, and what is kept of their results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .implementation import Implementation, load_tiles


def forward_inputs(
    impl: Implementation, model: Any, data: Path, case: dict[str, Any]
) -> dict[str, Any]:
    """The keywords of a case's call."""
    tokenizer = impl.load_tokenizer(data / case["checkpoint"])
    model.img_context_token_id = tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
    pixels = load_tiles(impl, case["image"], case["input_size"], case["max_num"])
    names = ("input_ids", "image_flags", "attention_mask", "position_ids", "labels")
    arrays = {name: np.asarray(case[name], np.int64) for name in names if name in case}
    inputs = {name: impl.tensor(array) for name, array in arrays.items()}
    return {**inputs, "pixel_values": impl.tensor(pixels), "output_hidden_states": True}


def forward_results(impl: Implementation, case: dict[str, Any], output: Any) -> dict[str, Any]:
    """The loss if there is one, the log-probability of each token after those before it, and the
    length of each token's state in each layer."""
    ids = np.asarray(case["input_ids"])[:, 1:, np.newaxis]
    logits = impl.array(output.logits).astype(np.float64)[:, :-1]
    shifted = logits - logits.max(axis=2, keepdims=True)
    table = shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))
    states = [impl.array(layer).astype(np.float64) for layer in output.hidden_states]
    results = {
        "logprobs": np.take_along_axis(table, ids, axis=2)[..., 0],
        "norms": np.stack([np.linalg.norm(layer, axis=2) for layer in states]),
    }
    kept = {name: np.round(array, 6).tolist() for name, array in results.items()}
    return kept if output.loss is None else {"loss": float(output.loss), **kept}
