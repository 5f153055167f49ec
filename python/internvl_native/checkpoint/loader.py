"""The weight files of a checkpoint folder: one file, or shards listed by an index."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import NamedTuple

from internvl_native._core import CheckpointError
from internvl_native.checkpoint.safetensors import WEIGHT_DTYPES, StoredTensor, read_safetensors
from internvl_native.checkpoint.tensor import CheckpointTensor
from internvl_native.checkpoint.wrapped import unwrap
from internvl_native.dtypes import ELEMENT_SIZE
from internvl_native.json_file import read_json_object

_CONVERT = """\
import json, pathlib, sys, torch
from safetensors.torch import save_file
folder = pathlib.Path(sys.argv[1]); files = sorted(folder.glob("pytorch_model*.bin")); index = {}
for number, file in enumerate(files, 1):
    state = torch.load(file, map_location="cpu", weights_only=True)
    name = f"model-{number:05}-of-{len(files):05}.safetensors"
    save_file({key: value.clone().contiguous() for key, value in state.items()}, folder / name)
    index.update(dict.fromkeys(state, name))
(folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
"""


class Checkpoint(NamedTuple):
    """All tensors of a checkpoint folder; their files are mapped."""

    path: Path
    tensors: Mapping[str, CheckpointTensor]
    """Under the names of a model without LoRA; LoRA layers inside are merged when read."""
    dtype: str
    """That of the first tensor of weights, as `torch_dtype="auto"` takes it where the config says
    nothing: "float32", "bfloat16" or "float16"."""
    lora_ranks: Mapping[str, int]
    """Of the parts that had LoRA layers inside: {"language_model": 16}."""

    def nbytes(self, dtype: str) -> int:
        """Bytes of all tensors in `dtype`."""
        return ELEMENT_SIZE[dtype] * sum(prod(tensor.shape) for tensor in self.tensors.values())


def open_checkpoint(path: str | os.PathLike[str], *, variant: str | None = None) -> Checkpoint:
    """Maps the safetensors files of the folder `path`.

    As in transformers, `model.safetensors` comes before `model.safetensors.index.json`, and
    `variant="fp16"` asks for `model.fp16.safetensors`. Raises CheckpointError for files that are
    missing, damaged or not what the index says, and for LoRA layers inside that are not whole.
    """
    folder = Path(path)
    stored = _read_folder(folder, variant)
    dtypes = (WEIGHT_DTYPES.get(tensor.dtype) for tensor in stored.values())
    tensors, ranks = unwrap(folder, stored)
    return Checkpoint(folder, tensors, next(filter(None, dtypes), "float32"), ranks)


def _read_folder(folder: Path, variant: str | None) -> dict[str, StoredTensor]:
    infix = f".{variant}" if variant else ""
    single = folder / f"model{infix}.safetensors"
    if single.exists():
        return read_safetensors(single)
    index = folder / f"model.safetensors.index{infix}.json"
    if index.exists():
        return _read_shards(index)
    if any(folder.glob("pytorch_model*.bin")):
        raise CheckpointError(
            f"{folder}: expected safetensors, got pytorch_model*.bin, which are pickles. Convert "
            "them once, where torch and safetensors are installed, with\n"
            f"python - {shlex.quote(str(folder))} <<'EOF'\n{_CONVERT}EOF"
        )
    others = sorted(path.relative_to(folder) for path in folder.glob("**/*.safetensors"))
    got = f"got neither, but {', '.join(map(str, others[:4]))}" if others else "got neither"
    raise CheckpointError(f"{folder}: expected {single.name} or {index.name}, {got}")


def _read_shards(index: Path) -> dict[str, StoredTensor]:
    shard_of = _read_index(index)
    tensors: dict[str, StoredTensor] = {}
    for shard in sorted(set(shard_of.values())):
        shard_path = index.parent / shard
        if not shard_path.exists():
            missing = next(name for name, file in shard_of.items() if file == shard)
            raise CheckpointError(
                f"{index}: expected the shard {shard!r} (of tensor {missing!r}), which is missing"
            )
        for name, tensor in read_safetensors(shard_path).items():
            if shard_of.get(name) != shard:
                expected = repr(shard_of[name]) if name in shard_of else "no file"
                raise CheckpointError(
                    f"{shard_path}: tensor {name!r}: expected in {expected} by {index.name}, "
                    "got it here"
                )
            tensors[name] = tensor
    lacking = [name for name in shard_of if name not in tensors]
    if lacking:
        raise CheckpointError(
            f"{index.parent / shard_of[lacking[0]]}: expected tensor {lacking[0]!r} by "
            f"{index.name}, got a file without it ({len(lacking)} missing in all)"
        )
    return tensors


def _read_index(index: Path) -> dict[str, str]:
    shard_of = read_json_object(index).get("weight_map")
    if not isinstance(shard_of, dict) or not shard_of:
        raise CheckpointError(f"{index}: expected an object 'weight_map', got {shard_of!r:.100}")
    for name, shard in shard_of.items():
        is_name = isinstance(shard, str) and shard == os.path.basename(shard)
        if not is_name or not shard.isprintable():
            raise CheckpointError(
                f"{index}: tensor {name!r}: expected the name of a file in this folder, "
                f"got {shard!r:.200}"
            )
        if not shard.endswith(".safetensors"):
            raise CheckpointError(
                f"{index}: tensor {name!r}: expected a .safetensors file, got {shard!r:.200}"
            )
    return shard_of
