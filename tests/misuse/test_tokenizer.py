"""Tokenizers and processors: texts, ids, options, messages, other people's tokenizers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.misuse.bench import CHECKPOINT, Bench, Table, pixels

from internvl_native import AutoProcessor, AutoTokenizer

TEXTS = "text: expected str, a list of str, or a list of lists of str; got"


class NotATokenizer:
    """Has the names and no sense."""

    unk_token_id = 0
    padding_side = "left"

    def __call__(self, texts: list[str], **options: Any) -> Any:
        return {"input_ids": "abc", "attention_mask": "abc"}

    def convert_tokens_to_ids(self, token: str) -> int:
        return 5

    def batch_decode(self, sequences: Any, **options: Any) -> list[str]:
        return ["x"]


class OthersIds(NotATokenizer):
    """A tokenizer of a larger vocabulary."""

    def __call__(self, texts: list[str], **options: Any) -> Any:
        return {"input_ids": [[99999]], "attention_mask": [[1]]}


class WithoutDecode:
    def __call__(self, texts: list[str], **options: Any) -> Any:
        return {"input_ids": [[5]], "attention_mask": [[1]]}

    def convert_tokens_to_ids(self, token: str) -> int:
        return 5


def template(bench: Bench, messages: Any, **options: Any) -> Any:
    return bench.tokenizer.apply_chat_template(messages, **options)


ENCODING: Table = {
    "nothing": (lambda b: b.tokenizer(), ValueError, "text: expected a str or .*got None"),
    "a number": (lambda b: b.tokenizer(5), ValueError, TEXTS + " int"),
    "bytes": (lambda b: b.tokenizer(b"x"), ValueError, TEXTS + " bytes"),
    "a dict": (lambda b: b.tokenizer({"text": "x"}), ValueError, TEXTS + " dict"),
    "an array": (lambda b: b.tokenizer(np.array(["x"])), ValueError, TEXTS + " ndarray"),
    "None in a list": (lambda b: b.tokenizer(["a", None]), ValueError, "text: .*got None"),
    "numbers in a list": (lambda b: b.tokenizer([1.5]), ValueError, TEXTS),
    "a surrogate": (lambda b: b.tokenizer("a\ud800"), ValueError, "surrogate .* character 1"),
    "pixels": (lambda b: b.tokenizer(pixels()), ValueError, TEXTS + " ndarray"),
    "a pair of another length": (
        lambda b: b.tokenizer(["a"], ["b", "c"]), ValueError, "text_pair: expected 1 .*got 2",
    ),
    "padding unknown": (
        lambda b: b.tokenizer("a", padding="most"), ValueError, "padding: .*longest.*'most'",
    ),
    "padding on no side": (
        lambda b: b.tokenizer(["a", "b c"], padding=True, padding_side="up"), ValueError,
        "padding_side: .*'up'",
    ),
    "padding_side set to nonsense": (
        lambda b: padded(b, "middle"), ValueError, "padding_side: .*'middle'",
    ),
    "max_length negative": (
        lambda b: b.tokenizer("a", max_length=-1), ValueError, "max_length: .*got -1",
    ),
    "max_length as text": (
        lambda b: b.tokenizer("a", max_length="8", truncation=True), TypeError,
        "max_length: expected an integer, got '8'",
    ),
    "max_length a fraction": (
        lambda b: b.tokenizer("a b c", max_length=2.5, truncation=True), TypeError,
        "max_length: expected an integer, got 2.5",
    ),
    "truncation unknown": (
        lambda b: b.tokenizer("a", truncation="most"), ValueError, "truncation: .*'most'",
    ),
    "tensors of TensorFlow": (
        lambda b: b.tokenizer("a", return_tensors="tf"), ValueError, "return_tensors: .*tf",
    ),
    "offsets": (
        lambda b: b.tokenizer("a", return_offsets_mapping=True), NotImplementedError,
        "return_offsets_mapping",
    ),
    "encoding nothing": (lambda b: b.tokenizer.encode(None), ValueError, "text: .*got None"),
    "padding what is no encoding": (
        lambda b: b.tokenizer.pad(5), ValueError, "encoded_inputs: .*got int",
    ),
    "padding a list of numbers": (
        lambda b: b.tokenizer.pad([1, 2]), ValueError, "encoded_inputs: .*got 1",
    ),
}  # fmt: skip


def padded(bench: Bench, side: str) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    tokenizer.padding_side = side
    return tokenizer(["a", "b c"], padding=True)


DECODING: Table = {
    "None": (lambda b: b.tokenizer.decode(None), TypeError, "token_ids: .*got None"),
    "text": (lambda b: b.tokenizer.decode("abc"), TypeError, "token_ids: .*got 'abc'"),
    "fractions": (lambda b: b.tokenizer.decode([1.5]), TypeError, "token_ids: .*got 1.5"),
    "a batch": (lambda b: b.tokenizer.decode([[1, 2]]), TypeError, r"token_ids: .*got \[1, 2\]"),
    "negative": (lambda b: b.tokenizer.decode([-1]), IndexError, "token id: .*got -1"),
    "beyond the vocabulary": (
        lambda b: b.tokenizer.decode([99999]), IndexError, "token id: .*got 99999",
    ),
    "beyond 64 bits": (lambda b: b.tokenizer.decode([2**70]), IndexError, "token id: .*got 118"),
    "tokens of a number": (
        lambda b: b.tokenizer.convert_tokens_to_ids(5), TypeError, "tokens: .*got 5|int",
    ),
    "ids of text": (
        lambda b: b.tokenizer.convert_ids_to_tokens("a"), TypeError, "ids: .*got 'a'",
    ),
    "adding a number": (
        lambda b: b.tokenizer.add_tokens([5]), TypeError, "token: expected str or .*got int",
    ),
    "special tokens as text": (
        lambda b: setattr(b.tokenizer, "additional_special_tokens", "<a>"), ValueError,
        "additional_special_tokens: expected a list",
    ),
    "a special token of a number": (
        lambda b: setattr(b.tokenizer, "pad_token", 5), ValueError, "pad_token: .*got int",
    ),
    "a template of text": (
        lambda b: template(b, "hello"), TypeError, "conversation: .*messages, got str",
    ),
    "a template of None": (
        lambda b: template(b, None), TypeError,
        "conversation: expected a list of messages, got NoneType",
    ),
    "a template of one message": (
        lambda b: template(b, {"role": "user", "content": "x"}), TypeError,
        "conversation: .*messages, got dict",
    ),
    "a message without content": (
        lambda b: template(b, [{"role": "user"}]), ValueError, r"messages: .*\{'role': 'user'\}",
    ),
    "a template that is no text": (
        lambda b: template(b, [{"role": "user", "content": "x"}], chat_template=5), TypeError,
        "chat_template: expected a str, got int",
    ),
    "saving into a file": (
        lambda b: b.tokenizer.save_pretrained(CHECKPOINT / "config.json"), ValueError,
        "save_directory: expected a folder, got the file",
    ),
    "saving nowhere": (
        lambda b: b.tokenizer.save_pretrained(None), TypeError,  # type: ignore[arg-type]
        "save_directory: .*NoneType",
    ),
}  # fmt: skip

OTHERS: Table = {
    "no ids": (
        lambda b: b.chat(tokenizer=NotATokenizer()), ValueError,
        "input_ids: expected integers, got str",
    ),
    "ids beyond the vocabulary": (
        lambda b: b.chat(tokenizer=OthersIds()), IndexError, "input_ids: .*another checkpoint's",
    ),
    "no batch_decode": (
        lambda b: b.chat(tokenizer=WithoutDecode()), TypeError,
        "tokenizer: expected what AutoTokenizer.from_pretrained returns, got WithoutDecode",
    ),
    "no padding_side": (
        lambda b: b.batch(None, ["a", "b"], [0, 0], tokenizer=WithoutDecode()), TypeError,
        "tokenizer: .*WithoutDecode",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ENCODING)
def test_encoding(bench: Bench, case: str) -> None:
    bench.refuses(*ENCODING[case])


@pytest.mark.parametrize("case", DECODING)
def test_decoding(bench: Bench, case: str) -> None:
    bench.refuses(*DECODING[case])


@pytest.mark.parametrize("case", OTHERS)
def test_other_tokenizers(bench: Bench, case: str) -> None:
    bench.refuses(*OTHERS[case])


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("processor")
    for path in CHECKPOINT.glob("*token*"):
        shutil.copy(path, folder)
    values = {"image_processor_type": "CLIPImageProcessor", "size": 112, "crop_size": 112}
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    return AutoProcessor.from_pretrained(folder)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: p(), ValueError, "text, images: expected at least one of them, got neither"),
        (lambda p: p(5), ValueError, TEXTS + " int"),
        (lambda p: p(images="a.jpg"), TypeError, "images: .*got str"),
        (lambda p: p("x", "a.jpg"), TypeError, "images: .*got str"),
        (lambda p: p(Image.new("RGB", (4, 4)), "x"), ValueError, TEXTS + " Image"),
        (lambda p: p("x", return_tensors="tf"), ValueError, "return_tensors: .*tf"),
        (lambda p: p.decoder, AttributeError, "'Processor' object has no attribute 'decoder'"),
        (lambda p: p("x").pixels, AttributeError, "pixels"),
        (lambda p: p("x")["pixel_values"], KeyError, "pixel_values"),
    ],
)
def test_processors(processor: Any, call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as raised:
        call(processor)
    assert raised.type is error


def test_a_processor_in_place_of_a_tokenizer(bench: Bench, processor: Any) -> None:
    """It has the tokenizer's attributes, and a call of the same form."""
    assert bench.chat(tokenizer=processor) == bench.chat()


def test_a_folder_with_half_a_vocabulary(tmp_path: Path) -> None:
    for path in CHECKPOINT.glob("*token*"):
        shutil.copy(path, tmp_path)
    vocabulary = tmp_path / "tokenizer.model"
    content = vocabulary.read_bytes()
    vocabulary.unlink()
    vocabulary.write_bytes(content[: len(content) // 2])
    with pytest.raises(OSError, match=r"tokenizer.model: sentencepiece .* refuses the model"):
        AutoTokenizer.from_pretrained(tmp_path)
