"""Arguments that are no lists and dicts but behave like them, as they do in the reference."""

from __future__ import annotations

from collections import UserDict
from typing import Any

import numpy as np
import pytest

QUESTIONS = ["What is it?", "Where?"]
SETTINGS = {"max_new_tokens": 3}


def pixels(tiles: int) -> Any:
    return np.linspace(-1, 1, tiles * 3 * 112 * 112, dtype=np.float32).reshape(tiles, 3, 112, 112)


@pytest.mark.parametrize("kind", [np.array, tuple])
def test_sequences_of_questions_and_tile_counts(fast_model: Any, tokenizer: Any, kind: Any) -> None:
    def answers(questions: Any, counts: Any) -> Any:
        return fast_model.batch_chat(tokenizer, pixels(3), questions, dict(SETTINGS), counts)

    assert answers(kind(QUESTIONS), kind([1, 2])) == answers(QUESTIONS, [1, 2])
    alone = fast_model.batch_chat(tokenizer, None, kind(QUESTIONS[:1]), dict(SETTINGS), kind([0]))
    assert alone == fast_model.batch_chat(tokenizer, None, QUESTIONS[:1], dict(SETTINGS), [0])
    question = "<image>\n<image>\nCompare."
    chats = [
        fast_model.chat(tokenizer, pixels(3), question, dict(SETTINGS), num_patches_list=counts)
        for counts in (kind([1, 2]), [1, 2])
    ]
    assert chats[0] == chats[1]


def test_a_generation_config_that_is_no_dict(fast_model: Any, tokenizer: Any) -> None:
    config = UserDict(SETTINGS)
    answer = fast_model.chat(tokenizer, None, "Hello", config)
    assert answer == fast_model.chat(tokenizer, None, "Hello", dict(SETTINGS))
    assert config["eos_token_id"] == tokenizer.convert_tokens_to_ids("<|im_end|>")


@pytest.mark.parametrize("kind", [np.float32, bool, np.int32, list])
def test_attention_masks_of_any_kind(fast_model: Any, tokenizer: Any, kind: Any) -> None:
    fast_model.img_context_token_id = tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
    ids = np.array([[5, 6, 7, 8], [2, 2, 9, 8]])
    mask = np.array([[1, 1, 1, 1], [0, 0, 1, 1]])
    same = mask.tolist() if kind is list else mask.astype(kind)
    outputs = [
        fast_model.generate(input_ids=ids, attention_mask=mask, **SETTINGS) for mask in (mask, same)
    ]
    assert np.array_equal(*outputs)


@pytest.mark.parametrize("wrong", [[[1, 0.5]], [[2, 1]], [[1, float("nan")]], [["a", "b"]]])
def test_attention_masks_hold_ones_and_zeros(fast_model: Any, wrong: Any) -> None:
    fast_model.img_context_token_id = 2
    with pytest.raises(ValueError, match="attention_mask: expected ones and zeros"):
        fast_model.generate(input_ids=[[5, 6]], attention_mask=wrong, **SETTINGS)
