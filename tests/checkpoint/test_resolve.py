from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.checkpoint.synthetic import values_of, write_safetensors

from internvl_native.checkpoint import CheckpointError, resolve_checkpoint
from internvl_native.checkpoint.resolve import CONFIG_FILES
from internvl_native.configuration import AutoConfig

NAME = "OpenGVLab/Tiny"
VARIABLES = (
    "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE", "XDG_CACHE_HOME",
    "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE",
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)


def cached(cache: Path, *, commit: str = "c0ffee", ref: str = "main", weights: bool = True) -> Path:
    """A snapshot in the layout of the cache: its files are links to blobs."""
    repository = cache / "models--OpenGVLab--Tiny"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir(exist_ok=True)
    (repository / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
    (repository / "refs" / ref).write_text(commit)
    (repository / "blobs" / "1").write_text('{"model_type": "intern_vit_6b"}')
    (snapshot / "config.json").symlink_to(repository / "blobs" / "1")
    if weights:
        write_safetensors(snapshot / "model.safetensors", values_of({"a": (1,)}))
    return snapshot


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_checkpoint(tmp_path) == tmp_path
    assert resolve_checkpoint(str(tmp_path)) == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve_checkpoint("~") == tmp_path


@pytest.mark.parametrize(
    ("variable", "below"),
    [
        ("HF_HOME", "hub"),
        ("HF_HUB_CACHE", ""),
        ("HUGGINGFACE_HUB_CACHE", ""),
        ("TRANSFORMERS_CACHE", ""),
        ("XDG_CACHE_HOME", "huggingface/hub"),
    ],
)
def test_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, below: str) -> None:
    snapshot = cached(tmp_path / "cache" / below)
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv(variable, str(tmp_path / "cache"))
    assert resolve_checkpoint(NAME) == snapshot
    assert AutoConfig.from_pretrained(NAME).model_type == "intern_vit_6b"


def test_revisions(tmp_path: Path) -> None:
    newest = cached(tmp_path)
    older = cached(tmp_path, commit="0ld", ref="pr/1")
    assert resolve_checkpoint(NAME, cache_dir=tmp_path) == newest
    assert resolve_checkpoint(NAME, cache_dir=tmp_path, revision="pr/1") == older
    assert resolve_checkpoint(NAME, cache_dir=tmp_path, revision="0ld") == older
    with pytest.raises(CheckpointError, match=r"revision v9[\s\S]*huggingface-cli download .* v9"):
        resolve_checkpoint(NAME, cache_dir=tmp_path, revision="v9")
    for revision in ("../../x", "/etc", ".."):
        with pytest.raises(CheckpointError, match="revision: expected a branch, tag or commit"):
            resolve_checkpoint(NAME, cache_dir=tmp_path, revision=revision)


def test_a_snapshot_that_lacks_what_is_needed(tmp_path: Path) -> None:
    snapshot = cached(tmp_path, weights=False)
    assert resolve_checkpoint(NAME, cache_dir=tmp_path, files=CONFIG_FILES) == snapshot
    with pytest.raises(CheckpointError, match="huggingface-cli download"):
        resolve_checkpoint(NAME, cache_dir=tmp_path)
    index = snapshot / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}')
    (snapshot / "one.safetensors").touch()
    with pytest.raises(CheckpointError, match="huggingface-cli download"):
        resolve_checkpoint(NAME, cache_dir=tmp_path)
    (snapshot / "two.safetensors").touch()
    assert resolve_checkpoint(NAME, cache_dir=tmp_path) == snapshot


def test_what_is_neither_folder_nor_name(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(OSError, match="expected the folder of a checkpoint, got a file"):
        resolve_checkpoint(tmp_path / "config.json")
    for path in (tmp_path / "missing", "/no/such/folder", "./missing", "../x", "a/b/c", "", "a//b"):
        with pytest.raises(
            CheckpointError, match="expected the folder of a checkpoint, got no suc"
        ):
            resolve_checkpoint(path)


def test_without_huggingface_hub() -> None:
    with pytest.raises(CheckpointError, match="huggingface_hub is not installed") as error:
        resolve_checkpoint(NAME)
    assert "pip install huggingface_hub" in str(error.value)
    assert f"huggingface-cli download {NAME} --revision main" in str(error.value)


class FakeHub(ModuleType):
    def __init__(self, folder: Path | None) -> None:
        super().__init__("huggingface_hub")
        self.folder = folder
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def snapshot_download(self, name: str, **kwargs: Any) -> str:
        self.calls.append((name, kwargs))
        if self.folder is None:
            raise RuntimeError("no such repository")
        return str(self.folder)


def test_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = FakeHub(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert resolve_checkpoint(NAME, revision="v2", token="t", files=("*.json",)) == tmp_path
    assert hub.calls == [
        (NAME, {"revision": "v2", "cache_dir": None, "token": "t", "allow_patterns": ["*.json"]})
    ]
    with pytest.raises(CheckpointError, match="no download: local_files_only=True"):
        resolve_checkpoint(NAME, local_files_only=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CheckpointError, match="no download: HF_HUB_OFFLINE is set"):
        resolve_checkpoint(NAME)
    assert len(hub.calls) == 1


def test_a_download_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", FakeHub(None))
    with pytest.raises(CheckpointError, match="the download failed: no such repository"):
        resolve_checkpoint(NAME)
