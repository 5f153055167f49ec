"""The two ends of a language model: ids to embeddings, and hidden states to logits."""

from __future__ import annotations

from typing import Any

import numpy as np

from internvl_native import arrays
from internvl_native.decoder_inputs import check_ids
from internvl_native.module import Linear, Module


class InputEmbeddings(Module):
    """``get_input_embeddings()``: the rows of the token embeddings."""

    def forward(self, input_ids: Any) -> Any:
        """Ids of any shape -> (..., hidden_size).

        Returns a torch tensor in the model's dtype for a tensor, else a float32 array. IndexError
        for ids outside the vocabulary.
        """
        core = self._engine.core
        ids = arrays.integer_array(input_ids, "input_ids")
        check_ids(ids, self.num_embeddings)
        rows = core.embed(ids.reshape(-1).astype(np.int32))
        return arrays.like(rows.reshape(*ids.shape, rows.shape[1]), input_ids, core.dtype)

    @property
    def num_embeddings(self) -> int:
        """Size of the vocabulary."""
        return int(self.weight.shape[0])

    @property
    def embedding_dim(self) -> int:
        """Width of a row."""
        return int(self.weight.shape[1])


class OutputEmbeddings(Linear):
    """``get_output_embeddings()``: from the final norm's output to logits."""

    def forward(self, hidden_states: Any) -> Any:
        """(..., hidden_size) -> (..., vocab_size).

        Returns a torch tensor in the model's dtype for a tensor, else a float32 array. ValueError
        for rows of another width.
        """
        core = self._engine.core
        hidden = arrays.float_rows(hidden_states, "hidden_states", self.in_features)
        logits = core.output(hidden.reshape(-1, self.in_features))
        shaped = logits.reshape(*hidden.shape[:-1], self.out_features)
        return arrays.like(shaped, hidden_states, core.dtype)
