"""tokenizer.json: encoding, decoding, padding and odd calls.

Kept inputs: the texts, the id lists of `decode` and the texts and sides of `padding`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

from tests.reference.torch_reference import TorchReference
from tests.support.goldens import read_json

ATTRIBUTES = [
    "vocab_size",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "unk_token_id",
    "bos_token",
    "eos_token",
    "pad_token",
    "unk_token",
    "padding_side",
    "truncation_side",
    "model_max_length",
    "all_special_tokens",
    "all_special_ids",
    "additional_special_tokens",
    "add_bos_token",
    "add_eos_token",
    "is_fast",
    "model_input_names",
]

LONGEST_WITH_TOKENS = 1000  # characters; the pieces of longer texts are not written down

MISC: dict[str, Callable[[Any], Any]] = {
    "decode id V+9": lambda t: t.decode([len(t)]),
    "decode -1": lambda t: t.decode([-1]),
    "lone surrogate": lambda t: t("\ud800").input_ids,
    "tokenize None": lambda t: t(None),
    "tokenize int": lambda t: t(5),
    "unknown token to id": lambda t: t.convert_tokens_to_ids("<nosuch>"),
    "none to id": lambda t: t.convert_tokens_to_ids(None),
    "list to ids": lambda t: t.convert_tokens_to_ids(["<IMG_CONTEXT>", "▁", "<s>", "zzzz"]),
    "internvl2_5 sep to id": lambda t: t.convert_tokens_to_ids("<|im_end|>\n"),
    "pair": lambda t: t("a", "b").input_ids,
    "empty list": lambda t: t([], return_tensors="pt", padding=True),
    "decode single int": lambda t: t.decode(300),
}


def _result(call: Callable[[Any], Any], tokenizer: Any) -> dict[str, Any]:
    try:
        return {"value": call(tokenizer)}
    except Exception as error:  # the error is the result
        return {"error": {"type": type(error).__name__, "message": str(error)}}


def _encode(tokenizer: Any, entry: dict[str, Any]) -> dict[str, Any]:
    ids = tokenizer(entry["text"]).input_ids
    long = len(entry["text"]) > LONGEST_WITH_TOKENS
    return {
        **entry,
        **({} if long else {"tokens": tokenizer.tokenize(entry["text"])}),
        "ids": ids,
        "ids_no_special": tokenizer(entry["text"], add_special_tokens=False).input_ids,
        "decode": tokenizer.decode(ids),
        "decode_skip": tokenizer.decode(ids, skip_special_tokens=True),
    }


def _decode(tokenizer: Any, ids: list[int]) -> dict[str, Any]:
    return {
        "ids": ids,
        "decode": tokenizer.decode(ids),
        "decode_skip": tokenizer.decode(ids, skip_special_tokens=True),
        "decode_clean": tokenizer.decode(ids, clean_up_tokenization_spaces=True),
        "decode_nospace": tokenizer.decode(ids, spaces_between_special_tokens=False),
        "tokens": tokenizer.convert_ids_to_tokens(ids),
        "tokens_skip": tokenizer.convert_ids_to_tokens(ids, skip_special_tokens=True),
    }


def _pad(tokenizer: Any, texts: list[str], side: str) -> dict[str, Any]:
    tokenizer.padding_side = side
    longest = tokenizer(texts, return_tensors="pt", padding=True)
    fixed = tokenizer(
        texts, return_tensors="pt", padding="max_length", max_length=24, truncation=True
    )
    return {
        "texts": texts,
        "side": side,
        "input_ids": longest.input_ids.tolist(),
        "attention_mask": longest.attention_mask.tolist(),
        "max_length_24": {key: fixed[key].tolist() for key in ("input_ids", "attention_mask")},
        "batch_decode": tokenizer.batch_decode(longest.input_ids),
        "batch_decode_skip": tokenizer.batch_decode(longest.input_ids, skip_special_tokens=True),
        "keys": list(longest.keys()),
    }


def regenerate(impl: TorchReference, data: Path) -> dict[str, Any]:
    tokenizers = {}
    for name, stored in read_json(data / "tokenizer.json")["tokenizers"].items():
        tokenizer = impl.load_tokenizer(data / name)
        attributes = {key: getattr(tokenizer, key) for key in ATTRIBUTES}
        attributes["len"] = len(tokenizer)
        attributes["added_vocab"] = tokenizer.get_added_vocab()
        attributes["get_vocab_len"] = len(tokenizer.get_vocab())
        tokenizers[name] = {
            "attributes": {key: attributes[key] for key in stored["attributes"]},
            "encode": [_encode(tokenizer, entry) for entry in stored["encode"]],
            "decode": [_decode(tokenizer, entry["ids"]) for entry in stored["decode"]],
            "misc": [
                {"case": entry["case"], **_result(MISC[entry["case"]], tokenizer)}
                for entry in stored["misc"]
            ],
            "padding": [
                _pad(tokenizer, entry["texts"], entry["side"]) for entry in stored["padding"]
            ],
        }
    return {"tokenizer.json": {"tokenizers": tokenizers}}
