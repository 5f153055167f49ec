"""A checkpoint's files: safetensors, and the JSON around them."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from tests.checkpoint.synthetic import chat_config, chat_shapes, values_of, write_safetensors
from tests.fuzz.mutation import mutate_bytes, mutate_json
from tests.fuzz.target import Target

from internvl_native import AutoConfig, AutoModel, GenerationConfig
from internvl_native.checkpoint import open_checkpoint, weight_map
from internvl_native.checkpoint.safetensors import read_safetensors

INDEX = "model.safetensors.index.json"
# One pass over a model costs memory by its config, as it should: larger ones are only read.
LARGEST = 4096


def write_jsons(data: bytes, folder: Path, names: list[str]) -> None:
    """One JSON object {file name: content}; anything else becomes the content of the first."""
    try:
        contents = json.loads(data)
    except (ValueError, RecursionError):
        (folder / names[0]).write_bytes(data)
        return
    for name in names:
        content = contents.get(name) if isinstance(contents, dict) else contents
        (folder / name).write_text(json.dumps(content))


def safetensors_seeds() -> list[bytes]:
    header = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "BF16", "shape": [], "data_offsets": [24, 26]},
        "empty": {"dtype": "I64", "shape": [0, 7], "data_offsets": [26, 26]},
    }
    return [pack(json.dumps(header).encode(), bytes(26)), pack(b"{}", b"")]


def pack(header: bytes, data: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def mutate_safetensors(data: bytes, chance: Random) -> bytes:
    """Mostly the header's values, with its length kept right."""
    if chance.random() < 0.3:
        return mutate_bytes(data, chance)
    end = 8 + int.from_bytes(data[:8], "little")
    return pack(mutate_json(data[8:end], chance), data[end:])


def run_safetensors(data: bytes, folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(data)
    for tensor in read_safetensors(path).values():
        assert 0 <= tensor.offset <= len(data)


def checkpoint_seeds() -> list[bytes]:
    names = sorted(chat_shapes())
    index = {name: f"{int(name > names[20])}.safetensors" for name in names}
    files = {
        "config.json": chat_config(),
        INDEX: {"metadata": {"total_size": 1}, "weight_map": index},
        "generation_config.json": {"eos_token_id": [2, 3], "pad_token_id": 2},
    }
    return [json.dumps(files).encode()]


def run_checkpoint(data: bytes, folder: Path) -> None:
    if not (folder / "0.safetensors").exists():
        tensors = values_of(chat_shapes())
        names = sorted(tensors)
        for shard, part in (("0", names[:21]), ("1", names[21:])):
            write_safetensors(folder / f"{shard}.safetensors", {n: tensors[n] for n in part})
    write_jsons(data, folder, ["config.json", INDEX, "generation_config.json"])
    GenerationConfig.from_pretrained(folder)
    config = AutoConfig.from_pretrained(folder)
    repr(config)
    weight_map(config, open_checkpoint(folder))
    if max(sizes(config.to_dict()), default=0) > LARGEST:
        return
    model = AutoModel.from_pretrained(folder)
    model.generate(input_ids=[[1, 2, 3]], max_new_tokens=2)


def sizes(value: Any) -> list[int]:
    """All integers in a config."""
    if isinstance(value, dict):
        return [size for item in value.values() for size in sizes(item)]
    return [value] if isinstance(value, int) else []


TARGETS = [
    Target("safetensors", safetensors_seeds, mutate_safetensors, run_safetensors),
    Target("checkpoint_json", checkpoint_seeds, mutate_json, run_checkpoint),
]
