"""Tokenizers: their files, and the texts that they get."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.checkpoint_targets import write_jsons
from tests.fuzz.mutation import PIECES, mutate_bytes, mutate_json, mutate_text
from tests.fuzz.target import Target
from tests.support.goldens import DATA

from internvl_native import AutoTokenizer
from internvl_native.conversation import conv_templates, get_conv_template

CHECKPOINT = DATA / "ckpt_ntk"
MODEL = "tokenizer.model"
FILES = ["tokenizer_config.json", "added_tokens.json", "special_tokens_map.json"]
TEXT = "".join(PIECES).replace("\ud800", "").replace("\udfff", "")
_loaded: list[Any] = []


def use(tokenizer: Any, text: str) -> None:
    """Text to ids and back, alone and in a conversation."""
    ids = tokenizer(text)["input_ids"]
    tokenizer.decode(ids)
    tokenizer.decode(ids, skip_special_tokens=True)
    tokenizer.convert_ids_to_tokens(ids)
    assert len(tokenizer.tokenize(text)) <= len(ids)
    tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False)
    batch = tokenizer([text, "x"], padding=True, truncation=True, max_length=16)
    assert len({len(row) for row in batch["input_ids"]}) == 1
    repr(tokenizer)


def model_seeds() -> list[bytes]:
    """The golden vocabulary, and one of its first pieces and its settings."""
    whole = (CHECKPOINT / MODEL).read_bytes()
    messages = top_level(whole)
    pieces = [m for m in messages if m[0] == 0x0A]
    rest = [m for m in messages if m[0] != 0x0A]
    return [whole, b"".join(pieces[:300] + rest)]


def top_level(serialized: bytes) -> list[bytes]:
    """The length-delimited fields of a protobuf message, up to the first byte that is none."""
    messages = []
    position = 0
    while position < len(serialized):
        length = shift = 0
        end = position + 1
        while end < len(serialized):
            length |= (serialized[end] & 0x7F) << shift
            shift += 7
            end += 1
            if serialized[end - 1] < 0x80:
                break
        messages.append(serialized[position : end + length])
        position = end + length
    return messages


def mutate_model(data: bytes, chance: Random) -> bytes:
    """Pieces and settings dropped, doubled and moved, or bytes changed."""
    messages = top_level(data)
    if not messages or chance.random() < 0.5:
        return mutate_bytes(data, chance)
    index = chance.randrange(len(messages))
    if chance.random() < 0.5:
        index = len(messages) - 1 - index % 3  # the settings come last
    message = messages[index]
    action = chance.random()
    if action < 0.2:
        del messages[index]
    elif action < 0.4:
        messages.insert(chance.randrange(len(messages)), message)
    else:
        body = mutate_bytes(message[2:], chance)[:127]
        messages[index] = bytes([message[0], len(body)]) + body
    return b"".join(messages)


def run_model(data: bytes, folder: Path) -> None:
    for name in FILES:
        (folder / name).write_bytes((CHECKPOINT / name).read_bytes())
    (folder / MODEL).write_bytes(data)
    use(AutoTokenizer.from_pretrained(folder), "Hello <image> wörld 中文\n")


def files_seeds() -> list[bytes]:
    files = {name: json.loads((CHECKPOINT / name).read_text()) for name in FILES}
    without_decoder = {**files, FILES[0]: dict(files[FILES[0]])}
    without_decoder[FILES[0]].pop("added_tokens_decoder", None)
    return [json.dumps(seed).encode() for seed in (files, without_decoder)]


def run_files(data: bytes, folder: Path) -> None:
    if not (folder / MODEL).exists():
        (folder / MODEL).write_bytes((CHECKPOINT / MODEL).read_bytes())
    write_jsons(data, folder, FILES)
    use(AutoTokenizer.from_pretrained(folder), "Hello <image> wörld</s><|im_end|>")


def text_seeds() -> list[bytes]:
    return [b"Hello world", TEXT.encode(), "Describe <image>\nplease, 中文 too.".encode()]


def run_text(data: bytes, folder: Path) -> None:
    if not _loaded:
        _loaded.append(AutoTokenizer.from_pretrained(CHECKPOINT))
    text = data.decode("utf-8", "surrogatepass")
    use(_loaded[0], text)
    for name in conv_templates:
        conversation = get_conv_template(name)
        conversation.append_message(conversation.roles[0], text)
        conversation.append_message(conversation.roles[1], None)
        assert text in conversation.get_prompt()


TARGETS = [
    Target("tokenizer_model", model_seeds, mutate_model, run_model),
    Target("tokenizer_json", files_seeds, mutate_json, run_files),
    Target("text", text_seeds, mutate_text, run_text),
]
