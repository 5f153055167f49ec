"""Seeded mutations of every file of a checkpoint: whatever they say, loading gives weights or one
of the two errors for it, at once."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from tests.checkpoint.synthetic import chat_config, chat_shapes, values_of, write_safetensors

from internvl_native.checkpoint import CheckpointError, open_checkpoint, weight_map
from internvl_native.configuration import AutoConfig

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, -(2**63), 10**400, 0.5, 1e308, float("nan"),
    float("inf"), "", "abc", "F32", "../x", "\0", "\ud800", [], [0], [1, 2], [[]], {}, {"a": 1},
]  # fmt: skip


def mutate_json(value: Any, chance: random.Random) -> Any:
    """A copy with one value, somewhere, changed, dropped, doubled or renamed."""
    if isinstance(value, (dict, list)) and value and chance.random() < 0.9:
        copy = value.copy()
        key = chance.choice(list(copy) if isinstance(copy, dict) else range(len(copy)))
        action = chance.random()
        if action < 0.1:
            del copy[key]
        elif action < 0.2 and isinstance(copy, dict):
            copy[chance.choice([*copy, "new", ""])] = copy.pop(key)
        else:
            copy[key] = mutate_json(copy[key], chance)
        return copy
    return chance.choice(VALUES)


def mutate_bytes(content: bytes, chance: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        position = chance.randrange(len(data))
        action = chance.random()
        if action < 0.6:
            data[position] = chance.choice([0, 0xFF, chance.randrange(256), *b'{}[]",:0919'])
        elif action < 0.8:
            del data[position : position + chance.randint(1, 9)]
        else:
            data[position:position] = data[position : position + chance.randint(1, 9)]
    return bytes(data)


def load(folder: Path) -> None:
    try:
        weight_map(AutoConfig.from_pretrained(folder), open_checkpoint(folder))
    except UnicodeError:  # a ValueError, but never a message for users
        raise
    except (CheckpointError, ValueError):
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tensors = values_of(chat_shapes())
    names = sorted(tensors)
    shards = {"1.safetensors": names[:20], "2.safetensors": names[20:]}
    for shard, parts in shards.items():
        write_safetensors(tmp_path / shard, {name: tensors[name] for name in parts})
    index = {name: shard for shard, parts in shards.items() for name in parts}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    (tmp_path / "config.json").write_text(json.dumps(chat_config()))
    weight_map(AutoConfig.from_pretrained(tmp_path), open_checkpoint(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
def test_mutated_json(folder: Path, name: str) -> None:
    chance = random.Random(name)
    original = json.loads((folder / name).read_text())
    for _ in range(1500):
        (folder / name).write_text(json.dumps(mutate_json(original, chance)))
        load(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json", "1.safetensors"])
def test_mutated_bytes(folder: Path, name: str) -> None:
    chance = random.Random(name)
    original = (folder / name).read_bytes()
    for _ in range(700):
        (folder / name).write_bytes(mutate_bytes(original, chance))
        load(folder)


def test_mutated_headers(folder: Path) -> None:
    chance = random.Random(1)
    path = folder / "1.safetensors"
    content = path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    original = json.loads(content[8:begin])
    for _ in range(1500):
        header = json.dumps(mutate_json(original, chance)).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header + content[begin:])
        load(folder)
