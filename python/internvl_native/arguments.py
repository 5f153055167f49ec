"""Checks of callers' arguments: every error names the argument, what is expected and what came."""

from __future__ import annotations

import difflib
import operator
import os
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import Any


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """ "; did you mean ...?" with a known name like this one, or nothing."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def kind(value: Any) -> str:
    """What came: the name of its type, or that it is a class."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return type(value).__name__


def integer(name: str, value: Any) -> int:
    """An int, or anything that is one, such as numpy's. TypeError otherwise."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {value!r:.100}") from None


def text(name: str, value: Any) -> str:
    """A str. TypeError otherwise."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a str, got {kind(value)}")
    return value


def folder(name: str, value: Any) -> Path:
    """The path of a folder, which need not be there. TypeError for what is no path, ValueError for
    that of a file."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name}: expected the path of a folder, got {kind(value)}")
    path = Path(value)
    if path.is_file():
        raise ValueError(f"{name}: expected a folder, got the file {path}")
    return path


def tile_counts(num_patches_list: Any, tiles: int | None) -> list[int]:
    """The tiles of each image, which have to add up to all that pixel_values holds.

    TypeError for what is no list of integers, ValueError for wrong numbers.
    """
    try:
        numbers = None if isinstance(num_patches_list, (str, bytes)) else list(num_patches_list)
    except TypeError:  # also of an array without dimensions
        numbers = None
    if numbers is None:
        raise TypeError(
            "num_patches_list: expected a list with the number of tiles of each image, "
            f"got {num_patches_list!r:.100}"
        )
    counts = [integer("num_patches_list", number) for number in numbers]
    if any(count < 0 for count in counts):
        raise ValueError(f"num_patches_list: expected no negative numbers, got {counts}")
    if tiles is not None and sum(counts) != tiles:
        raise ValueError(
            f"num_patches_list: {counts} adds up to {sum(counts)} tiles, "
            f"but pixel_values holds {tiles}"
        )
    return counts


def image_counts(num_patches_list: Any, questions: int, tiles: int | None) -> list[list[int]]:
    """The tiles of each image of each question, from a list of lists, or of numbers for questions
    of one image; None without pixels is no image anywhere.

    TypeError for what is no such list; ValueError, naming the question, for wrong numbers.
    """
    if num_patches_list is None and tiles is None:
        return [[] for _ in range(questions)]
    if not is_sequence(num_patches_list):
        raise TypeError(
            "num_patches_list: expected a list with the numbers of tiles of each question's "
            f"images, got {num_patches_list!r:.100}"
        )
    if len(num_patches_list) != questions:
        raise ValueError(
            f"num_patches_list: expected an entry for each of {questions} questions, "
            f"got {len(num_patches_list)}"
        )
    counts = []
    for index, entry in enumerate(num_patches_list):
        numbers = entry if is_sequence(entry) else [entry]
        counts.append([integer(f"num_patches_list[{index}]", number) for number in numbers])
        if any(number < 0 for number in counts[-1]):
            raise ValueError(
                f"num_patches_list[{index}]: expected no negative numbers, got {counts[-1]}"
            )
    total = sum(map(sum, counts))
    if total != (tiles or 0):
        raise ValueError(
            f"num_patches_list: {counts!s:.100} adds up to {total} tiles, "
            f"but pixel_values holds {tiles or 0}"
        )
    return counts


def check_tags(index: int, tags: int, images: int) -> None:
    """ValueError unless question ``index`` has as many ``<image>`` as images."""
    if tags != images:
        raise ValueError(
            f"questions[{index}]: {tags} <image> in the question and its history, "
            f"but num_patches_list[{index}] has {images} images"
        )


def histories(history: Any, questions: int) -> list[Any]:
    """A history for each question: None, or a list as ``check_history`` wants it.

    TypeError or ValueError for anything else, and for one list that stands in several places.
    """
    if history is None:
        return [None] * questions
    if not is_sequence(history) or len(history) != questions:
        got = f"{len(history)} of them" if is_sequence(history) else kind(history)
        raise ValueError(
            f"history: expected a list of {questions} histories, one a question (None for none), "
            f"got {got}"
        )
    for index, turns in enumerate(history):
        if turns is None:
            continue
        try:
            check_history(turns)
        except (TypeError, ValueError) as error:
            raise type(error)(f"history[{index}]: {error}") from None
        if any(turns is other for other in history[:index]):
            raise ValueError(
                f"history[{index}]: is the same list as an earlier one; give each question its own"
            )
    return list(history)


def is_sequence(value: Any) -> bool:
    """Also a data set's column and an array."""
    indexable = hasattr(value, "__getitem__") and hasattr(value, "__len__")
    has_length = indexable and getattr(value, "ndim", 1) > 0
    return has_length and not isinstance(value, (str, bytes, dict))


def is_nested(num_patches_list: Any) -> bool:
    """Whether it holds lists and not numbers."""
    return is_sequence(num_patches_list) and any(map(is_sequence, num_patches_list))


def question_text(question: Any) -> str:
    """The question of ``chat``. TypeError for what is no str."""
    if isinstance(question, (list, tuple)):
        got = kind(question)
        raise TypeError(f"question: expected a str, got {got}; batch_chat takes several questions")
    return text("question", question)


def check_questions(questions: Any) -> None:
    """TypeError for what is no list of str, ValueError for an empty one."""
    if not is_sequence(questions):
        raise TypeError(f"questions: expected a list of str, got {kind(questions)}")
    for question in questions:
        text("questions", question)
    if len(questions) == 0:
        raise ValueError("questions: expected at least one question and its num_patches_list")


def check_entries(counts: list[int], questions: Any) -> None:
    """IndexError for more entries of num_patches_list than questions, ValueError for none; fewer
    leave questions out, as in the reference."""
    if len(counts) > len(questions):
        raise IndexError(f"num_patches_list: {len(counts)} entries for {len(questions)} questions")
    if not counts:
        raise ValueError("num_patches_list: expected an entry for each question, got none")


def check_tokenizer(tokenizer: Any) -> None:
    """TypeError for what cannot turn text into ids and back."""
    methods = ("__call__", "convert_tokens_to_ids", "batch_decode")
    if isinstance(tokenizer, type) or not all(hasattr(tokenizer, name) for name in methods):
        raise TypeError(
            f"tokenizer: expected what AutoTokenizer.from_pretrained returns, got {kind(tokenizer)}"
        )


def check_history(history: Any) -> None:
    """TypeError or ValueError for what is no list of earlier (question, answer) pairs."""
    expected = "history: expected a list of (question, answer) pairs"
    if not hasattr(history, "append"):
        raise TypeError(f"{expected}, got {kind(history)}")
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
            f"generation_config: expected a dict, got {kind(generation_config)}; "
            "its eos_token_id is set by the call"
        )
    for name in generation_config:
        if text("generation_config: key", name) in _SET_BY_CHAT:
            raise TypeError(f"generation_config: {name} is set by the call; leave it out")
    if "use_cache" in generation_config:
        raise TypeError("generation_config: use_cache is always on; leave it out")


_SET_BY_CHAT = ("pixel_values", "input_ids", "attention_mask")
