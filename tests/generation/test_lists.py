"""LogitsProcessorList and StoppingCriteriaList, and what subclasses of their items see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support.goldens import DATA

from internvl_native import (
    AutoModel,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)


class Favour(LogitsProcessor):
    def __init__(self, token: int) -> None:
        self.token = token

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        assert input_ids.shape[0] == scores.shape[0]
        scores = scores.copy()
        scores[:, self.token] = scores.max() + 1
        return scores


class TokenCount(StoppingCriteria):
    def __init__(self, count: int) -> None:
        self.count = count

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> bool:
        return bool(input_ids.shape[1] >= self.count)


def test_lists_act_in_their_order() -> None:
    scores = np.zeros((1, 4), np.float32)
    processors = LogitsProcessorList([Favour(1), Favour(2)])
    assert processors(np.ones((1, 1), np.int64), scores).tolist() == [[0, 1, 2, 0]]
    criteria = StoppingCriteriaList([TokenCount(3), TokenCount(2)])
    assert [criteria(np.ones((1, n), np.int64), None) for n in (1, 2)] == [False, True]


def test_generate_asks_them() -> None:
    model = AutoModel.from_pretrained(DATA / "ckpt_ntk")
    model.img_context_token_id = 2195
    settings: dict[str, Any] = {"input_ids": [[5, 6]], "max_new_tokens": 8, "eos_token_id": -1}
    processors = LogitsProcessorList([Favour(8), Favour(9)])
    criteria = StoppingCriteriaList([TokenCount(4)])
    tokens = model.generate(**settings, logits_processor=processors, stopping_criteria=criteria)
    assert tokens.tolist() == [[1, 9, 9, 9]]
    assert model.generate(**settings, stopping_criteria=TokenCount(2)).shape == (1, 2)


@pytest.mark.parametrize("base", [LogitsProcessor, StoppingCriteria])
def test_base_classes_want_a_subclass(base: Any) -> None:
    with pytest.raises(NotImplementedError, match=f"{base.__name__} needs to be subclassed"):
        base()(None, None)
