"""What ``generate(..., return_dict_in_generate=True)`` returns."""

from __future__ import annotations

from typing import Any

__all__ = ["GenerateBeamDecoderOnlyOutput", "GenerateDecoderOnlyOutput"]


class _Output(dict[str, Any]):
    """A dict whose entries are attributes too; a field that was not asked for is None.

    An index or slice counts the entries that are there. ``past_key_values`` of the reference is
    left out: the cache belongs to the engine.
    """

    _fields: tuple[str, ...] = ()

    def __init__(self, **fields: Any) -> None:
        super().__init__({k: fields[k] for k in self._fields if fields.get(k) is not None})

    def __getattr__(self, name: str) -> Any:
        if name in self._fields:
            return self.get(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def to_tuple(self) -> tuple[Any, ...]:
        """The values that are there, in order."""
        return tuple(self.values())


class GenerateDecoderOnlyOutput(_Output):
    """Greedy, sampled or contrastive output.

    sequences: (rows, length), the start token first. scores, logits: a (rows, vocab_size) array for
    each step, after and before the processors. hidden_states: for each step a tuple over layers of
    (rows, tokens, hidden) arrays; the first step holds the prompt.
    """

    _fields = ("sequences", "scores", "logits", "hidden_states")


class GenerateBeamDecoderOnlyOutput(_Output):
    """Output of beam methods: additionally, with ``output_scores``,

    sequences_scores: (rows,), sum of log-probabilities / length ** length_penalty. beam_indices:
    (rows, length), the beam that each token came from, -1 where there is none.
    """

    _fields = (
        "sequences",
        "sequences_scores",
        "scores",
        "logits",
        "beam_indices",
        "hidden_states",
    )
