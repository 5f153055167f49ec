"""Stopping criteria: callables ``(input_ids, scores) -> bool`` asked after every token.

``input_ids`` is (rows, length), the start token first; ``scores`` is a tuple with the scores of
every step so far, or None unless ``return_dict_in_generate`` and ``output_scores`` are set.
"""

from __future__ import annotations

import time
from typing import Any

__all__ = ["MaxLengthCriteria", "MaxTimeCriteria", "StoppingCriteria", "StoppingCriteriaList"]


class StoppingCriteria:
    """Base class; any callable with the same arguments will do."""

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> bool:
        raise NotImplementedError("StoppingCriteria needs to be subclassed")


class MaxLengthCriteria(StoppingCriteria):
    """Stops at a number of tokens, the start token included."""

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> bool:
        return bool(input_ids.shape[-1] >= self.max_length)


class MaxTimeCriteria(StoppingCriteria):
    """Stops after some seconds, counted from ``initial_timestamp`` (default: now)."""

    def __init__(self, max_time: float, initial_timestamp: float | None = None) -> None:
        self.max_time = max_time
        self.initial_timestamp = time.time() if initial_timestamp is None else initial_timestamp

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> bool:
        return time.time() - self.initial_timestamp > self.max_time


class StoppingCriteriaList(list[Any]):
    """Criteria of which any one stops."""

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> bool:
        return any(stops(criterion, input_ids, scores, **kwargs) for criterion in self)


def stops(criterion: Any, input_ids: Any, scores: Any, **kwargs: Any) -> bool:
    """One criterion's answer; newer ones return an array with a value for each row."""
    answer = criterion(input_ids, scores, **kwargs)
    return bool(answer.all() if hasattr(answer, "all") else answer)
