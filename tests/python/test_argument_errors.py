"""What objects of the wrong kind meet, and that whoever waits for a streamer is told."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import internvl_native
from internvl_native import AutoModel, AutoTokenizer, TextIteratorStreamer

CHECKPOINT = Path(__file__).resolve().parents[1] / "data" / "ckpt_rmsnorm"

MODEL = AutoModel.from_pretrained(CHECKPOINT)
TOKENIZER = AutoTokenizer.from_pretrained(CHECKPOINT)
SIDE = MODEL.config.vision_config.image_size
TILES = np.zeros((3, 3, SIDE, SIDE), np.float32)


def chat(pixel_values: Any = None, question: Any = "q", config: Any = (), **keywords: Any) -> Any:
    config = {"max_new_tokens": 1} if config == () else config
    tokenizer = keywords.pop("tokenizer", TOKENIZER)
    return MODEL.chat(tokenizer, pixel_values, question, config, **keywords)


def batch_chat(questions: Any, num_patches_list: Any, pixel_values: Any = TILES) -> Any:
    return MODEL.batch_chat(
        TOKENIZER, pixel_values, questions, {"max_new_tokens": 1}, num_patches_list
    )


def chat_after(name: str, value: Any) -> None:
    model = AutoModel.from_pretrained(CHECKPOINT)
    setattr(model, name, value)
    model.chat(TOKENIZER, None, "q", {"max_new_tokens": 1})


def with_value(value: float) -> np.ndarray:
    tiles = TILES.copy()
    tiles[1, 2, 3, 4] = value
    return tiles


PAIRS = r"history: expected a list of \(question, answer\) pairs"

MISUSE: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "tokenizer None": (lambda: chat(tokenizer=None), TypeError, "tokenizer: .*got NoneType"),
    "tokenizer a path": (lambda: chat(tokenizer="x"), TypeError, "tokenizer: expected .*got str"),
    "tokenizer a model": (lambda: chat(tokenizer=MODEL), TypeError, "tokenizer: .*InternVLChat"),
    "pixels a dict": (lambda: chat({}), ValueError, "got dict"),
    "pixels a number": (lambda: chat(1.5), ValueError, r"4 dimensions .*got shape \(\)"),
    "pixels ragged": (lambda: chat([TILES, TILES[:1]]), ValueError, "tiles of one shape"),
    "pixels NaN": (lambda: chat(with_value(np.nan)), ValueError, "finite .* in tile 1"),
    "pixels infinite": (lambda: chat(with_value(-np.inf)), ValueError, "finite .* in tile 1"),
    "pixels too large": (
        lambda: chat(np.full(TILES.shape, 1e300)),
        ValueError,
        "finite .* in tile 0",
    ),
    "question None": (
        lambda: chat(TILES, None),
        TypeError,
        "question: expected a str, got NoneType",
    ),
    "list of lists": (lambda: chat(TILES, num_patches_list=[[3]]), TypeError, r"got \[3\]"),
    "history of numbers": (lambda: chat(history=[(1, 2)]), ValueError, PAIRS + " of str"),
    "config None": (lambda: chat(config=None), TypeError, "generation_config: .*got NoneType"),
    "config key": (lambda: chat(config={1: 2}), TypeError, "generation_config: key: .*got int"),
    "batch of None": (lambda: batch_chat(None, [3]), TypeError, "questions: .*got NoneType"),
    "batch list": (lambda: batch_chat(["a"], None), TypeError, "num_patches_list: .*got None"),
    "batch list of odd lists": (
        lambda: batch_chat(["a"], [["3"]]),
        TypeError,
        r"list\[0\].*got .3",
    ),
    "system message": (
        lambda: chat_after("system_message", None),
        TypeError,
        "system_message: expected a str, got NoneType",
    ),
    "template": (lambda: chat_after("template", "zzz"), ValueError, "template: .*got 'zzz'"),
    "device": (lambda: MODEL.to("nonsense"), TypeError, "to: expected a device.*'nonsense'"),
    "integer dtype": (lambda: MODEL.to("int8"), TypeError, "to: .*'int8'"),
    "pickle": (lambda: pickle.dumps(MODEL), TypeError, "cannot be copied or pickled"),
    "deepcopy": (lambda: copy.deepcopy(MODEL), TypeError, "cannot be copied or pickled"),
    "model of None": (
        lambda: AutoModel.from_pretrained(None),  # type: ignore[arg-type]
        TypeError,
        "pretrained_model_name_or_path: .*got NoneType",
    ),
    "model class": (AutoModel, OSError, "AutoModel.from_pretrained"),
    "tokenizer class": (AutoTokenizer, OSError, "AutoTokenizer.from_pretrained"),
    "decode text": (lambda: TOKENIZER.decode("abc"), TypeError, "token_ids: .*got 'abc'"),
    "decode a float": (lambda: TOKENIZER.decode([1.5]), TypeError, "token_ids: .*got 1.5"),
    "threads a str": (
        lambda: internvl_native.set_num_threads("4"),  # type: ignore[arg-type]
        TypeError,
        "num_threads: expected an integer, got '4'",
    ),
    "threads too many": (
        lambda: internvl_native.set_num_threads(10**30),
        ValueError,
        "num_threads: expected an integer from 1 to",
    ),
}


@pytest.mark.parametrize("case", MISUSE)
def test_misuse_is_named(case: str) -> None:
    call, error, message = MISUSE[case]
    with pytest.raises(error, match=message):
        call()


def test_image_tag_without_pixels_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    chat(None, "<image>\nq")
    assert "question: its <image> stays text" in caplog.text


@pytest.mark.parametrize(
    "arguments",
    [
        {"question": 5},
        {"history": "x"},
        {"num_patches_list": [1]},
        {"tokenizer": None},
    ],
    ids=str,
)
def test_streamer_ends_after_every_error(arguments: dict[str, Any]) -> None:
    streamer = TextIteratorStreamer(TOKENIZER, timeout=5)
    with pytest.raises((TypeError, ValueError)):
        chat(**{"pixel_values": TILES, "config": {"streamer": streamer}, **arguments})
    assert list(streamer) == [""]


def test_generate_ends_its_streamer() -> None:
    streamer = TextIteratorStreamer(TOKENIZER, timeout=5)
    chat(None)  # sets img_context_token_id
    with pytest.raises(ValueError, match="input_ids: expected 2 dimensions"):
        MODEL.generate(input_ids=[1, 2], streamer=streamer)
    assert list(streamer) == [""]


def test_repr_tells_what_the_model_is() -> None:
    text = repr(MODEL)
    for part in (str(CHECKPOINT), "float32", "cpu/", "internlm2-chat", "num_hidden_layers="):
        assert part in text
