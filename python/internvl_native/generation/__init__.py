"""Generation: parameters, their checks and the loop.

How a model calls it::

    plan = prepare_generation(kwargs, model_config=llm_config, generation_config=None)
    result = plan.run(open_model, torch_tensors=False)

- ``kwargs``: what the reference passes to ``language_model.generate``, without embeddings and
  attention mask: parameters, ``streamer``, ``stopping_criteria``, ``logits_processor``, ...
- ``generation_config``: None, or a ``GenerationConfig`` (ours or transformers'), which then
  replaces the model's defaults, those of ``llm_config``.
- ``model_config``: the language model's config (mapping or object) with ``vocab_size`` and the
  special tokens.
- ``prompt_ids``: where the prompts are tokens and not embeddings, their ids, which sequences begin
  with.
- ``open_model()`` returns a ``_core.SequenceModel`` with its prompts set, not yet prefilled.

``prepare_generation`` raises ValueError, TypeError or NotImplementedError for everything that can
be wrong with the parameters, before any arithmetic; a streamer's ``end()`` is called in any case.
The result is an array of sequences (rows, length), int64, that begin with ``bos_token_id`` (or
``prompt_ids``), or
with ``return_dict_in_generate`` an object of class ``GenerateDecoderOnlyOutput`` or
``GenerateBeamDecoderOnlyOutput``.

``generate(model, kwargs, *, model_config, generation_config=None, torch_tensors=False)`` is both
steps in one.
"""

from __future__ import annotations

from internvl_native.generation.configuration import GenerationConfig
from internvl_native.generation.logits_process import LogitsProcessor, LogitsProcessorList
from internvl_native.generation.loop import GenerationPlan, generate, prepare_generation
from internvl_native.generation.outputs import (
    GenerateBeamDecoderOnlyOutput,
    GenerateDecoderOnlyOutput,
)
from internvl_native.generation.random_state import manual_seed
from internvl_native.generation.stopping import (
    MaxLengthCriteria,
    MaxTimeCriteria,
    StoppingCriteria,
    StoppingCriteriaList,
)
from internvl_native.generation.transition_scores import compute_transition_scores

__all__ = [
    "GenerateBeamDecoderOnlyOutput",
    "GenerateDecoderOnlyOutput",
    "GenerationConfig",
    "GenerationPlan",
    "LogitsProcessor",
    "LogitsProcessorList",
    "MaxLengthCriteria",
    "MaxTimeCriteria",
    "StoppingCriteria",
    "StoppingCriteriaList",
    "compute_transition_scores",
    "generate",
    "manual_seed",
    "prepare_generation",
]
