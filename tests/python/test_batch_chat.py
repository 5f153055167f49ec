"""batch_chat with lists of images and histories: what chat answers to each question alone."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from tests.support.goldens import DATA, EXTRA
from tests.support.implementation import Models

import internvl_native
from internvl_native import _core

CHECKPOINTS = [
    DATA / "ckpt_layernorm",
    DATA / "ckpt_rmsnorm",
    EXTRA / "ckpt_llama",
    EXTRA / "ckpt_plain",
]
CONFIG = {"max_new_tokens": 6}
# question, tiles of its images (those of the history first), history
CONVERSATIONS: list[tuple[str, list[int], Any]] = [
    ("Describe it.", [2], None),
    ("Frame1: <image>\nFrame2: <image>\nWhat changes?", [1, 1], None),
    ("Who are you?", [], None),
    ("And now?", [1], [("<image>\nWhat is this?", "A house.")]),
    ("Compare with <image>, please.", [1, 1], [["<image>\nWhat is this?", "A house."]]),
    ("Go on.", [], [("Tell me a story.", "Once upon a time"), ("Longer.", None)]),
    ("No image in front of this", [], []),
]


@pytest.fixture(params=CHECKPOINTS, ids=lambda path: path.name)
def loaded(request: pytest.FixtureRequest, models: Models) -> tuple[Any, Any]:
    model = models(_core.cpu_isas()[-1], request.param)
    return model, internvl_native.AutoTokenizer.from_pretrained(request.param)


def tiles_of(model: Any, counts: list[list[int]]) -> tuple[np.ndarray, list[Any]]:
    """Tiles of all questions, and each question's own or None."""
    size = model.config.force_image_size
    total = sum(map(sum, counts))
    generator = np.random.default_rng(3)
    tiles = generator.standard_normal((total, 3, size, size), dtype=np.float32)
    ends = np.cumsum([sum(numbers) for numbers in counts])
    parts = [tiles[end - sum(own) : end] for end, own in zip(ends, counts)]
    return tiles, [part if len(part) else None for part in parts]


@pytest.mark.parametrize("sampled", [False, True])
def test_as_chat_answers_each(loaded: tuple[Any, Any], sampled: bool) -> None:
    model, tokenizer = loaded
    config = dict(CONFIG, repetition_penalty=1.3) if sampled else dict(CONFIG)
    questions = [question for question, _, _ in CONVERSATIONS]
    counts = [numbers for _, numbers, _ in CONVERSATIONS]
    histories = [copy.deepcopy(history) for _, _, history in CONVERSATIONS]
    tiles, parts = tiles_of(model, counts)
    answers, after = model.batch_chat(
        tokenizer,
        tiles,
        questions,
        dict(config),
        num_patches_list=counts,
        history=histories,
        return_history=True,
    )
    for index, (question, numbers, history) in enumerate(CONVERSATIONS):
        alone, history_alone = model.chat(
            tokenizer,
            parts[index],
            question,
            dict(config),
            history=copy.deepcopy(history),
            return_history=True,
            num_patches_list=numbers,
        )
        assert answers[index] == alone
        assert after[index] == history_alone
        if history is not None:
            assert after[index] is histories[index]


def test_flat_numbers_beside_histories(fast_model: Any, tokenizer: Any) -> None:
    tiles, parts = tiles_of(fast_model, [[1], [2]])
    questions = ["<image>\na", "<image>\nb"]
    flat = fast_model.batch_chat(tokenizer, tiles, questions, dict(CONFIG), num_patches_list=[1, 2])
    answers, histories = fast_model.batch_chat(
        tokenizer, tiles, questions, dict(CONFIG), num_patches_list=[1, 2], return_history=True
    )
    assert answers == flat
    assert histories == [[pair] for pair in zip(questions, answers)]
    second = fast_model.batch_chat(
        tokenizer, tiles, ["c", "d"], dict(CONFIG), num_patches_list=[1, 2], history=histories
    )
    assert [len(history) for history in histories] == [2, 2]
    assert second[1] == fast_model.chat(
        tokenizer, parts[1], "d", dict(CONFIG), history=histories[1][:1]
    )


def test_text_needs_no_counts(fast_model: Any, tokenizer: Any) -> None:
    answers, histories = fast_model.batch_chat(
        tokenizer, None, ["a", "b"], dict(CONFIG), return_history=True
    )
    assert answers == [fast_model.chat(tokenizer, None, q, dict(CONFIG)) for q in "ab"]
    assert histories == [[("a", answers[0])], [("b", answers[1])]]


def test_first_of_several_answers_enters_the_history(fast_model: Any, tokenizer: Any) -> None:
    config = dict(CONFIG, num_beams=3, num_return_sequences=2)
    answers, histories = fast_model.batch_chat(
        tokenizer, None, ["a", "b"], config, return_history=True
    )
    assert len(answers) == 4
    assert histories == [[("a", answers[0])], [("b", answers[2])]]


SHARED: list[Any] = []
WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "more images than tags": (
        {"num_patches_list": [[1], [1, 1]]}, ValueError, r"questions\[1\]: 1 <image>.* 2 images"),
    "fewer images than tags": (
        {"num_patches_list": [[3], []]}, ValueError, r"questions\[1\]: 1 <image>.* 0 images"),
    "tiles that do not add up": ({"num_patches_list": [[1], [1]]}, ValueError, "adds up to 2"),
    "an entry too few": ({"num_patches_list": [[3]]}, ValueError, "2 questions, got 1"),
    "a word as count": ({"num_patches_list": [[2], ["x"]]}, TypeError, r"list\[1\]: .*got 'x'"),
    "a negative count": ({"num_patches_list": [[4], [-1]]}, ValueError, r"list\[1\]: .*\[-1\]"),
    "one history": ({"history": [("q", "a")]}, ValueError, "2 histories, .*got 1 of them"),
    "pairs instead of histories": ({"history": [("q", "a"), ("q", "a")]}, TypeError,
                                   r"history\[0\]: .*got tuple"),
    "a number in a history": ({"history": [None, [5]]}, ValueError, r"history\[1\]: .*got 5"),
    "one list for all": ({"history": [SHARED, SHARED]}, ValueError, r"history\[1\]: .*same list"),
    "an unknown option": ({"generation_config": {"max_tokens": 3}, "history": [[], None]},
                          ValueError, "max_tokens"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_calls(fast_model: Any, tokenizer: Any, case: str) -> None:
    keywords, error, message = WRONG[case]
    tiles, _ = tiles_of(fast_model, [[1], [2]])
    history = copy.deepcopy(keywords.get("history"))
    arguments = {"num_patches_list": [[1], [2]], "generation_config": dict(CONFIG), **keywords}
    with pytest.raises(error, match=message):
        fast_model.batch_chat(tokenizer, tiles, ["<image> a", "<image> b"], **arguments)
    assert keywords.get("history") == history
