"""Checkpoints as they come from fine-tuning, merging scripts and interrupted downloads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.checkpoint.synthetic import (
    Array,
    chat_config,
    chat_shapes,
    checkpoint_of,
    values_of,
    write_safetensors,
)
from tests.support.goldens import DATA

from internvl_native import AutoConfig, AutoTokenizer
from internvl_native._core import CheckpointError
from internvl_native.checkpoint import open_checkpoint, unused_tensors, weight_map
from internvl_native.configuration import InternVLChatConfig
from internvl_native.dtypes import parse_dtype

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def chat_tensors(vocab_size: int = 10) -> dict[str, Array]:
    shapes = chat_shapes()
    for name in ("model.tok_embeddings.weight", "output.weight"):
        shapes[f"language_model.{name}"] = (vocab_size, 16)
    return values_of(shapes)


def test_a_resized_vocabulary(tmp_path: Path) -> None:
    checkpoint = checkpoint_of(tmp_path, chat_tensors(vocab_size=12))
    with pytest.raises(CheckpointError, match=r"set llm_config\.vocab_size to 12\.$"):
        weight_map(InternVLChatConfig(**chat_config()), checkpoint)
    weights = weight_map(InternVLChatConfig(**chat_config(vocab_size=12)), checkpoint)
    assert weights["decoder.output"][0].rows == 12


@pytest.mark.parametrize("prefix", ["module.", "model.", "base_model.model.", "_orig_mod."])
def test_names_of_a_wrapped_model(tmp_path: Path, prefix: str) -> None:
    tensors = {prefix + name: value for name, value in chat_tensors().items()}
    checkpoint = checkpoint_of(tmp_path, tensors)
    with pytest.raises(CheckpointError, match=f"are there with '{re.escape(prefix)}' in front of"):
        weight_map(InternVLChatConfig(**chat_config()), checkpoint)


def test_nothing_is_advised_where_weights_are_lost(tmp_path: Path) -> None:
    tensors = {name: value for name, value in chat_tensors().items() if "mlp1" not in name}
    with pytest.raises(CheckpointError, match=r"tensor 'mlp1\.3\.bias': .*got no such tensor$"):
        weight_map(InternVLChatConfig(**chat_config()), checkpoint_of(tmp_path, tensors))


def test_an_index_without_metadata_and_tensors_of_no_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tensors = {**chat_tensors(), "value_head.weight": np.ones(3, np.float32)}
    write_safetensors(tmp_path / "model-00001-of-00001.safetensors", tensors)
    index = {"weight_map": dict.fromkeys(tensors, "model-00001-of-00001.safetensors")}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    config, checkpoint = InternVLChatConfig(**chat_config()), open_checkpoint(tmp_path)
    weight_map(config, checkpoint)
    assert unused_tensors(config, checkpoint) == ["value_head.weight"]
    assert "were not used when initializing InternVLChatModel: ['value_head.weight']" in caplog.text


def test_weights_elsewhere_are_named(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-100").mkdir()
    write_safetensors(tmp_path / "checkpoint-100" / "model.safetensors", chat_tensors())
    with pytest.raises(CheckpointError, match=r"but checkpoint-100.model\.safetensors"):
        open_checkpoint(tmp_path)


def test_pointers_of_git_lfs_are_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text(POINTER)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: .*pointer of Git LFS.*pull"):
        open_checkpoint(tmp_path)
    for file in (DATA / "ckpt_ntk").glob("*token*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "tokenizer.model").write_text(POINTER)
    with pytest.raises(CheckpointError, match=r"tokenizer\.model: .*pointer of Git LFS.*pull"):
        AutoTokenizer.from_pretrained(tmp_path)


def write_config(folder: Path, config: dict[str, Any]) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_the_dtype_as_newer_transformers_write_it(tmp_path: Path) -> None:
    config = {**chat_config(), "dtype": "float16"}
    loaded = AutoConfig.from_pretrained(write_config(tmp_path, config))
    assert parse_dtype("auto", loaded, stored="bfloat16") == "float16"


def test_a_config_without_model_type(tmp_path: Path) -> None:
    config = chat_config()
    del config["model_type"]
    loaded = AutoConfig.from_pretrained(write_config(tmp_path, config))
    assert isinstance(loaded, InternVLChatConfig)
    with pytest.raises(ValueError, match="got None"):
        AutoConfig.from_pretrained(write_config(tmp_path, {**config, "architectures": []}))


@pytest.mark.parametrize(
    ("model_type", "advice"),
    [("internvl", "converted for transformers"), ("internlm2", "a language model alone")],
)
def test_model_types_of_relatives(tmp_path: Path, model_type: str, advice: str) -> None:
    folder = write_config(tmp_path, {**chat_config(), "model_type": model_type})
    with pytest.raises(ValueError, match=f"got '{model_type}', .*{advice}"):
        AutoConfig.from_pretrained(folder)
