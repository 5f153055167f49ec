"""LlamaTokenizer against transformers 4.37.2: tests/reference/llama_tokenizer.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from internvl_native.tokenization import AutoTokenizer, LlamaTokenizer

DATA = Path(__file__).parents[1] / "data"
DUMMY_PREFIX = b"\x1a\x02\x18\x01"  # ModelProto.normalizer_spec { add_dummy_prefix: true }
GOLDENS = json.loads((DATA / "llama_tokenizer.json").read_text())


@pytest.fixture
def llama(folder: Path) -> Path:
    model = folder / "tokenizer.model"
    model.write_bytes(model.read_bytes() + DUMMY_PREFIX)
    path = folder / "tokenizer_config.json"
    config = {**json.loads(path.read_text()), "tokenizer_class": "LlamaTokenizerFast"}
    path.write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("golden", GOLDENS, ids=["legacy", "not_legacy"])
def test_goldens(llama: Path, golden: dict[str, Any]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(llama, legacy=golden["legacy"], add_eos_token=True)
    assert isinstance(tokenizer, LlamaTokenizer)
    for record in golden["texts"]:
        text, ids = record["text"], record["ids"]
        assert tokenizer.tokenize(text) == record["tokens"], text
        assert tokenizer(text).input_ids == ids, text
        assert tokenizer.decode(ids) == record["decode"], text
        assert tokenizer.decode(ids, skip_special_tokens=True) == record["decode_skip"], text
    pair = tokenizer("a", "b c", return_token_type_ids=True, return_special_tokens_mask=True)
    assert dict(pair) == golden["pair"]


def test_legacy_is_the_default_and_is_saved(llama: Path, tmp_path: Path) -> None:
    assert AutoTokenizer.from_pretrained(llama).tokenize("<img>a") == ["<img>", "▁a"]
    tokenizer = AutoTokenizer.from_pretrained(llama, legacy=False)
    assert tokenizer.tokenize("<img>a") == ["<img>", "a"]
    tokenizer.save_pretrained(tmp_path / "saved")
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").tokenize("<img>a") == ["<img>", "a"]


def test_no_default_chat_template(llama: Path) -> None:
    with pytest.raises(ValueError, match="chat_template: the checkpoint has none"):
        AutoTokenizer.from_pretrained(llama).apply_chat_template([])


@pytest.mark.parametrize("role", ["bos", "eos"])
def test_a_token_that_is_none_cannot_be_added(llama: Path, role: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(llama, add_eos_token=True)
    setattr(tokenizer, f"{role}_token", None)
    with pytest.raises(ValueError, match=f"add_{role}_token: expected False .*, got True"):
        tokenizer("a")
    setattr(tokenizer, f"add_{role}_token", False)
    assert None not in tokenizer("a").input_ids
