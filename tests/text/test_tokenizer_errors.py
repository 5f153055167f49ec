"""Misuse raises ValueError, damaged files raise CheckpointError, both with what was wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import pytest

from internvl_native._core import CheckpointError
from internvl_native.tokenization import AutoTokenizer, InternLM2Tokenizer, PreTrainedTokenizer

Call = Callable[[PreTrainedTokenizer], Any]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t(), "text: expected a str or a list of str, got None"),
        (lambda t: t(5), "text: expected str.*got int"),
        (lambda t: t("a", 5), "text_pair: expected str.*got int"),
        (lambda t: t(["a"], ["b", "c"]), "text_pair: expected 1 texts as in text, got 2"),
        (lambda t: t("a", padding="most"), "padding: expected a bool or one of longest.*'most'"),
        (lambda t: t("a", truncation="most"), "truncation: expected a bool or one of only_first"),
        (lambda t: t("a", padding=True, padding_side="up"), "padding_side: expected 'left' or"),
        (lambda t: t("a", max_length=-1), "max_length: expected 0 or more, got -1"),
        (lambda t: t("a", return_tensors="tf"), "return_tensors: expected 'pt', 'np' or None"),
        (lambda t: t("a", return_overflowing_tokens=True), "expected max_length with it"),
        (lambda t: t("a\ud800"), "lone surrogate '\\\\ud800' at character 1"),
        (lambda t: t.encode_plus([]), "expected a str, or a non-empty list"),
        (lambda t: t.batch_encode_plus([["a", "b", "c"]]), "a pair in each batch entry"),
        (
            lambda t: t("a", padding=True, truncation=True, max_length=5, pad_to_multiple_of=4),
            "max_length: expected a multiple of pad_to_multiple_of=4",
        ),
        (lambda t: t.pad([{"ids": [1]}]), "input_ids"),
        (lambda t: t.pad(5), "encoded_inputs: expected an encoding, got int"),
        (lambda t: setattr(t, "additional_special_tokens", "<a>"), "expected a list"),
        (lambda t: t.save_pretrained("x", push_to_hub=True), "push_to_hub"),
    ],
)
def test_misuse(tokenizer: PreTrainedTokenizer, call: Call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(tokenizer)


def test_other_error_types(tokenizer: PreTrainedTokenizer) -> None:
    with pytest.raises(IndexError, match=r"token id: expected 0 to 2192 .* got 99999"):
        tokenizer.decode([99999])
    with pytest.raises(TypeError, match="text_pair: expected a list"):
        tokenizer(["a"], "b")
    with pytest.raises(TypeError, match="token: expected str or AddedToken, got int"):
        tokenizer.add_tokens([5])
    with pytest.raises(NotImplementedError, match="return_offsets_mapping"):
        tokenizer("a", return_offsets_mapping=True)
    with pytest.warns(UserWarning, match="keyword 'colour' is not known"):
        tokenizer("a", colour="red")


def test_no_pad_token(tokenizer: PreTrainedTokenizer) -> None:
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="no pad token"):
        tokenizer(["a", "b c"], padding=True)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("tokenizer.model", None, "tokenizer.model: cannot read"),
        ("tokenizer.model", b"", r"tokenizer.model: .* the file is empty"),
        (
            "tokenizer.model",
            b"not a protobuf" * 9,
            r"tokenizer.model: sentencepiece .* refuses the model",
        ),
        ("tokenizer_config.json", None, "tokenizer_config.json: cannot read"),
        ("tokenizer_config.json", b"{", "tokenizer_config.json: expected valid JSON"),
        ("tokenizer_config.json", b"[]", "tokenizer_config.json: expected a JSON object"),
        ("tokenizer_config.json", b"\xff", "tokenizer_config.json: cannot read"),
    ],
)
def test_damaged_files(folder: Path, file: str, content: bytes | None, message: str) -> None:
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        AutoTokenizer.from_pretrained(folder)


def test_model_with_a_piece_that_is_no_text(folder: Path) -> None:
    path = folder / "tokenizer.model"
    path.write_bytes(path.read_bytes().replace("这".encode(), b"\xff\xff\xff"))
    with pytest.raises(CheckpointError, match=r"tokenizer.model: .*utf-8"):
        AutoTokenizer.from_pretrained(folder)


def test_truncated_model(folder: Path) -> None:
    path = folder / "tokenizer.model"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(
        CheckpointError, match=r"tokenizer.model: sentencepiece .* refuses the model"
    ):
        AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"added_tokens_decoder": {"x": {"content": "a"}}}, "damaged token lists"),
        ({"added_tokens_decoder": {"-4": {"content": "a"}}}, "damaged token lists: .*-4"),
        ({"added_tokens_decoder": {"5": {}}}, "damaged token lists"),
        ({"added_tokens_decoder": []}, "damaged token lists"),
        ({"bos_token": 5}, "bos_token: token: expected str"),
        ({"additional_special_tokens": 5}, "additional_special_tokens"),
        ({"padding_side": "up"}, "padding_side: expected left or right, got 'up'"),
        ({"model_max_length": "long"}, "model_max_length: expected a positive number, got 'long'"),
    ],
)
def test_damaged_config(folder: Path, change: dict[str, Any], message: str) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CheckpointError, match=f"tokenizer_config.json: {message}"):
        AutoTokenizer.from_pretrained(folder)


def test_unknown_class(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    config = {**json.loads(path.read_text()), "tokenizer_class": "Qwen2Tokenizer"}
    path.write_text(json.dumps(config))
    with pytest.raises(
        ValueError, match=r"expected one of InternLM2Tokenizer, LlamaTokenizer.*Qwen2"
    ):
        AutoTokenizer.from_pretrained(folder)
    del config["tokenizer_class"]
    path.write_text(json.dumps(config))
    assert isinstance(AutoTokenizer.from_pretrained(folder), InternLM2Tokenizer)  # by auto_map
    del config["auto_map"]
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="got None"):
        AutoTokenizer.from_pretrained(folder)


def test_no_such_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        AutoTokenizer.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"tokenizer_config.json"):
        AutoTokenizer.from_pretrained(tmp_path)


def test_wrong_side_in_a_keyword(folder: Path) -> None:
    with pytest.raises(ValueError, match="truncation_side: expected 'left' or 'right', got 'up'"):
        AutoTokenizer.from_pretrained(folder, truncation_side="up")
