"""PEFT adapter folders: adapter_config.json and adapter_model.safetensors."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from internvl_native._core import CheckpointError
from internvl_native.checkpoint.loader import Checkpoint
from internvl_native.checkpoint.lora import is_lora_tensor, low_rank_updates, merge_updates
from internvl_native.checkpoint.lora_config import ADAPTER_CONFIG, LoraConfig, read_lora_config
from internvl_native.checkpoint.problems import raise_problems
from internvl_native.checkpoint.resolve import resolve_checkpoint
from internvl_native.checkpoint.safetensors import read_safetensors
from internvl_native.checkpoint.tensor import CheckpointTensor

_FILES = (ADAPTER_CONFIG, "adapter_model.*")
_WEIGHTS = "adapter_model.safetensors"
_PEFT_PREFIX = "base_model.model."
_PARTS = ("", "language_model.", "vision_model.")
"""What adapters are trained on: the chat model, or a part of it by itself."""

_CONVERT = """\
import sys, torch
from safetensors.torch import save_file
state = torch.load(sys.argv[1] + "/adapter_model.bin", map_location="cpu", weights_only=True)
state = {key: value.clone().contiguous() for key, value in state.items()}
save_file(state, sys.argv[1] + "/adapter_model.safetensors")
"""


class Adapter(NamedTuple):
    """A LoRA adapter in its folder; the file is mapped."""

    path: Path
    config: LoraConfig
    tensors: Mapping[str, CheckpointTensor]
    """Under the names of the modules that it was trained on."""


def is_adapter(folder: str | os.PathLike[str]) -> bool:
    """Whether there is a PEFT adapter in the folder."""
    return (Path(folder) / ADAPTER_CONFIG).is_file()


def find_adapter(
    name_or_path: str | os.PathLike[str], *, subfolder: str = "", **location: Any
) -> Adapter:
    """The adapter in a folder or of a hub name; `location` as for `resolve_checkpoint`."""
    folder = resolve_checkpoint(name_or_path, files=_FILES, **location)
    return read_adapter(folder / subfolder)


def read_adapter(folder: str | os.PathLike[str]) -> Adapter:
    """The adapter in `folder`.

    Raises CheckpointError for files that are missing or damaged, ValueError for options in
    adapter_config.json that cannot be honoured.
    """
    path = Path(folder)
    config = read_lora_config(path)
    weights = path / _WEIGHTS
    if not weights.exists() and (path / "adapter_model.bin").exists():
        raise CheckpointError(
            f"{path}: expected {_WEIGHTS}, got adapter_model.bin, which is a pickle. Convert it "
            "once, where torch and safetensors are installed, with\n"
            f"python - {shlex.quote(str(path))} <<'EOF'\n{_CONVERT}EOF"
        )
    tensors = {
        name[len(_PEFT_PREFIX) :] if name.startswith(_PEFT_PREFIX) else name: tensor
        for name, tensor in read_safetensors(weights).items()
    }
    return Adapter(path, config, tensors)


def merge_adapter(checkpoint: Checkpoint, adapter: Adapter) -> Checkpoint:
    """The checkpoint with the adapter in its weights; they are computed when they are read.

    Raises one CheckpointError for tensors that fit no weight, halves without the other, and ranks
    that are not the config's.
    """
    updates = low_rank_updates(adapter.path, adapter.tensors, adapter.config.scale)
    without = [name for name, update in updates.items() if update.magnitude is None]
    if adapter.config.uses_dora and without:
        raise CheckpointError(
            f"{adapter.path}: module {without[0]!r}: expected a lora_magnitude_vector by use_dora, "
            f"got none ({len(without)} missing in all)"
        )
    # Biases (`bias`), whole layers (`modules_to_save`) and, beside LoRA layers of embeddings, the
    # embeddings replace those of the base model.
    replacing = {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in adapter.tensors.items()
        if not is_lora_tensor(name)
    }
    weights = {f"{module}.weight": update for module, update in updates.items()}
    names = [*weights, *replacing]
    part = max(_PARTS, key=lambda part: sum(part + name in checkpoint.tensors for name in names))
    unknown = [name for name in replacing if part + name not in checkpoint.tensors]
    raise_problems(adapter.path, "tensors that fit no weight of the model", unknown)
    tensors = dict(checkpoint.tensors)
    tensors.update((part + name, tensor) for name, tensor in replacing.items())
    named = ((part + name, update) for name, update in weights.items())
    return checkpoint._replace(tensors=merge_updates(adapter.path, tensors, named))
