"""Logits processors: callables ``(input_ids, scores) -> scores`` asked before every token.

``input_ids`` is (rows, length), the start token first; ``scores`` is (rows, vocabulary).
"""

from __future__ import annotations

from typing import Any

__all__ = ["LogitsProcessor", "LogitsProcessorList"]


class LogitsProcessor:
    """Base class; any callable with the same arguments will do."""

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        raise NotImplementedError("LogitsProcessor needs to be subclassed")


class LogitsProcessorList(list[Any]):
    """Processors that act one after the other."""

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        for processor in self:
            scores = processor(input_ids, scores, **kwargs)
        return scores
