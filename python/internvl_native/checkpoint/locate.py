"""What `from_pretrained` loads: the folder of a model, and adapters for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from internvl_native._core import CheckpointError
from internvl_native.checkpoint.adapter import Adapter, find_adapter, is_adapter, read_adapter
from internvl_native.checkpoint.options import LoadOptions
from internvl_native.checkpoint.resolve import resolve_checkpoint

DEFAULT_ADAPTER = "default"


class Located(NamedTuple):
    """A model's folder, and the adapters to merge into it by name."""

    folder: Path
    adapters: dict[str, Adapter]


def locate(name_or_path: str | os.PathLike[str], options: LoadOptions) -> Located:
    """Finds a model: a checkpoint, or, as transformers does where peft is installed, the adapter
    in a folder together with the model that its adapter_config.json names.

    Raises CheckpointError, saying what to do, where one of them is not found.
    """
    folder = resolve_checkpoint(name_or_path, **options.location) / options.subfolder
    adapters: dict[str, Adapter] = {}
    if is_adapter(folder):
        adapter = read_adapter(folder)
        adapters[options.adapter_name or DEFAULT_ADAPTER] = adapter
        folder = _base_folder(adapter, options)
    where = dict(options.location, revision=None)
    for name, given in _named(options.adapters).items():
        if name in adapters:
            raise ValueError(f"adapters: expected names that are not taken, got {name!r}")
        adapters[name] = find_adapter(given, **where)
    return Located(folder, adapters)


def _named(adapters: Any) -> Mapping[str, Any]:
    if isinstance(adapters, Mapping):
        return adapters
    if adapters is None or isinstance(adapters, (str, os.PathLike)):
        return {} if adapters is None else {DEFAULT_ADAPTER: adapters}
    raise TypeError(
        "adapters: expected the folder or name of an adapter, or a dict of name -> folder, "
        f"got {type(adapters).__name__}"
    )


def _base_folder(adapter: Adapter, options: LoadOptions) -> Path:
    advice = f"Load the model that it belongs to with adapters={str(adapter.path)!r}."
    base = adapter.config.base_model
    if base is None:
        raise CheckpointError(
            f"{adapter.config.path}: base_model_name_or_path: expected the model of this adapter, "
            f"got none. {advice}"
        )
    try:
        return resolve_checkpoint(
            base, **dict(options.location, revision=adapter.config.values.get("revision"))
        )
    except CheckpointError as error:
        raise CheckpointError(
            f"{adapter.config.path}: base_model_name_or_path: {error}\n{advice}"
        ) from error
