"""``chat``: the tokenizer, pixels, questions, counts of tiles, histories."""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.misuse.bench import IMAGES, OTHER, Bench, Table, pixels

from internvl_native import AutoTokenizer, GenerationConfig, load_image

PAIRS = r"history: expected a list of \(question, answer\) pairs"
TILES = r"pixel_values: expected normalised floats of shape \(tiles, 3, height, width\)"
COUNTS = "num_patches_list: expected a list with the number of tiles of each image"


def with_value(value: float) -> Any:
    tiles = pixels(3, 3, 112, 112)
    tiles[1, 2, 3, 4] = value
    return tiles


class Text(str):
    """What some libraries give instead of a str."""


ORDER: Table = {
    "pixels before the tokenizer": (
        lambda b: b.model.chat(pixels(), b.tokenizer, "x", {}),
        TypeError, "tokenizer: expected what AutoTokenizer.from_pretrained returns, got ndarray",
    ),
    "question before pixels": (
        lambda b: b.model.chat(b.tokenizer, "x", pixels(), {}), ValueError, TILES + ", got str",
    ),
    "config before the question": (
        lambda b: b.model.chat(b.tokenizer, pixels(), {"max_new_tokens": 2}, "x"),
        TypeError, "question: expected a str, got dict",
    ),
    "history in place of the config": (
        lambda b: b.model.chat(b.tokenizer, None, "x", [("a", "b")]),
        TypeError, "generation_config: expected a dict, got list",
    ),
    "the question first": (
        lambda b: b.model.chat("What?", b.tokenizer, None, {}), TypeError, "tokenizer: .*got str",
    ),
    "no config": (
        lambda b: b.model.chat(b.tokenizer, None, "x"), TypeError, "generation_config",
    ),
    "nothing": (lambda b: b.model.chat(), TypeError, "tokenizer.*pixel_values.*question"),
    "a keyword with a typo": (
        lambda b: b.chat(num_patch_list=[1]), TypeError, "num_patch_list",
    ),
    "options as keywords": (lambda b: b.chat(max_new_tokens=2), TypeError, "max_new_tokens"),
}  # fmt: skip

TOKENIZERS: Table = {
    "None": (lambda b: b.chat(tokenizer=None), TypeError, "tokenizer: .*got NoneType"),
    "a path": (lambda b: b.chat(tokenizer="x"), TypeError, "tokenizer: expected .*got str"),
    "the model": (lambda b: b.chat(tokenizer=b.model), TypeError, "tokenizer: .*InternVLChatModel"),
    "its class": (
        lambda b: b.chat(tokenizer=AutoTokenizer),
        TypeError, "tokenizer: expected what AutoTokenizer.from_pretrained returns, got the class",
    ),
    "its ids": (
        lambda b: b.chat(tokenizer=b.tokenizer("x")), TypeError, "tokenizer: .*got BatchEncoding",
    ),
    "a function": (lambda b: b.chat(tokenizer=len), TypeError, "tokenizer: .*builtin_function"),
}  # fmt: skip

PIXELS: Table = {
    "a path": (lambda b: b.chat("a.jpg"), ValueError, TILES + r", got str; load_image\(\)"),
    "a PIL image": (
        lambda b: b.chat(Image.new("RGB", (4, 4))), ValueError, TILES + ", got Image; load_image",
    ),
    "a list of PIL images": (
        lambda b: b.chat([Image.new("RGB", (4, 4))] * 2), ValueError,
        TILES + ", got a list of Image; load_image",
    ),
    "a list of paths": (lambda b: b.chat(["a.jpg", "b.jpg"]), ValueError, TILES + ".*load_image"),
    "bytes of a file": (
        lambda b: b.chat((IMAGES / "land.jpg").read_bytes()), ValueError, TILES + ".*got bytes",
    ),
    "a dict": (lambda b: b.chat({}), ValueError, TILES + ", got dict"),
    "what a processor returns": (
        lambda b: b.chat({"pixel_values": pixels()}), ValueError, TILES + ", got dict",
    ),
    "an empty list": (lambda b: b.chat([]), ValueError, r"pixel_values: .*shape \(0,\)"),
    "a list of one None": (lambda b: b.chat([None]), ValueError, TILES + ".*list of NoneType"),
    "True": (lambda b: b.chat(True), ValueError, TILES + ", got bool"),
    "the model": (lambda b: b.chat(b.model), ValueError, TILES + ", got InternVLChatModel"),
    "a number": (lambda b: b.chat(1.5), ValueError, r"pixel_values: .*4 dimensions.*shape \(\)"),
    "integers": (lambda b: b.chat(pixels().astype(np.uint8)), ValueError, TILES + ", got uint8"),
    "complex": (lambda b: b.chat(pixels().astype(complex)), ValueError, TILES + ".*complex128"),
    "objects": (lambda b: b.chat(pixels().astype(object)), ValueError, TILES + ".*object"),
    "ragged": (
        lambda b: b.chat([pixels(3, 3, 112, 112), pixels()]), ValueError,
        "pixel_values: expected tiles of one shape .*np.concatenate or torch.cat",
    ),
    "a list of arrays": (
        lambda b: b.chat([pixels(), pixels()]), ValueError,
        r"pixel_values: expected 4 dimensions .*got shape \(2, 1, 3, 112, 112\)",
    ),
    "three dimensions": (
        lambda b: b.chat(pixels(3, 112, 112)), ValueError,
        r"pixel_values: expected 4 dimensions .*\(3, 112, 112\)",
    ),
    "no tiles": (lambda b: b.chat(pixels(0, 3, 112, 112)), ValueError, "pixel_values: .*one tile"),
    "channels last": (
        lambda b: b.chat(pixels(1, 112, 112, 3)), ValueError,
        "pixel_values: expected 3 channels, got 112",
    ),
    "four channels": (
        lambda b: b.chat(pixels(1, 4, 112, 112)), ValueError,
        "pixel_values: expected 3 channels, got 4",
    ),
    "oblong": (
        lambda b: b.chat(pixels(1, 3, 28, 56)), ValueError,
        "pixel_values: 8 patches a tile .*expected square tiles",
    ),
    "of another size": (
        lambda b: b.chat(pixels(1, 3, 224, 224)), ValueError, "pixel_values: .*64 rows.*16"),
    "NaN": (lambda b: b.chat(with_value(np.nan)), ValueError, "pixel_values: .*finite .* tile 1"),
    "infinite": (lambda b: b.chat(with_value(-np.inf)), ValueError, "finite .* in tile 1"),
    "beyond float32": (
        lambda b: b.chat(np.full((1, 3, 112, 112), 1e300)), ValueError, "finite .* in tile 0",
    ),
    "an image of another input_size": (
        lambda b: b.chat(load_image(IMAGES / "land.jpg", 448, max_num=1, return_tensors="np")),
        ValueError, "256 rows.*16 image tokens.*size of the tiles",
    ),
}  # fmt: skip

QUESTIONS: Table = {
    "None": (lambda b: b.chat(pixels(), None), TypeError, "question: expected a str, got NoneType"),
    "a number": (lambda b: b.chat(None, 5), TypeError, "question: expected a str, got int"),
    "bytes": (lambda b: b.chat(None, b"x"), TypeError, "question: expected a str, got bytes"),
    "a list": (
        lambda b: b.chat(None, ["x"]), TypeError, "question: .*got list; batch_chat",
    ),
    "a message": (
        lambda b: b.chat(None, {"role": "user", "content": "x"}), TypeError, "question: .*got dict",
    ),
    "an array of str": (lambda b: b.chat(None, np.array("x")), TypeError, "question: .*ndarray"),
    "a lone surrogate": (lambda b: b.chat(None, "a\ud800"), ValueError, "surrogate.*character"),
    "<IMG_CONTEXT> typed": (
        lambda b: b.chat(pixels(), "<IMG_CONTEXT>"), ValueError, "16 rows.*17 image tokens",
    ),
}  # fmt: skip

COUNTS_CASES: Table = {
    "above the tiles": (
        lambda b: b.chat(pixels(), num_patches_list=[2]), ValueError,
        r"num_patches_list: \[2\] adds up to 2 tiles, but pixel_values holds 1",
    ),
    "below the tiles": (
        lambda b: b.chat(pixels(2, 3, 112, 112), "<image>", num_patches_list=[1]), ValueError,
        "num_patches_list: .*1 tiles, but pixel_values holds 2",
    ),
    "empty": (
        lambda b: b.chat(pixels(), num_patches_list=[]), ValueError, r"num_patches_list: \[\] adds",
    ),
    "without pixels": (
        lambda b: b.chat(None, "<image>", num_patches_list=[2]),
        ValueError, "pixel_values: expected 2 tiles, got None",
    ),
    "fractions": (
        lambda b: b.chat(pixels(), num_patches_list=[1.0]),
        TypeError, "num_patches_list: expected an integer, got 1.0",
    ),
    "an int": (lambda b: b.chat(pixels(), num_patches_list=1), TypeError, COUNTS + ", got 1"),
    "an array of no dimensions": (
        lambda b: b.chat(pixels(), num_patches_list=np.array(1)), TypeError, COUNTS),
    "text": (lambda b: b.chat(pixels(), num_patches_list="1"), TypeError, COUNTS + ", got '1'"),
    "None in it": (
        lambda b: b.chat(pixels(), num_patches_list=[None]), TypeError, "num_patches_list: .*None",
    ),
    "str in it": (
        lambda b: b.chat(pixels(), num_patches_list=["1"]), TypeError, "num_patches_list: .*'1'",
    ),
    "a list of lists": (
        lambda b: b.chat(pixels(), num_patches_list=[[1]]), TypeError, r"got \[1\]",
    ),
    "negative": (
        lambda b: b.chat(pixels(2, 3, 112, 112), num_patches_list=[3, -1]),
        ValueError, "num_patches_list: expected no negative numbers, got",
    ),
    "more images than tags": (
        lambda b: b.chat(
            pixels(2, 3, 112, 112), "<image> and the other", num_patches_list=[1, 1]
        ), ValueError, "32 rows.*16 image tokens.*number of <image> tags",
    ),
    "with a history and no tag": (
        lambda b: b.chat(pixels(), "What?", history=[("a", "b")]),
        ValueError, "16 rows.*0 image tokens.*number of <image> tags",
    ),
}  # fmt: skip

HISTORIES: Table = {
    "text": (lambda b: b.chat(history="ab"), TypeError, PAIRS + ", got str"),
    "a tuple": (lambda b: b.chat(history=(("a", "b"),)), TypeError, PAIRS + ", got tuple"),
    "a dict": (lambda b: b.chat(history={"a": "b"}), TypeError, PAIRS + ", got dict"),
    "True, meant for return_history": (
        lambda b: b.chat(history=True), TypeError, PAIRS + ", got bool"),
    "numbers": (lambda b: b.chat(history=[1]), ValueError, PAIRS + ", got 1 in it"),
    "texts": (lambda b: b.chat(history=["a", "b"]), ValueError, PAIRS + ", got 'a' in it"),
    "pairs of numbers": (lambda b: b.chat(history=[(1, 2)]), ValueError, PAIRS + " of str"),
    "one part": (lambda b: b.chat(history=[("a",)]), ValueError, PAIRS + r", got \('a',\) in it"),
    "three parts": (lambda b: b.chat(history=[("a", "b", "c")]), ValueError, PAIRS),
    "messages": (
        lambda b: b.chat(history=[{"role": "user", "content": "a"}]),
        ValueError, PAIRS + ".*'role'",
    ),
    "a nested list": (lambda b: b.chat(history=[[("a", "b")]]), ValueError, PAIRS),
    "an iterator": (lambda b: b.chat(history=iter([("a", "b")])), TypeError, PAIRS + ".*iterator"),
    "a surrogate in it": (
        lambda b: b.chat(history=[("\udfff", "b")]), ValueError, "surrogate",
    ),
    "the result of return_history": (
        lambda b: b.chat(history=b.chat(return_history=True)), TypeError, PAIRS + ", got tuple",
    ),
}  # fmt: skip

CONFIGS: Table = {
    "None": (lambda b: b.chat(generation_config=None), TypeError, "generation_config: .*NoneType"),
    "text": (lambda b: b.chat(generation_config="x"), TypeError, "generation_config: .*got str"),
    "a GenerationConfig": (
        lambda b: b.chat(generation_config=GenerationConfig(max_new_tokens=2)), TypeError,
        "generation_config: expected a dict, got GenerationConfig",
    ),
    "an object": (
        lambda b: b.chat(generation_config=SimpleNamespace(max_new_tokens=2)), TypeError,
        "generation_config: expected a dict, got SimpleNamespace",
    ),
    "pairs": (
        lambda b: b.chat(generation_config=[("max_new_tokens", 2)]), TypeError,
        "generation_config: expected a dict, got list",
    ),
    "a number": (lambda b: b.chat(generation_config=32), TypeError, "generation_config: .*int"),
    "keys that are no names": (
        lambda b: b.chat(generation_config={1: 2}), TypeError, "generation_config: key: .*got int",
    ),
    "pixels in it": (
        lambda b: b.options(pixel_values=pixels()), TypeError,
        "generation_config: pixel_values is set by the call; leave it out",
    ),
    "ids in it": (
        lambda b: b.options(input_ids=b.input_ids), TypeError, "generation_config: input_ids is",
    ),
    "a config in it": (
        lambda b: b.options(generation_config={"top_k": 2}), TypeError, "generation_config",
    ),
    "use_cache": (
        lambda b: b.options(use_cache=True), TypeError, "generation_config: use_cache is always",
    ),
    "a result object": (
        lambda b: b.options(return_dict_in_generate=True), ValueError,
        "generation_config: .*return_output=True",
    ),
}  # fmt: skip

TOKENS: Table = {
    "an unknown context token": (
        lambda b: b.chat(pixels(), IMG_CONTEXT_TOKEN="nope"), ValueError,
        "IMG_CONTEXT_TOKEN: expected a token of the tokenizer, got 'nope'",
    ),
    "a context token that is None": (
        lambda b: b.chat(pixels(), IMG_CONTEXT_TOKEN=None), TypeError,
        "IMG_CONTEXT_TOKEN: expected a str, got NoneType",
    ),
    "the id of the context token": (
        lambda b: b.chat(pixels(), IMG_CONTEXT_TOKEN=5), TypeError,
        "IMG_CONTEXT_TOKEN: expected a str, got int",
    ),
    "a start token that is None": (
        lambda b: b.chat(pixels(), IMG_START_TOKEN=None), TypeError,
        "IMG_START_TOKEN: expected a str, got NoneType",
    ),
    "an end token that is a number": (
        lambda b: b.chat(pixels(), IMG_END_TOKEN=5), TypeError,
        "IMG_END_TOKEN: expected a str, got int",
    ),
}  # fmt: skip

CASES: Table = {
    f"{topic}: {name}": case
    for topic, table in {
        "order": ORDER,
        "tokenizer": TOKENIZERS,
        "pixels": PIXELS,
        "question": QUESTIONS,
        "counts": COUNTS_CASES,
        "history": HISTORIES,
        "config": CONFIGS,
        "tokens": TOKENS,
    }.items()
    for name, case in table.items()
}


@pytest.mark.parametrize("case", CASES)
def test_misuse(bench: Bench, case: str) -> None:
    bench.refuses(*CASES[case])


@pytest.mark.parametrize(
    "keywords",
    [
        {"num_patches_list": [2]},
        {"generation_config": {"foo": 1}},
        {"pixel_values": "a.jpg"},
        {"question": 5},
        {"tokenizer": None},
    ],
    ids=str,
)
def test_a_failing_call_leaves_the_history_alone(bench: Bench, keywords: dict[str, Any]) -> None:
    history = [("a", "b")]
    with pytest.raises((TypeError, ValueError)):
        bench.chat(**{"pixel_values": pixels(), "question": "<image>", **keywords}, history=history)
    assert history == [("a", "b")]


def test_what_is_odd_but_fine(bench: Bench) -> None:
    """As in the reference, or more."""
    tiles = np.random.default_rng(0).integers(-8, 8, (2, 3, 112, 112)) / 4  # exact in 8 bits
    expected = bench.chat(tiles.astype(np.float32), "What?", num_patches_list=[2])
    for form in (
        tiles.astype(np.float64),
        tiles.astype(np.float16),
        tiles.astype(">f4"),
        np.asfortranarray(tiles.astype(np.float32)),
        tiles.tolist(),
    ):
        assert bench.chat(form, Text("What?"), num_patches_list=[np.int32(2)]) == expected
    for counts in ((2,), np.array([2], np.uint8), iter([2])):
        assert bench.chat(tiles, "What?", num_patches_list=counts) == expected
    config = OrderedDict(max_new_tokens=2, foo=None)
    assert bench.chat(tiles, "What?", generation_config=config) == expected
    assert config == {"max_new_tokens": 2, "foo": None, "eos_token_id": config["eos_token_id"]}


def test_another_checkpoints_tokenizer(bench: Bench) -> None:
    """Its image token has another id, or none; the ids may lie beyond the vocabulary."""
    other = AutoTokenizer.from_pretrained(OTHER)
    assert bench.chat(pixels(), tokenizer=other) == bench.chat(pixels())


def test_an_image_tag_without_pixels_is_reported(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.chat(None, "<image>\nq")
    assert "question: its <image> stays text" in caplog.text
