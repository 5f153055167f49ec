"""Small random damage to JSON values, bytes and texts; `Random` decides, so a seed repeats it."""

from __future__ import annotations

import json
from random import Random
from typing import Any

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 7, 64, 2**15, 2**31 - 1, 2**31, 2**32, 2**63, 2**64,
    -(2**63), 10**400, 0.5, -0.5, 1e-9, 1e308, float("nan"), float("inf"), "", "abc", "1", "F32",
    "../x", "\0", "\ud800", "</s>", [], [0], [1, 2], [[]], [None], {}, {"a": 1}, {"content": "x"},
]  # fmt: skip
PIECES = [
    "<image>", "</s>", "<s>", "<unk>", "<|im_start|>", "<|im_end|>\n", "<IMG_CONTEXT>", "</img>",
    "<0x0A>", "\u2581", "\0", "\ud800", "\udfff", "\ufeff", "\u202e", "e\u0301", "\U0001f469\u200d",
    "\r\n", "  ", "\t", "ﬁ", "中文", "A" * 300, "{{", "{%", "<ref>", "0" * 40,
]  # fmt: skip


def mutate_value(value: Any, chance: Random) -> Any:
    """A copy with one value, somewhere, changed, dropped or renamed."""
    if isinstance(value, (dict, list)) and value and chance.random() < 0.9:
        copy = value.copy()
        key = chance.choice(list(copy) if isinstance(copy, dict) else range(len(copy)))
        action = chance.random()
        if action < 0.1:
            del copy[key]
        elif action < 0.2 and isinstance(copy, dict):
            copy[chance.choice([*copy, "new", ""])] = copy.pop(key)
        else:
            copy[key] = mutate_value(copy[key], chance)
        return copy
    return chance.choice(VALUES)


def mutate_bytes(data: bytes, chance: Random) -> bytes:
    """Some bytes overwritten, inserted, doubled or cut out."""
    copy = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        position = chance.randrange(len(copy) + 1)
        length = chance.choice([1, 1, 2, 4, 9, 64])
        action = chance.random()
        if action < 0.6:
            byte = chance.choice([0, 0x7F, 0xFF, chance.randrange(256), *b'{}[]",:0919'])
            copy[position : position + 1] = bytes([byte])
        elif action < 0.8:
            del copy[position : position + length]
        else:
            copy[position:position] = copy[position : position + length]
    return bytes(copy)


def mutate_json(data: bytes, chance: Random) -> bytes:
    """JSON that is mostly still JSON, with one to three values changed."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_bytes(data, chance)
    if chance.random() < 0.1:
        return mutate_bytes(data, chance)
    for _ in range(chance.choice([1, 1, 2, 3])):
        value = mutate_value(value, chance)
    return json.dumps(value).encode()


def mutate_text(data: bytes, chance: Random) -> bytes:
    """UTF-8, lone surrogates included, with pieces that tokenizers care about put in."""
    text = data.decode("utf-8", "surrogatepass")
    for _ in range(chance.randint(1, 3)):
        position = chance.randrange(len(text) + 1)
        piece = chance.choice([*PIECES, chr(chance.randrange(0x110000))])
        text = text[:position] + piece + text[position + chance.choice([0, 0, 1, 5]) :]
    return text[-4000:].encode("utf-8", "surrogatepass")
