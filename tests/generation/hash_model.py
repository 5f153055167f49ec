"""A language model whose logits are a hash of the sequence: the same numbers on every machine and
in every framework, without weights. `tests/reference/generation_cases.py` wraps it for torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from internvl_native import _core

HIDDEN_SIZE = 6
PROMPT_LENGTH = 3

_MASK = 2**64 - 1


def _uniform(key: int, count: int) -> NDArray[np.float64]:
    """SplitMix64 of key, key + 1, ... in [0, 1)."""
    with np.errstate(over="ignore"):
        x = np.arange(count, dtype=np.uint64) + np.uint64(key & _MASK)
        x = x * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _key(prompt: int, tokens: list[int]) -> int:
    key = prompt * 7919 + 12345
    for token in tokens:
        key = (key * 1000003 + token + 17) & _MASK
    return key * 31 + len(tokens)


def logits_of(prompt: int, tokens: list[int], vocab_size: int) -> NDArray[np.float32]:
    """Logits after a prompt and the tokens generated since, in (-6, 6)."""
    return (_uniform(_key(prompt, tokens), vocab_size) * 12.0 - 6.0).astype(np.float32)


def hidden_of(prompt: int, tokens: list[int], position: int) -> NDArray[np.float32]:
    """Last layer's state of the last token, or of an earlier `position` of the prompt."""
    key = _key(prompt + 1000003 * (1 + position), tokens)
    return (_uniform(key, HIDDEN_SIZE) * 2.0 - 1.0).astype(np.float32)


class HashModel(_core.SequenceModel):
    """Prompts are numbers. Two layers: the first one's states are twice the last one's."""

    def __init__(self, prompts: list[int], vocab_size: int = 40) -> None:
        super().__init__()
        self.rows: list[tuple[int, list[int]]] = [(prompt, []) for prompt in prompts]
        self.size = vocab_size
        self.steps = 0
        self.kept = "none"
        self.states: Any = None

    def vocab_size(self) -> int:
        return self.size

    def batch_size(self) -> int:
        return len(self.rows)

    def keep_hidden_states(self, keep: str) -> None:
        self.kept = keep

    def hidden_states(self) -> NDArray[np.float32]:
        assert self.kept != "none"
        last: NDArray[np.float32] = self.states
        return last[np.newaxis] if self.kept == "last" else np.stack([2 * last, last])

    def prefill(self) -> NDArray[np.float32]:
        return self._run(PROMPT_LENGTH)

    def reorder(self, parents: list[int]) -> None:
        self.rows = [(self.rows[p][0], list(self.rows[p][1])) for p in parents]

    def step(self, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        self.steps += 1
        for (_, row), token in zip(self.rows, tokens.tolist()):
            row.append(token)
        return self._run(1)

    def _run(self, positions: int) -> NDArray[np.float32]:
        self.states = np.stack(
            [
                np.stack([hidden_of(prompt, row, p) for p in range(positions)])
                for prompt, row in self.rows
            ]
        )
        return np.stack([logits_of(prompt, row, self.size) for prompt, row in self.rows])


def model_config(vocab_size: int = 40) -> dict[str, Any]:
    """The language model's config, as far as generation reads it."""
    return {"vocab_size": vocab_size, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
