"""What callers reach on a tokenizer beyond the golden calls."""

from __future__ import annotations

import copy
import importlib.util
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from internvl_native.conversation import get_conv_template
from internvl_native.tokenization import (
    AddedToken,
    AutoTokenizer,
    BatchEncoding,
    InternLM2Tokenizer,
    PreTrainedTokenizer,
)

DATA = Path(__file__).parents[1] / "data"
HAS_TORCH = importlib.util.find_spec("torch") is not None


def test_loading_keywords() -> None:
    tokenizer = AutoTokenizer.from_pretrained(
        pretrained_model_name_or_path=str(DATA / "ckpt_ntk"),
        trust_remote_code=True,
        use_fast=False,
        revision="main",
        device_map={"": "cpu"},
        torch_dtype="auto",
        add_eos_token=True,
        padding_side="left",
        model_max_length=5,
    )
    assert isinstance(tokenizer, InternLM2Tokenizer)
    assert tokenizer("a").input_ids[-1] == tokenizer.eos_token_id
    assert tokenizer(["a", "a b c d e f"], padding=True, truncation=True).input_ids == [
        [2, 2, 1, 1983, 2],
        tokenizer("a b c d e f", truncation=True).input_ids,
    ]
    assert tokenizer.name_or_path == str(DATA / "ckpt_ntk")


def test_special_token_kept_in_the_text(tokenizer: PreTrainedTokenizer) -> None:
    # What the Streamlit model worker does so that answers keep their boxes.
    text = "<ref>a dog</ref><box>[[1, 2]]</box>"
    ids = tokenizer(text).input_ids
    assert "<box>" not in tokenizer.decode(ids, skip_special_tokens=True)
    keep = ("<box>", "</box>", "<ref>", "</ref>")
    tokenizer.additional_special_tokens = [
        token for token in tokenizer.additional_special_tokens if token not in keep
    ]
    expected = "<ref> a dog </ref> <box> [[1, 2]] </box>"
    assert tokenizer.decode(ids, skip_special_tokens=True) == expected
    assert tokenizer(text).input_ids == ids
    assert "<box>" not in tokenizer.all_special_tokens


def test_special_token_attributes(tokenizer: PreTrainedTokenizer) -> None:
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token) == (
        "<s>",
        "</s>",
        "<unk>",
    )
    assert tokenizer.sep_token is tokenizer.cls_token is tokenizer.mask_token is None
    assert tokenizer.mask_token_id is None
    tokenizer.pad_token = "<unk>"
    assert tokenizer.pad_token_id == 0
    tokenizer.pad_token_id = 1
    assert tokenizer.pad_token == "<s>"
    tokenizer.sep_token = AddedToken("<quad>", special=True)
    assert tokenizer.special_tokens_map["sep_token"] == "<quad>"
    tokenizer.additional_special_tokens_ids = [2193]
    assert tokenizer.additional_special_tokens == ["<img>"]
    with pytest.raises(ValueError, match="bos_token: expected str, AddedToken or None, got int"):
        tokenizer.bos_token = 5


def test_adding_tokens(tokenizer: PreTrainedTokenizer) -> None:
    count = len(tokenizer)
    assert tokenizer.add_tokens(["<new>", "<img>", "<new>"]) == 1
    assert tokenizer.convert_tokens_to_ids("<new>") == count == len(tokenizer) - 1
    assert tokenizer.tokenize("a<new>b") == ["a", "<new>", "b"]
    assert tokenizer.decode([count], skip_special_tokens=True) == "<new>"
    assert tokenizer.add_special_tokens({"pad_token": "<pad>"}) == 1
    assert tokenizer.pad_token_id == count + 1
    extra = {"additional_special_tokens": ["<extra>"]}
    assert tokenizer.add_special_tokens(extra, replace_additional_special_tokens=False) == 1
    assert tokenizer.additional_special_tokens[-1] == "<extra>"
    assert len(tokenizer.get_vocab()) == len(tokenizer)
    with pytest.raises(ValueError, match=r"expected keys among bos_token.*got 'nose_token'"):
        tokenizer.add_special_tokens({"nose_token": "x"})


def test_new_tokens_take_over_ids_behind_a_gap(folder: Path) -> None:
    """As in the reference, whose new ids begin at the number of tokens, wherever these lie."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    tokens = {i: token for i, token in config["added_tokens_decoder"].items() if int(i) < 2193}
    tokens["2194"] = {"content": "<first>", "special": True}
    tokens["2195"] = {"content": "<second>", "special": True}
    config.update(added_tokens_decoder=tokens, additional_special_tokens=[], eos_token="<end>")
    path.write_text(json.dumps(config))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) == 2195
    assert tokenizer.convert_ids_to_tokens([2194, 2195]) == ["<first>", "<end>"]
    assert tokenizer.tokenize("<first><end>") == ["<first>", "<end>"]
    assert "<second>" not in tokenizer.tokenize("a<second>b")


def test_ids_of_every_kind(tokenizer: PreTrainedTokenizer) -> None:
    ids = tokenizer("Hello world").input_ids
    text = tokenizer.decode(ids)
    assert tokenizer.decode(tuple(ids)) == tokenizer.decode(np.array(ids)) == text
    assert tokenizer.decode([np.int64(i) for i in ids]) == text
    assert tokenizer.batch_decode(np.array([ids, ids])) == [text, text]
    assert tokenizer.convert_ids_to_tokens(np.int64(1)) == "<s>"
    assert tokenizer.convert_tokens_to_string(tokenizer.tokenize("Hello  x")) == "Hello  x"


def test_inputs_of_every_kind(tokenizer: PreTrainedTokenizer) -> None:
    words = tokenizer(["Hello", "world"], is_split_into_words=True).input_ids
    assert words == [
        1,
        *tokenizer.encode("Hello", None, False),
        *tokenizer.encode("world", None, False),
    ]
    assert tokenizer.encode_plus([5, 6], add_special_tokens=False).input_ids == [5, 6]
    assert tokenizer.encode_plus(["<img>", "a"]).input_ids == [1, 2193, 1983]
    pairs = tokenizer(["a", "b"], ["c", "d"]).input_ids
    assert pairs == [tokenizer("a", "c").input_ids, tokenizer("b", "d").input_ids]
    assert tokenizer(text_target="a").input_ids == tokenizer("a", text_target="a").labels
    assert tokenizer.batch_encode_plus(["a"]).input_ids == [[1, 1983]]
    assert tokenizer.prepare_for_model([5], [6]).input_ids == [1, 5, 6]


def test_outputs_of_every_kind(tokenizer: PreTrainedTokenizer) -> None:
    encoded = tokenizer(
        ["a", "a b"],
        padding="longest",
        pad_to_multiple_of=4,
        padding_side="left",
        return_tensors="np",
        return_length=True,
        return_token_type_ids=True,
    )
    assert list(encoded) == ["input_ids", "token_type_ids", "length", "attention_mask"]
    assert encoded["input_ids"].dtype == np.int64
    assert encoded.attention_mask.tolist() == [[0, 0, 1, 1], [0, 1, 1, 1]]
    assert encoded.length.tolist() == [2, 3]
    assert tokenizer.padding_side == "right"
    assert tokenizer("a", return_tensors="np").input_ids.shape == (1, 2)
    assert "attention_mask" not in tokenizer("a", return_attention_mask=False)
    mask = tokenizer.get_special_tokens_mask([1, 5, 2192], already_has_special_tokens=True)
    assert mask == [1, 0, 1]
    assert tokenizer.num_special_tokens_to_add() == 1
    assert tokenizer.max_len_single_sentence == tokenizer.model_max_length - 1


def test_truncation(tokenizer: PreTrainedTokenizer) -> None:
    ids = tokenizer("one two three four").input_ids
    cut = tokenizer("one two three four", max_length=4, return_overflowing_tokens=True, stride=1)
    assert cut.input_ids == ids[:4]
    assert cut.overflowing_tokens == ids[3:]
    assert cut.num_truncated_tokens == len(ids) - 4
    tokenizer.truncation_side = "left"
    assert tokenizer("one two three four", max_length=4).input_ids == [1, *ids[-3:]]
    first, second, none = tokenizer.truncate_sequences([1, 2, 3, 4], [5, 6], 3)
    assert (first, second, none) == ([3, 4], [6], [])
    with pytest.warns(UserWarning, match="left whole"):
        assert tokenizer("one", max_length=1, truncation="only_first").input_ids[0] == 1


def test_pad(tokenizer: PreTrainedTokenizer) -> None:
    rows = [tokenizer("a"), tokenizer("a b")]
    padded = tokenizer.pad(rows, return_tensors="np")
    assert padded["input_ids"].tolist() == [[1, 1983, 2], rows[1].input_ids]
    assert tokenizer.pad({"input_ids": [np.array([5]), np.array([6, 7])]}).input_ids.shape == (2, 2)
    fixed = tokenizer.pad({"input_ids": [5]}, padding="max_length", max_length=3)
    assert dict(fixed) == {"input_ids": [5, 2, 2], "attention_mask": [1, 0, 0]}


def test_batch_encoding() -> None:
    encoded = BatchEncoding({"input_ids": [[1, 2]]}, "np")
    assert str(encoded.keys()) == "dict_keys(['input_ids'])"
    assert {**encoded}["input_ids"] is encoded.input_ids
    assert encoded.to("cpu") is encoded
    assert encoded[:1]["input_ids"].shape == (1, 2)
    assert pickle.loads(pickle.dumps(encoded)).input_ids.tolist() == [[1, 2]]
    assert not hasattr(encoded, "labels")
    with pytest.raises(KeyError, match="expected an output's name"):
        encoded[0]


def test_chat_template(tokenizer: PreTrainedTokenizer) -> None:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    text = "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n"
    assert tokenizer.apply_chat_template(messages, tokenize=False) == text
    prompt = text + "<|im_start|>assistant\n"
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
    assert ids == tokenizer.encode(prompt, add_special_tokens=False)
    conversation = get_conv_template("internlm2-chat")
    conversation.messages = messages  # type: ignore[assignment]
    assert tokenizer.apply_chat_template(conversation, tokenize=False) == text
    # As published checkpoints write it: bos in front, line breaks escaped.
    template = str(tokenizer.default_chat_template)
    tokenizer.chat_template = "{{ bos_token }}" + template.replace("\n", "\\n")
    assert tokenizer.apply_chat_template(messages, tokenize=False) == "<s>" + text
    as_dict = tokenizer.apply_chat_template(messages, return_dict=True, return_tensors="np")
    assert as_dict.input_ids.shape == as_dict.attention_mask.shape
    with pytest.raises(ValueError, match="expected 'role' and 'content'"):
        tokenizer.apply_chat_template([{"role": "user"}])


def test_other_chat_templates_need_jinja2(
    tokenizer: PreTrainedTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    messages = [{"role": "user", "content": "q"}]
    if importlib.util.find_spec("jinja2"):
        text = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False)
        assert text == "q"
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.setitem(sys.modules, "jinja2.exceptions", None)
    with pytest.raises(ImportError, match="jinja2"):
        tokenizer.apply_chat_template(messages, chat_template=template)


def test_save_and_load(tokenizer: PreTrainedTokenizer, tmp_path: Path) -> None:
    tokenizer.add_tokens(["<new>"])
    tokenizer.pad_token = "<unk>"
    tokenizer.add_eos_token = True
    written = tokenizer.save_pretrained(tmp_path / "saved")
    assert all(Path(path).is_file() for path in written)
    loaded = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert loaded.special_tokens_map == tokenizer.special_tokens_map
    assert loaded("a<new>").input_ids == tokenizer("a<new>").input_ids
    assert loaded.model_max_length == 8192
    prefixed = tokenizer.save_vocabulary(tmp_path, "x")
    assert prefixed == (str(tmp_path / "x-tokenizer.model"),)


def test_copies_are_independent(tokenizer: PreTrainedTokenizer) -> None:
    for copied in (copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):
        copied.add_tokens(["<new>"])
        assert copied("x<img>").input_ids == tokenizer("x<img>").input_ids
        assert len(copied) == len(tokenizer) + 1


def test_older_file_layouts(folder: Path, tokenizer: PreTrainedTokenizer) -> None:
    import json

    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    del config["added_tokens_decoder"], config["additional_special_tokens"]
    path.write_text(json.dumps(config))
    loaded = AutoTokenizer.from_pretrained(folder)
    assert loaded.all_special_tokens == tokenizer.all_special_tokens
    assert loaded.get_vocab() == tokenizer.get_vocab()
    text = "<|im_start|>user\n<img></img>x</s>"
    assert loaded(text).input_ids == tokenizer(text).input_ids
    assert loaded.decode(loaded(text).input_ids) == tokenizer.decode(tokenizer(text).input_ids)


def test_nothing_is_printed_and_torch_stays_out() -> None:
    code = (
        "import sys\n"
        "from internvl_native.tokenization import AutoTokenizer\n"
        f"t = AutoTokenizer.from_pretrained({str(DATA / 'ckpt_ntk')!r})\n"
        "t('x' * 20000, return_tensors='np')\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == result.stderr == ""


@pytest.mark.skipif(not HAS_TORCH, reason="needs torch")
def test_torch_tensors(tokenizer: PreTrainedTokenizer) -> None:
    torch: Any = importlib.import_module("torch")
    encoded = tokenizer(["a", "a b"], return_tensors="pt", padding=True).to("cpu")
    assert encoded.input_ids.dtype == torch.int64
    assert tokenizer.batch_decode(encoded.input_ids, skip_special_tokens=True) == ["a", "a b"]
    with pytest.raises(ValueError, match="rows of equal length"):
        tokenizer(["a", "a b"], return_tensors="pt")


def test_torch_missing(tokenizer: PreTrainedTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="use return_tensors='np'"):
        tokenizer("a", return_tensors="pt")


def test_what_libraries_read_and_set(tokenizer: Any) -> None:
    assert tokenizer.init_kwargs["tokenizer_class"] == "InternLM2Tokenizer"
    assert tokenizer.sp_model_kwargs == {}
    tokenizer.deprecation_warnings["Asking-to-pad-a-fast-tokenizer"] = True
