"""The language model by itself: ``model.language_model`` and its embeddings."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from internvl_native import arrays
from internvl_native.configuration import InternVLChatConfig
from internvl_native.decoder import Decoder
from internvl_native.decoder_inputs import DecoderInputs, generation_positions
from internvl_native.engine import Engine
from internvl_native.forward import ForwardOptions, run_forward
from internvl_native.generation import (
    GenerationConfig,
    compute_transition_scores,
    prepare_generation,
)
from internvl_native.generation.defaults import GenerationDefaults
from internvl_native.module import Module
from internvl_native.parameters import ModuleTree
from internvl_native.streamers import ended_on_error
from internvl_native.taps import recorders
from internvl_native.token_embeddings import InputEmbeddings, OutputEmbeddings


class LanguageModel(Module):
    """``model.language_model``: the decoder as ``InternLM2ForCausalLM`` or ``LlamaForCausalLM``.

    Attributes:
        config: the language model's configuration.
    """

    _parts: ClassVar[dict[str, type[Module]]] = {
        "output": OutputEmbeddings,
        "lm_head": OutputEmbeddings,
    }
    _uncalled = ("get_input_embeddings",)

    compute_transition_scores = staticmethod(compute_transition_scores)

    def __init__(self, config: InternVLChatConfig, engine: Engine, tree: ModuleTree) -> None:
        super().__init__(engine, tree)
        self.config = config.llm_config
        self._defaults = GenerationDefaults(GenerationConfig.from_model_config(self.config))

    @cached_property
    def model(self) -> Decoder:
        """The decoder without the head, as in ``language_model.model(ids).last_hidden_state``."""
        tree: Any = self._tree["model"]
        return Decoder(self.config, self._engine, tree)

    def get_input_embeddings(self) -> InputEmbeddings:
        """Callable on ids; its ``weight`` is (vocab_size, hidden_size)."""
        return self.model.get_input_embeddings()

    def get_output_embeddings(self) -> OutputEmbeddings:
        """Callable on the last of ``hidden_states``, and on ``model.norm`` of the others; its
        ``weight`` is (vocab_size, hidden_size)."""
        for name in self._parts:
            if name in self._tree:
                return getattr(self, name)  # type: ignore[no-any-return]
        return OutputEmbeddings(self._engine, self.get_input_embeddings()._tree)

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_values: Any = None,
        inputs_embeds: Any = None,
        labels: Any = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        logits_to_keep: int = 0,
    ) -> Any:
        """Logits of all positions.

        Args:
            input_ids: (batch, length); or
            inputs_embeds: (batch, length, hidden_size) of any float dtype.

        The other arguments are those of ``InternVLChatModel.forward``.

        Returns:
            CausalLMOutputWithPast: torch tensors if a tensor came, else numpy arrays; a tuple with
            ``return_dict=False``.

        Raises:
            ValueError, TypeError, IndexError: naming the argument.
        """
        options = ForwardOptions(
            attention_mask,
            position_ids,
            past_key_values,
            labels,
            use_cache,
            output_attentions,
            output_hidden_states,
            return_dict,
            logits_to_keep,
        )
        as_torch = any(map(arrays.is_torch, (input_ids, inputs_embeds, attention_mask, labels)))
        inputs = DecoderInputs.from_ids_or_embeddings(input_ids, inputs_embeds, self.config)
        return run_forward(self._engine, self.config, inputs, options, as_torch=as_torch)

    @property
    def vocab_size(self) -> int:
        """Ids of the token embeddings, added tokens included."""
        return int(self.config.vocab_size)

    @property
    def generation_config(self) -> Any:
        """A ``GenerationConfig`` with the values of the language model's config. What is set on it,
        or in its place, becomes a default of ``generate``, the whole model's included."""
        return self._defaults.config

    @generation_config.setter
    def generation_config(self, value: Any) -> None:
        self._defaults.config = value

    def generate(
        self,
        inputs: Any = None,
        generation_config: Any = None,
        *,
        input_ids: Any = None,
        inputs_embeds: Any = None,
        attention_mask: Any = None,
        **generate_kwargs: Any,
    ) -> Any:
        """Generates from ids or embeddings.

        Args:
            inputs, input_ids: (batch, length), two names of the same; or
            inputs_embeds: (batch, length, hidden_size).
            generation_config: a ``GenerationConfig`` whose values replace the model's defaults.
            attention_mask: (batch, length), 0 for padding; all ones if left out.
            generate_kwargs: what transformers' ``generate`` takes.

        Returns:
            (batch, length) ids, or an output object with ``return_dict_in_generate=True``: the
            prompt's ids and the new ones, or, after embeddings, ``<s>`` and the new ones. torch
            tensors if a tensor came, else numpy arrays.

        Raises:
            ValueError, TypeError, IndexError: naming the argument.
            NotImplementedError: an option of transformers that the engine lacks.
        """
        with ended_on_error(generate_kwargs.get("streamer")):
            if inputs is not None and input_ids is not None:
                raise ValueError("inputs, input_ids: two names of the same, got both")
            ids = input_ids if inputs is None else inputs
            prompts = DecoderInputs.from_ids_or_embeddings(ids, inputs_embeds, self.config)
            mask = arrays.mask_array(attention_mask, prompts.shape)
        defaults = self._defaults.changes() if generation_config is None else {}
        plan = prepare_generation(
            {**defaults, **generate_kwargs},
            model_config=self.config,
            generation_config=generation_config,
            prompt_ids=() if ids is None else prompts.ids.tolist(),
        )
        return plan.run(
            lambda: prompts.session(
                self._engine.core, mask, generation_positions(mask), recorders(self._engine)
            ),
            torch_tensors=any(map(arrays.is_torch, (ids, inputs_embeds))),
        )
