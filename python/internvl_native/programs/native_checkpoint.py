"""Which checkpoints are native: decided by their config.json alone."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from internvl_native.checkpoint.lora_config import ADAPTER_CONFIG
from internvl_native.checkpoint.resolve import resolve_checkpoint
from internvl_native.configuration import DECODER_CONFIGS, InternVLChatConfig
from internvl_native.json_file import read_json_object

_LOCATION = ("revision", "cache_dir", "local_files_only", "token")


def is_native(name_or_path: Any, keywords: dict[str, Any]) -> bool:
    """Whether `from_pretrained(name_or_path, **keywords)` means an InternVL-Chat checkpoint whose
    language model this package has, or the folder of a PEFT adapter of one.

    Whatever cannot be read is not native: the program's own library then says what is wrong.
    """
    if not isinstance(name_or_path, (str, os.PathLike)):
        return False
    path = _config_file(name_or_path, keywords)
    if path is None:
        return False
    try:
        adapter = path.with_name(ADAPTER_CONFIG)
        if adapter.is_file() and not path.is_file():
            base = read_json_object(adapter).get("base_model_name_or_path")
            path = _config_file(str(base), {**keywords, "revision": None, "subfolder": None})
        return path is not None and _is_chat_config(read_json_object(path))
    except OSError:
        return False


def _is_chat_config(config: dict[str, Any]) -> bool:
    if config.get("model_type") != InternVLChatConfig.model_type:
        return False
    llm_config = config.get("llm_config")
    architectures = llm_config.get("architectures") if isinstance(llm_config, dict) else None
    return isinstance(architectures, list) and bool(DECODER_CONFIGS.keys() & architectures[:1])


def _config_file(name_or_path: str | os.PathLike[str], keywords: dict[str, Any]) -> Path | None:
    """The config.json of a folder or of a hub name, downloaded where the cache lacks it."""
    location = {name: keywords[name] for name in _LOCATION if keywords.get(name) is not None}
    subfolder = keywords.get("subfolder") or ""
    try:
        folder = resolve_checkpoint(
            name_or_path, **{**location, "local_files_only": True}, files=("config.json",)
        )
        return folder / subfolder / "config.json"
    except OSError:
        if os.path.exists(name_or_path) or location.get("local_files_only"):
            return None
    return _download_config(os.fspath(name_or_path), subfolder, location)


def _download_config(name: str, subfolder: str, location: dict[str, Any]) -> Path | None:
    """As transformers itself would: config.json is the first file that it downloads."""
    try:
        hub: Any = importlib.import_module("huggingface_hub")
        return Path(hub.hf_hub_download(name, "config.json", subfolder=subfolder, **location))
    except Exception:  # of several libraries; transformers is about to meet and to report it
        return None
