"""Cutting a text at the added tokens, as the trie of transformers 4.37.2 does."""

from __future__ import annotations

import time

import pytest

from internvl_native.tokenization import AddedToken, PreTrainedTokenizer
from internvl_native.tokenization.added_tokens import compile_splitter


# The expected parts are what transformers.tokenization_utils.Trie.split returned.
@pytest.mark.parametrize(
    ("words", "text", "parts"),
    [
        (["<s>", "</s>"], "<s>a</s></s>", ["<s>", "a", "</s>", "</s>"]),
        (["<img>"], "<im<img>g>", ["<im", "<img>", "g>"]),
        (["ab", "abc"], "ababc", ["ab", "abc"]),
        (["ab", "abcd"], "abcab", ["ab", "c", "ab"]),
        (["blowing", "lower"], "blower", ["b", "lower"]),
        (["abX", "b"], "ab?b", ["a", "b", "?", "b"]),
        (["abX", "b"], "ab?X", ["ab?X"]),
        (["abX", "b"], "zab\nXb", ["z", "ab\nX", "b"]),
        (["<img>", "img"], "<img >img", ["<img >", "img"]),
        (["a", "aXb"], "a?bX", ["a", "?bX"]),
        (["a.c"], "abc", ["abc"]),
        ([], "text", ["text"]),
        (["x"], "", []),
    ],
)
def test_parts(words: list[str], text: str, parts: list[str]) -> None:
    assert [part for part in compile_splitter(tuple(words)).split(text) if part] == parts


def test_tokens_that_touch_their_surroundings(tokenizer: PreTrainedTokenizer) -> None:
    tokenizer.add_tokens(
        [
            AddedToken("<left>", lstrip=True),
            AddedToken("<right>", rstrip=True),
            AddedToken("word", single_word=True),
        ]
    )
    spaced = tokenizer.tokenize("a  <left>  b")
    assert spaced == [*tokenizer.tokenize("a"), "<left>", *tokenizer.tokenize("  b")]
    spaced = tokenizer.tokenize("a  <right> \n b")
    assert spaced == [*tokenizer.tokenize("a  "), "<right>", *tokenizer.tokenize("b")]
    assert "word" in tokenizer.tokenize("a word b")
    assert "word" not in tokenizer.tokenize("swords")


def test_forty_tiles_take_milliseconds(tokenizer: PreTrainedTokenizer) -> None:
    prompt = "<img>" + "<IMG_CONTEXT>" * 40 * 256 + "</img>\nWhat is it?"
    start = time.perf_counter()
    ids = tokenizer(prompt).input_ids
    # About 3 ms on a free core; the bound only tells this from walking the text in Python.
    assert time.perf_counter() - start < 0.5
    assert ids.count(tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")) == 40 * 256
