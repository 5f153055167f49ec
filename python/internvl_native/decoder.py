"""The language model without its head: ``model.language_model.model``."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from internvl_native import arrays
from internvl_native.decoder_inputs import DecoderInputs
from internvl_native.engine import Engine
from internvl_native.forward import ForwardOptions, run_decoder
from internvl_native.module import Module
from internvl_native.parameters import ModuleTree
from internvl_native.token_embeddings import InputEmbeddings


class Decoder(Module):
    """Token ids or embeddings to hidden states: ``InternLM2Model`` or ``LlamaModel``.

    Attributes:
        config: the language model's configuration.
    """

    _parts: ClassVar[dict[str, type[Module]]] = {
        "tok_embeddings": InputEmbeddings,
        "embed_tokens": InputEmbeddings,
    }

    def __init__(self, config: Any, engine: Engine, tree: ModuleTree) -> None:
        super().__init__(engine, tree)
        self.config = config

    @cached_property
    def norm(self) -> FinalNorm:
        """What follows the last layer, callable on hidden states of any layer."""
        tree: Any = self._tree["norm"]
        return FinalNorm(self.config.rms_norm_eps, self._engine, tree)

    def get_input_embeddings(self) -> InputEmbeddings:
        """As ``tok_embeddings`` or ``embed_tokens``, whichever it is called."""
        name = next(name for name in self._parts if name in self._tree)
        return getattr(self, name)  # type: ignore[no-any-return]

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Hidden states of all positions.

        Takes the arguments of ``language_model.forward`` and raises its errors. Returns a
        BaseModelOutputWithPast: torch tensors if a tensor came, else numpy arrays; a tuple with
        ``return_dict=False``.
        """
        options = ForwardOptions(
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=return_dict,
        )
        as_torch = any(map(arrays.is_torch, (input_ids, inputs_embeds, attention_mask)))
        inputs = DecoderInputs.from_ids_or_embeddings(input_ids, inputs_embeds, self.config)
        return run_decoder(self._engine, self.config, inputs, options, as_torch=as_torch)


class FinalNorm(Module):
    """The norm in front of the head, so that the head can read any layer (the logit lens)."""

    def __init__(self, eps: float, engine: Engine, tree: ModuleTree) -> None:
        super().__init__(engine, tree)
        self.variance_epsilon = eps

    def forward(self, hidden_states: Any) -> Any:
        """(..., hidden_size) -> (..., hidden_size).

        Returns a torch tensor in the model's dtype for a tensor, else a float32 array. ValueError
        for rows of another width. Source: ``InternLM2RMSNorm``.
        """
        weight = np.asarray(self.weight, np.float32)
        rows = arrays.float_array(hidden_states, "hidden_states")
        if rows.shape[-1:] != weight.shape:
            raise ValueError(
                f"hidden_states: expected (..., {len(weight)}), got shape {rows.shape}"
            )
        variance = np.square(rows).mean(axis=-1, keepdims=True)
        normalised = weight * (rows / np.sqrt(variance + np.float32(self.variance_epsilon)))
        return arrays.like(normalised, hidden_states, self._engine.dtype)
