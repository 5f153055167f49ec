"""From a name to a folder: a local path, the Hugging Face cache, or a download."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from internvl_native import demo
from internvl_native._core import CheckpointError
from internvl_native.json_file import read_json_object

CONFIG_FILES = ("config.json", "generation_config.json")
"""Patterns of what a config needs."""
MODEL_FILES = ("*.json", "*.safetensors", "*.model")
"""Patterns of all that is needed."""

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def resolve_checkpoint(
    name_or_path: str | os.PathLike[str],
    *,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    files: Sequence[str] = MODEL_FILES,
) -> Path:
    """The folder of a checkpoint: `name_or_path` itself, or the snapshot of a hub name.

    "internvl-native/demo" is the checkpoint that comes with the package. Another name such as
    "OpenGVLab/InternVL-Chat-V1-5" is looked up in the local Hugging Face cache
    (`cache_dir`, or where HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, TRANSFORMERS_CACHE, HF_HOME say)
    and else downloaded by `huggingface_hub`, when that is installed and neither
    `local_files_only` nor HF_HUB_OFFLINE forbids it. `revision` is a branch, tag or commit;
    `files` are the patterns of the files that are needed.
    Raises CheckpointError (an OSError) that says how to get the files.
    """
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise TypeError(
            "pretrained_model_name_or_path: expected the path of a checkpoint folder or a hub "
            f"name, got {type(name_or_path).__name__}"
        )
    name = os.fspath(name_or_path)
    path = Path(name).expanduser()
    if name and path.is_dir():
        return path
    if path.is_file():
        raise CheckpointError(f"{name}: expected the folder of a checkpoint, got a file")
    if name == demo.CHECKPOINT:
        return demo.CHECKPOINT_FOLDER
    if not isinstance(name_or_path, str) or not _is_hub_name(name):
        raise CheckpointError(f"{name!r}: expected the folder of a checkpoint, got no such folder")
    revision = revision or "main"
    for cache in _caches(cache_dir):
        snapshot = _find_snapshot(cache, name, revision)
        if snapshot is not None and _is_complete(snapshot, files):
            return snapshot
    if local_files_only or _is_offline():
        reason = "local_files_only=True" if local_files_only else "HF_HUB_OFFLINE is set"
        raise CheckpointError(_advice(name, revision, f"no download: {reason}"))
    return _download(name, revision, cache_dir, token, files)


def _is_hub_name(name: str) -> bool:
    return _HUB_NAME.fullmatch(name) is not None and ".." not in name and "--" not in name


def _caches(cache_dir: str | os.PathLike[str] | None) -> Iterator[Path]:
    if cache_dir is not None:
        yield Path(cache_dir).expanduser()
        return
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE"):
        if os.environ.get(variable):
            yield Path(os.environ[variable]).expanduser()
    user_cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or os.path.join(user_cache, "huggingface")
    yield Path(home).expanduser() / "hub"


def _find_snapshot(cache: Path, name: str, revision: str) -> Path | None:
    """The layout of the cache: refs/<branch or tag> holds a commit, snapshots/<commit> files."""
    repository = cache / ("models--" + name.replace("/", "--"))
    if ".." in revision.split("/") or revision.startswith("/"):
        raise CheckpointError(f"revision: expected a branch, tag or commit, got {revision!r}")
    reference = repository / "refs" / revision
    commit = reference.read_text(encoding="utf-8").strip() if reference.is_file() else revision
    snapshot = repository / "snapshots" / commit
    return snapshot if commit and snapshot.is_dir() else None


def _is_complete(snapshot: Path, files: Sequence[str]) -> bool:
    """Whether the first pattern (and, for a model, the weights) are there: a snapshot that only
    the config or the tokenizer was read from holds nothing else."""
    if not any(snapshot.rglob(files[0])):
        return False
    if "*.safetensors" not in files:
        return True
    index = snapshot / "model.safetensors.index.json"
    if index.exists():
        shards = read_json_object(index).get("weight_map")
        names = set(shards.values()) if isinstance(shards, dict) else set()
        return all((snapshot / str(shard)).exists() for shard in names)
    return any(snapshot.rglob("*.safetensors")) or any(snapshot.glob("pytorch_model*.bin"))


def _is_offline() -> bool:
    variables = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(os.environ.get(v, "").upper() in {"1", "ON", "YES", "TRUE"} for v in variables)


def _download(
    name: str,
    revision: str,
    cache_dir: str | os.PathLike[str] | None,
    token: str | bool | None,
    files: Sequence[str],
) -> Path:
    try:
        hub: Any = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise CheckpointError(
            _advice(name, revision, "huggingface_hub is not installed")
        ) from error
    try:
        folder = hub.snapshot_download(
            name, revision=revision, cache_dir=cache_dir, token=token, allow_patterns=list(files)
        )
    except Exception as error:  # of several libraries, not all of them OSErrors
        raise CheckpointError(_advice(name, revision, f"the download failed: {error}")) from error
    return Path(folder)


def _advice(name: str, revision: str, reason: str) -> str:
    return (
        f"{name} (revision {revision}): expected a folder or a name in the local Hugging Face "
        f"cache, got neither, and {reason}. Download it with\n"
        f"    pip install huggingface_hub\n"
        f"    huggingface-cli download {name} --revision {revision}\n"
        "or pass the path of the checkpoint's folder."
    )
