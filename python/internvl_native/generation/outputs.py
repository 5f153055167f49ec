"""What ``generate(..., return_dict_in_generate=True)`` returns."""

from __future__ import annotations

from internvl_native.model_output import ModelOutput

__all__ = ["GenerateBeamDecoderOnlyOutput", "GenerateDecoderOnlyOutput"]


class GenerateDecoderOnlyOutput(ModelOutput):
    """Greedy, sampled or contrastive output. ``past_key_values`` of the reference is left out: the
    cache belongs to the engine.

    sequences: (rows, length), the start token first. scores, logits: a (rows, vocab_size) array for
    each step, after and before the processors. hidden_states: for each step a tuple over layers of
    (rows, tokens, hidden) arrays; the first step holds the prompt. logprobs: with
    ``output_logprobs``, a float32 array for each row: of its generated tokens (the closing eos
    included, padding not) in the model's own distribution, that of the logits before any processor.
    """

    _fields = ("sequences", "scores", "logits", "hidden_states", "logprobs")


class GenerateBeamDecoderOnlyOutput(ModelOutput):
    """Output of beam methods: additionally, with ``output_scores`` or ``output_logprobs``,

    sequences_scores: (rows,), sum of log-probabilities / length ** length_penalty. And with
    ``output_scores``, beam_indices: (rows, length), the beam that each token came from, -1 where
    there is none.
    """

    _fields = (
        "sequences",
        "sequences_scores",
        "scores",
        "logits",
        "beam_indices",
        "hidden_states",
        "logprobs",
    )
