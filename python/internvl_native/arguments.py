"""Checks of callers' arguments: every error names the argument, what is expected and what came."""

from __future__ import annotations

import operator
from collections.abc import Iterable, MutableMapping
from typing import Any


def integer(name: str, value: Any) -> int:
    """An int, or anything that is one, such as numpy's. TypeError otherwise."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {value!r:.100}") from None


def text(name: str, value: Any) -> str:
    """A str. TypeError otherwise."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a str, got {type(value).__name__}")
    return value


def tile_counts(num_patches_list: Any, tiles: int | None) -> list[int]:
    """The tiles of each image, which have to add up to all that pixel_values holds.

    TypeError for what is no list of integers, ValueError for wrong numbers.
    """
    if isinstance(num_patches_list, (str, bytes)) or not isinstance(num_patches_list, Iterable):
        raise TypeError(
            "num_patches_list: expected a list with the number of tiles of each image, "
            f"got {num_patches_list!r:.100}"
        )
    counts = [integer("num_patches_list", count) for count in num_patches_list]
    if any(count < 0 for count in counts):
        raise ValueError(f"num_patches_list: expected no negative numbers, got {counts}")
    if tiles is not None and sum(counts) != tiles:
        raise ValueError(
            f"num_patches_list: {counts} adds up to {sum(counts)} tiles, "
            f"but pixel_values holds {tiles}"
        )
    return counts


def check_questions(questions: Any, counts: list[int]) -> None:
    """TypeError for what is no list, IndexError or ValueError if it does not fit ``counts``."""
    is_sequence = hasattr(questions, "__getitem__") and hasattr(questions, "__len__")
    if not is_sequence or isinstance(questions, (str, bytes)):  # a data set's column is one, too
        raise TypeError(f"questions: expected a list of str, got {type(questions).__name__}")
    for question in questions:
        text("questions", question)
    if len(counts) > len(questions):
        raise IndexError(f"num_patches_list: {len(counts)} entries for {len(questions)} questions")
    if not counts:
        raise ValueError("questions: expected at least one question and its num_patches_list")


def check_tokenizer(tokenizer: Any) -> None:
    """TypeError for what cannot turn text into ids and back."""
    if not (callable(tokenizer) and hasattr(tokenizer, "convert_tokens_to_ids")):
        raise TypeError(
            "tokenizer: expected what AutoTokenizer.from_pretrained returns, "
            f"got {type(tokenizer).__name__}"
        )


def check_history(history: Any) -> None:
    """TypeError or ValueError for what is no list of earlier (question, answer) pairs."""
    expected = "history: expected a list of (question, answer) pairs"
    if not hasattr(history, "append"):
        raise TypeError(f"{expected}, got {type(history).__name__}")
    for turn in history:
        if not isinstance(turn, (tuple, list)) or len(turn) != 2:
            raise ValueError(f"{expected}, got {turn!r:.100} in it")
        for message in turn:
            if message is not None and not isinstance(message, str):
                raise ValueError(f"{expected} of str, got {turn!r:.100} in it")


def check_generation_config(generation_config: Any) -> None:
    """TypeError for anything but a dict of options that a chat can take."""
    if not isinstance(generation_config, MutableMapping):
        raise TypeError(
            f"generation_config: expected a dict, got {type(generation_config).__name__}; "
            "its eos_token_id is set by the call"
        )
    for name in generation_config:
        text("generation_config: key", name)
