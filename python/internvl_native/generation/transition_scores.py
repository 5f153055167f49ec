"""Scores of the tokens that were chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from internvl_native import arrays

__all__ = ["compute_transition_scores"]


def compute_transition_scores(
    sequences: Any,
    scores: Sequence[Any],
    beam_indices: Any = None,
    normalize_logits: bool = False,
) -> Any:
    """The score of each generated token, from the fields of a ``generate`` output.

    Args:
        sequences: (rows, length).
        scores: for each step the (rows or beams, vocab_size) scores.
        beam_indices: (rows, length), of beam methods.
        normalize_logits: return log-probabilities.

    Returns:
        (rows, steps), 0 after the end of a beam; a torch tensor if ``sequences`` is one, else a
        numpy array. ``exp`` of log-probabilities is the confidence.
    """
    tokens = arrays.integer_array(sequences, "sequences")
    table = np.stack([np.asarray(step, dtype=np.float32) for step in scores])
    if normalize_logits:
        shifted = table - table.max(axis=2, keepdims=True)
        table = shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))
    if beam_indices is None:
        rows = np.broadcast_to(np.arange(tokens.shape[0])[:, np.newaxis], (len(tokens), len(table)))
    else:
        rows = np.asarray(beam_indices)
    steps = int((rows >= 0).sum(axis=1).max())
    rows = rows[:, :steps]
    chosen = table[np.arange(steps), np.maximum(rows, 0), tokens[:, tokens.shape[1] - steps :]]
    chosen = np.where(rows < 0, np.float32(0), chosen)
    return arrays.as_torch(chosen, "float32") if arrays.is_torch(sequences) else chosen
