from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.checkpoint.synthetic import values_of, write_safetensors
from tests.support.extras import optional

from internvl_native.checkpoint import CheckpointError, open_checkpoint

INDEX = "model.safetensors.index.json"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    tensors = values_of({"a": (2, 3), "b": (4,), "c": (5,)})
    write_safetensors(tmp_path / SHARDS[0], {"a": tensors["a"], "b": tensors["b"]})
    write_safetensors(tmp_path / SHARDS[1], {"c": tensors["c"]})
    write_index(tmp_path, {"a": SHARDS[0], "b": SHARDS[0], "c": SHARDS[1]})
    return tmp_path


def write_index(folder: Path, weight_map: Any) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def test_shards(sharded: Path) -> None:
    checkpoint = open_checkpoint(sharded)
    assert sorted(checkpoint.tensors) == ["a", "b", "c"]
    (a, _), (b, _) = (checkpoint.tensors[name].location() for name in "ab")
    assert a is b
    assert checkpoint.tensors["c"].path == str(sharded / SHARDS[1])
    assert checkpoint.dtype == "float32"


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"a": SHARDS[0], "b": SHARDS[0], "c": SHARDS[0]}, f"{SHARDS[0]}: expected tensor 'c'"),
        ({"a": SHARDS[1], "b": SHARDS[0], "c": SHARDS[1]}, f"'a': expected in {SHARDS[1]!r}"),
        ({"a": SHARDS[0], "c": SHARDS[1]}, "tensor 'b': expected in no file by"),
        (
            {"a": SHARDS[0], "b": SHARDS[0], "c": SHARDS[1], "d": SHARDS[1]},
            f"expected tensor 'd' by {INDEX}, got a file without it (1 missing",
        ),
        (
            {"a": SHARDS[0], "b": SHARDS[0], "c": "x.safetensors"},
            "expected the shard 'x.safetensors' (of tensor 'c'), which is missing",
        ),
        ({"a": "../" + SHARDS[0]}, "expected the name of a file in this folder, got '../model"),
        ({"a": "/etc/passwd"}, "expected the name of a file in this folder, got '/etc/passwd'"),
        ({"a": ".."}, "expected a .safetensors file, got '..'"),
        ({"a": ""}, "expected a .safetensors file, got ''"),
        ({"a": "x\0.safetensors"}, "expected the name of a file in this folder"),
        ({"a": "pytorch_model.bin"}, "expected a .safetensors file, got 'pytorch_model.bin'"),
        ({"a": 3}, "tensor 'a': expected the name of a file in this folder, got 3"),
        ({}, "expected an object 'weight_map', got {}"),
        ([1], "expected an object 'weight_map', got [1]"),
        (None, "expected an object 'weight_map', got None"),
    ],
)
def test_broken_indexes(sharded: Path, weight_map: Any, message: str) -> None:
    write_index(sharded, weight_map)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        open_checkpoint(sharded)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"weight_map": {"a": NaN}}', "\ufeff{}"])
def test_an_index_that_is_not_json(sharded: Path, text: str) -> None:
    (sharded / INDEX).write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=re.escape(INDEX)):
        open_checkpoint(sharded)


def test_the_same_tensor_in_two_shards(sharded: Path) -> None:
    tensors = values_of({"c": (5,), "a": (2, 3)})
    write_safetensors(sharded / SHARDS[1], tensors)
    with pytest.raises(CheckpointError, match=f"{SHARDS[1]}: tensor 'a': expected in '{SHARDS[0]}"):
        open_checkpoint(sharded)


def test_a_truncated_shard(sharded: Path) -> None:
    path = sharded / SHARDS[1]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=rf"{SHARDS[1]}: tensor 'c': .*truncated\?"):
        open_checkpoint(sharded)


def test_one_file_comes_before_shards(sharded: Path) -> None:
    write_safetensors(sharded / "model.safetensors", values_of({"z": (1,)}, "F16"))
    checkpoint = open_checkpoint(sharded)
    assert list(checkpoint.tensors) == ["z"]
    assert checkpoint.dtype == "float16"


def test_variants(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.fp16.safetensors", values_of({"a": (1,)}))
    assert list(open_checkpoint(tmp_path, variant="fp16").tensors) == ["a"]
    with pytest.raises(CheckpointError, match=r"expected model\.safetensors or .*, got neither"):
        open_checkpoint(tmp_path)


def test_pickles_are_refused_with_the_command_that_converts_them(tmp_path: Path) -> None:
    folder = tmp_path / "it's a model"
    folder.mkdir()
    (folder / "pytorch_model.bin").touch()
    with pytest.raises(CheckpointError, match="got pytorch_model") as error:
        open_checkpoint(folder)
    command = str(error.value).partition("with\n")[2]
    assert command.startswith("python - ")
    optional("torch", "test-extras")
    optional("safetensors", "test-extras")
    state = {"a": np.arange(6, dtype=np.float32).reshape(2, 3)}
    save = (
        "import sys, torch, numpy; torch.save({'a': torch.arange(6.0).reshape(2, 3)}, sys.argv[1])"
    )
    path = str(folder / "pytorch_model.bin")
    subprocess.run([sys.executable, "-c", save, path], check=True)
    subprocess.run(["sh", "-c", command.replace("python", sys.executable, 1)], check=True)
    tensor = open_checkpoint(folder).tensors["a"]
    assert tensor.read().tobytes() == state["a"].tobytes()
