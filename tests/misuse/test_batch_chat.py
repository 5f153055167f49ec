"""``batch_chat``: questions, a number or a list for each, histories."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.misuse.bench import Bench, Table, pixels

TWO = ["a", "b"]
QUESTIONS = "questions: expected a list of str"
COUNTS = "num_patches_list: expected a list with the number"
HISTORIES = "history: expected a list of 2 histories, one a question .None for none."


def tiles(count: int) -> Any:
    return pixels(count, 3, 112, 112)


CASES: Table = {
    "one question": (lambda b: b.batch(None, "abc", [0]), TypeError, QUESTIONS + ", got str"),
    "questions None": (lambda b: b.batch(None, None, [0]), TypeError, QUESTIONS + ".*NoneType"),
    "questions a number": (lambda b: b.batch(None, 5, [0]), TypeError, QUESTIONS + ", got int"),
    "questions a dict": (lambda b: b.batch(None, {"a": 1}, [0]), TypeError, QUESTIONS + ".*dict"),
    "questions a set": (lambda b: b.batch(None, {"a"}, [0]), TypeError, QUESTIONS + ", got set"),
    "questions a generator": (
        lambda b: b.batch(None, (q for q in TWO), [0, 0]), TypeError, QUESTIONS + ".*generator",
    ),
    "no questions": (lambda b: b.batch(None, [], []), ValueError, "questions: .*at least one"),
    "a number among questions": (
        lambda b: b.batch(None, ["a", 5], [0, 0]), TypeError, "questions: expected a str, got int",
    ),
    "None among questions": (
        lambda b: b.batch(None, ["a", None], [0, 0]), TypeError, "questions: .*got NoneType",
    ),
    "questions in lists": (
        lambda b: b.batch(None, [["a"], ["b"]], [0, 0]), TypeError, "questions: .*got list",
    ),
    "a surrogate in the second": (
        lambda b: b.batch(None, ["a", "\ud800"], [0, 0]), ValueError, "surrogate",
    ),
    "a list of pixels": (
        lambda b: b.batch([tiles(1), tiles(2)], TWO, [1, 2]), ValueError,
        "pixel_values: expected tiles of one shape .*np.concatenate or torch.cat",
    ),
    "None among pixels": (
        lambda b: b.batch([tiles(1), None], TWO, [1, 0]), ValueError, "pixel_values: .*one shape",
    ),
    "tokenizer None": (
        lambda b: b.batch(None, TWO, [0, 0], tokenizer=None), TypeError, "tokenizer: .*NoneType",
    ),
    "pixels and tokenizer exchanged": (
        lambda b: b.model.batch_chat(tiles(2), b.tokenizer, TWO, {}, [1, 1]), TypeError,
        "tokenizer: expected .*got ndarray",
    ),
    "config None": (
        lambda b: b.batch(None, TWO, [0, 0], generation_config=None), TypeError,
        "generation_config: expected a dict, got NoneType",
    ),
    "more counts than questions": (
        lambda b: b.batch(None, ["a"], [0, 0]), IndexError,
        "num_patches_list: 2 entries for 1 questions",
    ),
    "no counts": (lambda b: b.batch(None, TWO, []), ValueError, "num_patches_list: .*got none"),
    "counts left out": (lambda b: b.batch(None, TWO), TypeError, COUNTS + ".*got None"),
    "counts apart from tiles": (
        lambda b: b.batch(tiles(1), TWO, [1, 1]), ValueError,
        r"num_patches_list: \[1, 1\] adds up to 2 tiles, but pixel_values holds 1",
    ),
    "counts an int": (lambda b: b.batch(tiles(2), TWO, 1), TypeError, COUNTS + ".*got 1"),
    "counts an array of no dimensions": (
        lambda b: b.batch(tiles(2), TWO, np.array(1)), TypeError, COUNTS),
    "counts of a str": (lambda b: b.batch(tiles(2), TWO, "11"), TypeError, COUNTS + ".*'11'"),
    "fractions": (
        lambda b: b.batch(tiles(2), TWO, [1.0, 1.0]), TypeError, "num_patches_list: .*got 1.0",
    ),
    "lists of str": (
        lambda b: b.batch(tiles(1), ["a"], [["3"]]), TypeError,
        r"num_patches_list\[0\]: expected an integer, got '3'",
    ),
    "lists with a negative": (
        lambda b: b.batch(tiles(1), TWO, [[2], [-1]]), ValueError,
        r"num_patches_list\[1\]: expected no negative numbers, got \[-1\]",
    ),
    "lists for fewer questions": (
        lambda b: b.batch(tiles(1), TWO, [[1]]), ValueError,
        "num_patches_list: expected an entry for each of 2 questions, got 1",
    ),
    "lists of more tiles": (
        lambda b: b.batch(tiles(1), TWO, [[1], [1]]), ValueError,
        r"num_patches_list: \[\[1\], \[1\]\] adds up to 2 tiles, but pixel_values holds 1",
    ),
    "lists without pixels": (
        lambda b: b.batch(None, TWO, [[1], []]), ValueError, "adds up to 1 tiles.*holds 0",
    ),
    "lists and tags apart": (
        lambda b: b.batch(tiles(3), ["<image>", "<image>"], [[1], [1, 1]]), ValueError,
        r"questions\[1\]: 1 <image> in the question and its history, but num_patches_list\[1\] has "
        "2 images",
    ),
    "lists and a tag too many": (
        lambda b: b.batch(tiles(1), ["<image>", "<image>"], [[1], []]), ValueError,
        r"questions\[1\]: 1 <image> .* num_patches_list\[1\] has 0 images",
    ),
    "lists in lists": (
        lambda b: b.batch(tiles(1), ["a"], [[[1]]]), TypeError, r"num_patches_list\[0\]: .*\[1\]",
    ),
    "one history for all": (
        lambda b: b.batch(None, TWO, [0, 0], history=[("a", "b")]), ValueError,
        HISTORIES + ".*got 1 of them",
    ),
    "as many turns as questions": (
        lambda b: b.batch(None, TWO, [0, 0], history=[("a", "b"), ("c", "d")]), TypeError,
        r"history\[0\]: history: expected a list of \(question, answer\) pairs, got tuple",
    ),
    "history a dict": (
        lambda b: b.batch(None, TWO, [0, 0], history={0: []}), ValueError, HISTORIES + ", got dict",
    ),
    "history True": (
        lambda b: b.batch(None, TWO, [0, 0], history=True), ValueError, HISTORIES + ", got bool",
    ),
    "the same list twice": (
        lambda b: b.batch(None, TWO, [0, 0], history=[[]] * 2), ValueError,
        r"history\[1\]: is the same list as an earlier one",
    ),
    "history of messages": (
        lambda b: b.batch(None, TWO, [0, 0], history=[None, [{"role": "user"}]]), ValueError,
        r"history\[1\]: .*pairs, got \{'role'",
    ),
    "a streamer": (
        lambda b: b.batch(
            None, TWO, [0, 0],
            generation_config={"streamer": 5},
        ), TypeError, "streamer",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_misuse(bench: Bench, case: str) -> None:
    bench.refuses(*CASES[case])


@pytest.mark.parametrize("counts", [[[2], []], [["1"], []], [[1, 0], []]])
def test_failing_calls_leave_all_histories_alone(bench: Bench, counts: Any) -> None:
    histories = [[("a", "b")], None]
    with pytest.raises((TypeError, ValueError)):
        bench.batch(tiles(1), ["<image>", "b"], counts, history=histories)
    assert histories == [[("a", "b")], None]
