"""Writing weights as safetensors: one file, or shards and an index, named as in transformers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from internvl_native.checkpoint.safetensors import WEIGHT_DTYPES
from internvl_native.checkpoint.tensor import CheckpointTensor, read_as
from internvl_native.dtypes import ELEMENT_SIZE

_STORED_DTYPES = {name: stored for stored, name in WEIGHT_DTYPES.items()}
_SIZE = re.compile(r"(\d+)\s*([KMGT]?)(I?)B", re.IGNORECASE)
_WEIGHT_FILE = r"model(-\d{{5}}-of-\d{{5}})?{0}\.safetensors|model\.safetensors\.index{0}\.json"


def write_weights(
    folder: Path,
    tensors: Mapping[str, CheckpointTensor],
    dtype: str,
    *,
    max_shard_size: int | str = "5GB",
    variant: str | None = None,
) -> list[Path]:
    """Writes `tensors`, converted to `dtype`, into an existing folder; returns the files.

    A shard holds at most `max_shard_size` bytes (an int, "5GB" or "4GiB"), or one tensor. Tensors
    are read one at a time. The files take their names when all are written, and then those of an
    earlier checkpoint go: a model may be saved into the folder that it is mapped from.
    """
    infix = f".{variant}" if variant else ""
    shards = _shards(tensors, dtype, parse_size(max_shard_size))
    of_count = f"of-{len(shards):05}"
    names = [f"model-{number:05}-{of_count}{infix}" for number in range(1, len(shards) + 1)]
    if len(shards) == 1:
        names = [f"model{infix}"]
    files = [folder / f"{name}.safetensors" for name in names]
    if len(shards) > 1:
        files.append(folder / f"model.safetensors.index{infix}.json")
    temporary = [file.with_name(f".{file.name}.{os.getpid()}.tmp") for file in files]
    try:
        for path, shard in zip(temporary, shards):
            with path.open("wb") as stream:
                _write_shard(stream, shard, dtype)
        if len(shards) > 1:
            index = _index(shards, files, dtype)
            temporary[-1].write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        for path, final in zip(temporary, files):
            path.replace(final)
    finally:
        for path in temporary:
            path.unlink(missing_ok=True)
    pattern = re.compile(_WEIGHT_FILE.format(re.escape(infix)))
    for file in folder.iterdir():
        if file not in files and pattern.fullmatch(file.name):
            file.unlink()
    return files


def parse_size(size: int | str) -> int:
    """Bytes from 5_000_000_000, "5GB" (decimal) or "5GiB". ValueError for anything else."""
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return size
    match = _SIZE.fullmatch(size.strip()) if isinstance(size, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError(f"max_shard_size: expected bytes or a size like '5GB', got {size!r}")
    base = 1024 if match[3] else 1000
    return int(match[1]) * int(base ** " KMGT".index(match[2].upper() or " "))


def _bytes(tensor: CheckpointTensor, dtype: str) -> int:
    return int(np.prod(tensor.shape, dtype=np.int64)) * ELEMENT_SIZE[dtype]


def _shards(
    tensors: Mapping[str, CheckpointTensor], dtype: str, limit: int
) -> list[dict[str, CheckpointTensor]]:
    shards: list[dict[str, CheckpointTensor]] = [{}]
    room = limit
    for name, tensor in tensors.items():
        size = _bytes(tensor, dtype)
        if shards[-1] and size > room:
            shards.append({})
            room = limit
        shards[-1][name] = tensor
        room -= size
    return shards


def _write_shard(file: BinaryIO, shard: Mapping[str, CheckpointTensor], dtype: str) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}  # transformers asks for it
    end = 0
    for name, tensor in shard.items():
        begin, end = end, end + _bytes(tensor, dtype)
        header[name] = {
            "dtype": _STORED_DTYPES[dtype],
            "shape": tensor.shape,
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for tensor in shard.values():
        file.write(np.ascontiguousarray(read_as(tensor, dtype)).data)


def _index(
    shards: list[dict[str, CheckpointTensor]], files: list[Path], dtype: str
) -> dict[str, object]:
    total = sum(_bytes(tensor, dtype) for shard in shards for tensor in shard.values())
    weight_map = {name: file.name for file, shard in zip(files, shards) for name in shard}
    return {"metadata": {"total_size": total}, "weight_map": weight_map}
