"""Runs the engine's generation loop with Python's streamers, criteria and processors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from internvl_native import _core
from internvl_native.arguments import kind
from internvl_native.arrays import as_loaded
from internvl_native.generation.configuration import GENERATE_ARGUMENTS, GenerationConfig
from internvl_native.generation.outputs import (
    GenerateBeamDecoderOnlyOutput,
    GenerateDecoderOnlyOutput,
)
from internvl_native.generation.prepare import build_core_config, resolve_config
from internvl_native.generation.stopping import stops
from internvl_native.generation.values import exceeds, tokens
from internvl_native.streamers import end_stream, ended_on_error

__all__ = ["GenerationPlan", "generate", "prepare_generation"]


class GenerationPlan:
    """A checked call of ``generate``. Made by ``prepare_generation``; used once."""

    def __init__(
        self,
        core: _core.GenerationConfig,
        vocab_size: int,
        return_dict: bool,
        arguments: Mapping[str, Any],
    ) -> None:
        self._core = core
        self._vocab_size = vocab_size
        self._return_dict = return_dict
        self._streamer = arguments["streamer"]
        self._criteria = _as_list("stopping_criteria", arguments["stopping_criteria"])
        self._processors = _as_list("logits_processor", arguments["logits_processor"])
        self._allowed_tokens = arguments["prefix_allowed_tokens_fn"]

    @property
    def needs_prompt_states(self) -> bool:
        """Whether the search reads the prompts' hidden states, and not their last logits alone."""
        contrastive = self._core.num_beams == 1 and self._core.penalty_alpha > 0
        return self._core.output_hidden_states or contrastive

    def run(
        self, open_model: Callable[[], _core.SequenceModel], *, torch_tensors: bool = False
    ) -> Any:
        """Generates.

        ``open_model()`` gives the model with its prompts set and not yet prefilled; it is called
        here so that the streamer's ``end()`` follows its errors, too. With ``torch_tensors``,
        results and what criteria and processors see are torch tensors, else numpy arrays.
        """
        to_user = as_loaded if torch_tensors else _identity
        try:
            model = open_model()
            if model.vocab_size() != self._vocab_size:
                raise ValueError(
                    f"`model_config` has vocab_size {self._vocab_size}, but the model's logits "
                    f"have {model.vocab_size()}"
                )
            if self._streamer is not None:
                start = self._core.prompt_ids or [[self._core.bos_token_id]] * model.batch_size()
                self._streamer.put(as_loaded(np.asarray(start, np.int64)))
            raw = _core.generate(
                model,
                self._core,
                process_logits=self._process_logits(to_user),
                allowed_tokens=self._allowed_tokens_hook(to_user),
                put=self._put(),
                should_stop=self._should_stop(to_user),
            )
        finally:
            end_stream(self._streamer)
        return self._result(raw, to_user)

    def _result(self, raw: Mapping[str, Any], to_user: Callable[[Any], Any]) -> Any:
        sequences = to_user(raw["sequences"])
        if not self._return_dict:
            return sequences
        core = self._core
        fields: dict[str, Any] = {"sequences": sequences}
        if core.output_scores:
            fields["scores"] = tuple(map(to_user, raw["scores"]))
        if core.output_logits:
            fields["logits"] = tuple(map(to_user, raw["logits"]))
        if core.output_hidden_states:
            steps = raw["hidden_states"]
            fields["hidden_states"] = tuple(tuple(map(to_user, layers)) for layers in steps)
        if core.output_logprobs:
            fields["logprobs"] = tuple(map(to_user, raw["logprobs"]))
        if core.num_beams == 1:
            return GenerateDecoderOnlyOutput(**fields)
        if core.output_scores or core.output_logprobs:
            fields["sequences_scores"] = to_user(raw["sequences_scores"])
        if core.output_scores:
            fields["beam_indices"] = to_user(raw["beam_indices"])
        return GenerateBeamDecoderOnlyOutput(**fields)

    def _put(self) -> Callable[[Any], None] | None:
        streamer = self._streamer
        if streamer is None:
            return None
        return lambda tokens: streamer.put(as_loaded(tokens))

    def _should_stop(self, to_user: Callable[[Any], Any]) -> Callable[[Any, Any], bool] | None:
        if not self._criteria:
            return None

        def should_stop(input_ids: Any, scores: list[Any]) -> bool:
            seen = tuple(map(to_user, scores)) if self._core.output_scores else None
            ids = to_user(input_ids)
            return any(stops(criterion, ids, seen) for criterion in self._criteria)

        return should_stop

    def _process_logits(self, to_user: Callable[[Any], Any]) -> Callable[[Any, Any], Any] | None:
        if not self._processors:
            return None

        def process_logits(input_ids: Any, scores: Any) -> Any:
            ids, changed = to_user(input_ids), to_user(scores)
            for processor in self._processors:
                changed = processor(ids, changed)
                if changed is None:
                    raise TypeError(
                        f"`logits_processor` has to return scores, got None from {processor!r}"
                    )
            try:
                return np.asarray(changed, dtype=np.float32)
            except (TypeError, ValueError) as error:
                raise TypeError(
                    f"`logits_processor` has to return scores, got {type(changed).__name__}"
                ) from error

        return process_logits

    def _allowed_tokens_hook(
        self, to_user: Callable[[Any], Any]
    ) -> Callable[[int, Any], list[int]] | None:
        function = self._allowed_tokens
        if function is None:
            return None
        name = "prefix_allowed_tokens_fn"
        if not callable(function):
            raise TypeError(f"`{name}` has to be callable, got {function!r:.100}")
        return lambda batch_id, ids: tokens(name, function(batch_id, to_user(ids)))


def prepare_generation(
    kwargs: Mapping[str, Any],
    *,
    model_config: Any,
    generation_config: Any = None,
    prompt_ids: Sequence[list[int]] = (),
) -> GenerationPlan:
    """Checks the keywords of ``language_model.generate``; see the package's documentation."""
    streamer = kwargs.get("streamer")
    with ended_on_error(streamer):
        arguments = {name: kwargs.get(name) for name in GENERATE_ARGUMENTS}
        parameters = {k: v for k, v in kwargs.items() if k not in GENERATE_ARGUMENTS}
        if arguments["assistant_model"] is not None:
            raise NotImplementedError("Assisted generation (`assistant_model`) is not supported.")
        defaults = GenerationConfig.from_model_config(model_config)
        config = resolve_config(parameters, generation_config, defaults)
        if streamer is not None:
            is_one = hasattr(streamer, "put") and hasattr(streamer, "end")
            if not is_one or isinstance(streamer, type):
                raise TypeError(f"`streamer` has to have put() and end(), got {kind(streamer)}")
            if exceeds("num_beams", config.num_beams, 1):
                raise ValueError(
                    "`streamer` cannot be used with beam search (yet!). Make sure that `num_beams` "
                    "is set to 1."
                )
        vocab_size = _vocab_size(model_config)
        core = build_core_config(config, defaults, vocab_size, prompt_ids)
        return GenerationPlan(core, vocab_size, bool(config.return_dict_in_generate), arguments)


def generate(
    model: _core.SequenceModel,
    kwargs: Mapping[str, Any],
    *,
    model_config: Any,
    generation_config: Any = None,
    torch_tensors: bool = False,
) -> Any:
    """``prepare_generation`` and ``run`` in one call."""
    plan = prepare_generation(
        kwargs, model_config=model_config, generation_config=generation_config
    )
    return plan.run(lambda: model, torch_tensors=torch_tensors)


def _vocab_size(model_config: Any) -> int:
    if isinstance(model_config, Mapping):
        return int(model_config["vocab_size"])
    return int(model_config.vocab_size)


def _as_list(name: str, value: Any) -> list[Any]:
    """A list of callables from None, one callable or several."""
    if value is None:
        return []
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    for item in items:
        if not callable(item) or isinstance(item, type):
            got = kind(item) if isinstance(item, type) else repr(item)
            raise TypeError(f"`{name}` has to hold callables, got {got}")
    return items


def _identity(array: Any) -> Any:
    return array
