"""Which arrays streamers, criteria and processors see: torch's where the caller uses torch."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.support.goldens import EXTRA

import internvl_native

QUESTION = "Tell me a story."


class Tensor(np.ndarray):
    """The part of torch.Tensor that the package and its callers' hooks touch."""

    is_meta = is_cuda = False
    layout, device = "torch.strided", "cpu"

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def numpy(self) -> Any:
        return self.view(np.ndarray)


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("torch")
    module.Tensor = Tensor  # type: ignore[attr-defined]
    module.dtype = type("dtype", (), {})  # type: ignore[attr-defined]
    module.from_numpy = lambda array: array.view(Tensor)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


def kinds_seen(pixel_values: Any) -> set[type]:
    model = internvl_native.AutoModel.from_pretrained(EXTRA / "ckpt_plain")
    tokenizer = internvl_native.AutoTokenizer.from_pretrained(EXTRA / "ckpt_plain")
    kinds: set[type] = set()

    def process(input_ids: Any, scores: Any) -> Any:
        kinds.update((type(input_ids), type(scores)))
        return scores

    def stop(input_ids: Any, scores: Any) -> bool:
        kinds.add(type(input_ids))
        return False

    config = {"max_new_tokens": 2, "logits_processor": [process], "stopping_criteria": [stop]}
    model.chat(tokenizer, pixel_values, QUESTION, config)
    return kinds


def test_hooks_of_a_text_only_chat_see_torch_where_it_is_loaded(torch: ModuleType) -> None:
    assert kinds_seen(None) == {Tensor}


def test_hooks_see_what_the_pixels_are(torch: ModuleType) -> None:
    pixels = np.zeros((1, 3, 56, 56), np.float32)
    assert kinds_seen(pixels) == {np.ndarray}
    assert kinds_seen(pixels.view(Tensor)) == {Tensor}


def test_hooks_see_numpy_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert kinds_seen(None) == {np.ndarray}
