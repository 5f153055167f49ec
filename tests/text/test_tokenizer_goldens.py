"""Every record of tokenizer.json: what the reference's tokenizer returned."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from internvl_native.tokenization import AutoTokenizer, PreTrainedTokenizer

DATA = Path(__file__).parents[1] / "data"
GOLDENS: dict[str, Any] = json.loads((DATA / "tokenizer.json").read_text())["tokenizers"]


@pytest.fixture(params=sorted(GOLDENS))
def checkpoint(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def golden(checkpoint: str) -> dict[str, Any]:
    value: dict[str, Any] = GOLDENS[checkpoint]
    return value


@pytest.fixture
def tokenizer(checkpoint: str) -> PreTrainedTokenizer:
    return AutoTokenizer.from_pretrained(str(DATA / checkpoint), trust_remote_code=True)


def test_attributes(tokenizer: PreTrainedTokenizer, golden: dict[str, Any]) -> None:
    computed = {
        "len": len(tokenizer),
        "get_vocab_len": len(tokenizer.get_vocab()),
        "added_vocab": tokenizer.get_added_vocab(),
    }
    for name, expected in golden["attributes"].items():
        value = computed[name] if name in computed else getattr(tokenizer, name)
        assert value == expected, name


def test_encode(tokenizer: PreTrainedTokenizer, golden: dict[str, Any]) -> None:
    for record in golden["encode"]:
        text = record["text"]
        ids = tokenizer(text).input_ids
        if "ids_sentencepiece_0_1_99" in record:  # NUL: depends on the release
            assert ids in (record["ids"], record["ids_sentencepiece_0_1_99"]), text
        else:
            assert ids == record["ids"], text
            assert tokenizer.encode(text, add_special_tokens=False) == record["ids_no_special"]
            assert tokenizer.tokenize(text) == record.get("tokens", tokenizer.tokenize(text))
        assert tokenizer.decode(record["ids"]) == record["decode"], text
        skipped = tokenizer.decode(record["ids"], skip_special_tokens=True)
        assert skipped == record["decode_skip"], text


def test_decode(tokenizer: PreTrainedTokenizer, golden: dict[str, Any]) -> None:
    for record in golden["decode"]:
        ids = record["ids"]
        assert tokenizer.decode(ids) == record["decode"], ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == record["decode_skip"], ids
        clean = tokenizer.decode(ids, clean_up_tokenization_spaces=True)
        assert clean == record["decode_clean"], ids
        close = tokenizer.decode(ids, spaces_between_special_tokens=False)
        assert close == record["decode_nospace"], ids
        assert tokenizer.convert_ids_to_tokens(ids) == record["tokens"], ids
        kept = tokenizer.convert_ids_to_tokens(ids, skip_special_tokens=True)
        assert kept == record["tokens_skip"], ids


def test_padding(tokenizer: PreTrainedTokenizer, golden: dict[str, Any]) -> None:
    for record in golden["padding"]:
        tokenizer.padding_side = record["side"]
        batch = tokenizer(record["texts"], padding=True)
        assert list(batch) == record["keys"]
        assert batch.input_ids == record["input_ids"]
        assert batch.attention_mask == record["attention_mask"]
        fixed = tokenizer(record["texts"], padding="max_length", max_length=24, truncation=True)
        assert dict(fixed) == record["max_length_24"]
        assert tokenizer.batch_decode(record["input_ids"]) == record["batch_decode"]
        skipped = tokenizer.batch_decode(record["input_ids"], skip_special_tokens=True)
        assert skipped == record["batch_decode_skip"]


def test_misc(tokenizer: PreTrainedTokenizer, golden: dict[str, Any]) -> None:
    calls: dict[str, Callable[[], Any]] = {
        "decode id V+9": lambda: tokenizer.decode([tokenizer.vocab_size + 9]),
        "decode -1": lambda: tokenizer.decode([-1]),
        "lone surrogate": lambda: tokenizer("\ud800"),
        "tokenize None": lambda: tokenizer(None),
        "tokenize int": lambda: tokenizer(5),
        "unknown token to id": lambda: tokenizer.convert_tokens_to_ids("no such token"),
        "none to id": lambda: tokenizer.convert_tokens_to_ids(None),
        "list to ids": lambda: tokenizer.convert_tokens_to_ids(
            ["<IMG_CONTEXT>", tokenizer.convert_ids_to_tokens(1979), "<s>", "no such token"]
        ),
        "internvl2_5 sep to id": lambda: tokenizer.convert_tokens_to_ids("<|im_end|>\n"),
        "pair": lambda: tokenizer("a", "b")["input_ids"],
        "empty list": lambda: tokenizer([]),
        "decode single int": lambda: tokenizer.decode(300),
    }
    assert calls.keys() == {record["case"] for record in golden["misc"]}
    for record in golden["misc"]:
        call = calls[record["case"]]
        if "error" in record:
            expected = IndexError if record["error"]["type"] == "IndexError" else ValueError
            with pytest.raises(expected):
                call()
        else:
            assert call() == record["value"], record["case"]


def test_padding_side_set_by_batch_chat_stays() -> None:
    cases = json.loads((DATA / "side_effects.json").read_text())["cases"]
    case = next(c for c in cases if c["case"].startswith("padding_side stays left"))
    tokenizer = AutoTokenizer.from_pretrained(DATA / "ckpt_rmsnorm")
    tokenizer.padding_side = "left"
    texts = [tokenizer.decode([i for i in row if i > 2]) for row in case["ids"]]
    assert tokenizer(texts, padding=True)["input_ids"] == case["ids"]
