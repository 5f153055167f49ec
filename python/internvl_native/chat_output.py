"""What ``chat(..., return_output=True)`` adds to an answer."""

from __future__ import annotations

from typing import Any

from internvl_native.generation import GenerateBeamDecoderOnlyOutput
from internvl_native.model_output import ModelOutput


class ChatOutput(ModelOutput):
    """How an answer was generated.

    Torch tensors where the pixels (or, for text, torch) were there, else numpy arrays:

    token_ids: (tokens,), the generated ids, the end token included. logprobs: (tokens,) float32, of
    these tokens in the model's own distribution, whatever sampling and processors made of it:
    ``exp`` of their mean is a confidence, that of their sum the answer's probability.
    sequences_scores: a float, of beams: the sum of log-probabilities / length ** length_penalty.

    Where ``generation_config`` asks for them, for each token: scores (``output_scores``) and logits
    (``output_logits``): (vocab_size,), after and before the processors; hidden_states
    (``output_hidden_states``): of each layer (tokens fed in this step, hidden_size), the first
    step's being the padded prompt. Of beams, for each step, of all beams of the question:
    (num_beams, vocab_size) and (num_beams, tokens, hidden_size); and with ``output_scores``,
    beam_indices: (tokens,), which of them each token came from.
    """

    _fields = (
        "token_ids",
        "logprobs",
        "sequences_scores",
        "scores",
        "logits",
        "hidden_states",
        "beam_indices",
    )


def chat_outputs(output: Any, questions: int) -> list[ChatOutput]:
    """One for each sequence of what ``generate`` returned for a batch of questions."""
    each = len(output.sequences) // questions
    return [_chat_output(output, row, row // each, questions) for row in range(each * questions)]


def _chat_output(output: Any, row: int, question: int, questions: int) -> ChatOutput:
    logprobs = output.logprobs[row]
    tokens = len(logprobs)
    fields: dict[str, Any] = {
        "token_ids": output.sequences[row, 1 : 1 + tokens],
        "logprobs": logprobs,
    }
    beam_search = isinstance(output, GenerateBeamDecoderOnlyOutput)
    steps = slice(None) if beam_search else slice(tokens)

    def rows_of(step: Any) -> Any:
        """What a step has for this answer: a row, or those of the question's beams."""
        beams = len(step) // questions
        return step[question * beams : (question + 1) * beams] if beam_search else step[row]

    for name in ("scores", "logits"):
        if output.get(name) is not None:
            fields[name] = tuple(map(rows_of, output[name][steps]))
    if output.hidden_states is not None:
        states = output.hidden_states[steps]
        fields["hidden_states"] = tuple(tuple(map(rows_of, layers)) for layers in states)
    if beam_search:
        fields["sequences_scores"] = float(output.sequences_scores[row])
    if output.get("beam_indices") is not None:
        first = question * (len(output.scores[0]) // questions)
        fields["beam_indices"] = output.beam_indices[row, :tokens] - first
    return ChatOutput(**fields)
