"""Adapters that do not fit, options of LoRA, and checkpoints with LoRA layers inside."""

from __future__ import annotations

import json
import math
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

from internvl_native._core import CheckpointError
from internvl_native.checkpoint import Checkpoint, open_checkpoint, weight_map
from internvl_native.checkpoint.adapter import merge_adapter, read_adapter
from internvl_native.checkpoint.tensor import read_float32
from internvl_native.configuration import InternVLChatConfig

WO = "model.layers.0.attention.wo"
W1 = "model.layers.0.feed_forward.w1"


def layer(module: str, rows: int, columns: int, rank: int = 2) -> dict[str, Array]:
    """The two halves of a LoRA layer, as peft names them."""
    shapes = {"lora_A": (rank, columns), "lora_B": (rows, rank)}
    values = values_of({f"{module}.{part}.weight": shape for part, shape in shapes.items()})
    return {f"base_model.model.{name}": value for name, value in values.items()}


def write_adapter(folder: Path, tensors: dict[str, Array] | None = None, **options: Any) -> Path:
    folder.mkdir(exist_ok=True)
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 6, "target_modules": ["wo", "w1"]}
    (folder / "adapter_config.json").write_text(json.dumps({**config, **options}))
    tensors = layer(WO, 16, 16) if tensors is None else tensors
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    folder = tmp_path / "base"
    folder.mkdir()
    return checkpoint_of(folder, values_of(chat_shapes(), "F16"))


def delta(tensors: dict[str, Array], module: str) -> Array:
    a, b = (tensors[f"base_model.model.{module}.lora_{half}.weight"] for half in "AB")
    return np.asarray(b @ a)


@pytest.mark.parametrize(
    ("options", "scale"),
    [
        ({}, 3.0),
        ({"use_rslora": True}, 6 / math.sqrt(2)),
        ({"alpha_pattern": {"attention.wo": 10}}, 5.0),
        ({"alpha_pattern": {"attention": 10}}, 3.0),
        ({"r": 64, "rank_pattern": {r"layers\.\d\.attention\.wo": 2}}, 3.0),
        ({"target_modules": r".*\.wo"}, 3.0),
        ({"target_modules": "all-linear"}, 3.0),
        ({"target_modules": None}, 3.0),
        ({"layers_to_transform": 0}, 3.0),
        ({"layers_to_transform": [1, 0], "layers_pattern": "layers"}, 3.0),
        ({"fan_in_fan_out": True, "lora_dropout": 0.1, "inference_mode": True}, 3.0),
    ],
)
def test_scale(
    tmp_path: Path, checkpoint: Checkpoint, options: dict[str, Any], scale: float
) -> None:
    tensors = layer(WO, 16, 16)
    merged = merge_adapter(checkpoint, read_adapter(write_adapter(tmp_path, tensors, **options)))
    name = f"language_model.{WO}.weight"
    expected = read_float32(checkpoint.tensors[name]) + scale * delta(tensors, WO)
    np.testing.assert_allclose(merged.tensors[name].read(), expected, rtol=1e-6)
    others = [key for key in checkpoint.tensors if key != name]
    assert all(merged.tensors[key] is checkpoint.tensors[key] for key in others)


def test_adapters_add_up(tmp_path: Path, checkpoint: Checkpoint) -> None:
    adapter = read_adapter(write_adapter(tmp_path))
    twice = merge_adapter(merge_adapter(checkpoint, adapter), adapter)
    name = f"language_model.{WO}.weight"
    expected = read_float32(checkpoint.tensors[name]) + 6 * delta(layer(WO, 16, 16), WO)
    np.testing.assert_allclose(twice.tensors[name].read(), expected, rtol=1e-6)


MISFITS: dict[str, tuple[dict[str, Array], dict[str, Any], str]] = {
    "half": (
        dict(list(layer(WO, 16, 16).items())[:1]),
        {},
        f"'{WO}': expected lora_A and lora_B, got lora_A",
    ),
    "no such weight": (layer(WO[:-2] + "xo", 16, 16), {"target_modules": None}, "got none"),
    "rows": (layer(WO, 15, 16), {}, "expected a weight of shape (15, 16), got (16, 16)"),
    "columns": (layer(W1, 20, 17), {}, "expected a weight of shape (20, 17), got (20, 16)"),
    "rank": (layer(WO, 16, 16, 4), {}, "expected rank 2 by adapter_config.json, got 4"),
    "not a target": (layer(WO, 16, 16), {"target_modules": ["w2"]}, "target_modules"),
    "not a layer": (layer(WO, 16, 16), {"layers_to_transform": [1]}, "layers_to_transform"),
    "no magnitude": (layer(WO, 16, 16), {"use_dora": True}, "a lora_magnitude_vector by use_dora"),
    "magnitude": (
        {**layer(WO, 16, 16), f"{WO}.lora_magnitude_vector": np.ones(3, np.float32)},
        {"use_dora": True},
        "lora_magnitude_vector: expected shape (16,), got (3,)",
    ),
    "ranks differ": (
        {
            f"{WO}.lora_A.weight": np.ones((2, 16), np.float32),
            f"{WO}.lora_B.weight": np.ones((16, 3), np.float32),
        },
        {},
        "got (2, 16) and (16, 3)",
    ),
    "integers": (
        {name: value.astype(np.int8) for name, value in layer(WO, 16, 16).items()},
        {},
        "expected a dtype of BF16, F16, F32, got I8",
    ),
    "unknown tensor": ({"base_model.model.prompt": np.ones(2, np.float32)}, {}, "prompt"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_fit(tmp_path: Path, checkpoint: Checkpoint, case: str) -> None:
    tensors, options, message = MISFITS[case]
    adapter = read_adapter(write_adapter(tmp_path / "adapter", tensors, **options))
    with pytest.raises(CheckpointError, match=re.escape(message)) as error:
        merge_adapter(checkpoint, adapter)
    assert str(tmp_path / "adapter") in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type: expected 'LORA', got 'IA3'"),
        ({"layer_replication": [[0, 2]]}, "layer_replication: expected nothing"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices: expected nothing"),
        ({"lora_bias": True}, "lora_bias: expected nothing"),
        ({"a_new_option": 1}, "a_new_option: expected nothing, got 1"),
        ({"init_lora_weights": "pissa"}, "path_initial_model_for_weight_conversion"),
        ({"r": 0}, "r: expected a rank of at least 1, got 0"),
        ({"lora_alpha": "16"}, "lora_alpha: expected a number, got '16'"),
        ({"rank_pattern": {"(": 3}}, "rank_pattern: expected an object of regular expressions"),
        ({"target_modules": "("}, "target_modules: expected a regular expression or a list"),
        ({"layers_to_transform": ["0"]}, "layers_to_transform: expected a number or a list"),
        ({"layers_pattern": 3}, "layers_pattern: expected a regular expression or a list"),
        ({"base_model_name_or_path": 3}, "base_model_name_or_path: expected a name or a path"),
    ],
)
def test_options_that_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        read_adapter(write_adapter(tmp_path, **options))
    assert str(tmp_path / "adapter_config.json") in str(error.value)


def test_options_without_effect(tmp_path: Path) -> None:
    """What peft 0.17 writes for a plain adapter."""
    folder = write_adapter(
        tmp_path, corda_config=None, eva_config=None, lora_bias=False, qalora_group_size=16,
        exclude_modules=["mlp1"], megatron_core="megatron.core", use_dora=False, loftq_config={},
    )  # fmt: skip
    assert read_adapter(folder).config.values["qalora_group_size"] == 16


def test_pickled_adapters_are_refused(tmp_path: Path) -> None:
    write_adapter(tmp_path)
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    with pytest.raises(CheckpointError, match=r"adapter_model\.bin, which is a pickle") as error:
        read_adapter(tmp_path)
    assert "python - " in str(error.value)


# ---- LoRA layers inside a checkpoint


def wrapped(rank: int = 2) -> dict[str, Array]:
    """A checkpoint whose `wo` is wrapped, as peft 0.10 saves it."""
    tensors = values_of(chat_shapes())
    prefix = "language_model.base_model.model."
    tensors = {name.replace("language_model.", prefix): value for name, value in tensors.items()}
    tensors[f"{prefix}{WO}.base_layer.weight"] = tensors.pop(f"{prefix}{WO}.weight")
    for name, value in layer(WO, 16, 16, rank).items():
        tensors[f"language_model.{name}".replace(".weight", ".default.weight")] = value
    return tensors


def config_with(**values: Any) -> InternVLChatConfig:
    return InternVLChatConfig(**chat_config(), **values)


@pytest.mark.parametrize("suffix", ["base_layer.weight", "weight"])
def test_layers_inside_are_merged(tmp_path: Path, suffix: str) -> None:
    tensors = wrapped()
    tensors = {name.replace("base_layer.weight", suffix): tensors[name] for name in tensors}
    checkpoint = checkpoint_of(tmp_path, tensors)
    assert sorted(checkpoint.tensors) == sorted(chat_shapes())
    assert checkpoint.lora_ranks == {"language_model": 2}
    name = f"language_model.{WO}.weight"
    expected = values_of(chat_shapes())[name] + 2 * delta(layer(WO, 16, 16), WO)
    np.testing.assert_allclose(checkpoint.tensors[name].read(), expected)
    weight_map(config_with(use_llm_lora=2), checkpoint)


def test_the_rank_is_that_of_the_config(tmp_path: Path) -> None:
    checkpoint = checkpoint_of(tmp_path, wrapped())
    for configured in (0, 4):
        with pytest.raises(CheckpointError, match=f"use_llm_lora: expected 2, .* got {configured}"):
            weight_map(config_with(use_llm_lora=configured), checkpoint)


def test_a_merged_checkpoint_may_have_the_config_of_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = checkpoint_of(tmp_path, values_of(chat_shapes()))
    weight_map(config_with(use_llm_lora=16), checkpoint)
    assert "use_llm_lora=16, but there are no LoRA layers in language_model" in caplog.text


def test_damaged_layers_inside(tmp_path: Path) -> None:
    tensors = wrapped()
    lora_b = next(name for name in tensors if "lora_B" in name)
    without = {name: value for name, value in tensors.items() if name != lora_b}
    write_safetensors(tmp_path / "model.safetensors", without)
    with pytest.raises(CheckpointError, match="expected lora_A and lora_B, got lora_A"):
        open_checkpoint(tmp_path)
    twice = {**tensors, f"language_model.{WO}.weight": np.ones((16, 16), np.float32)}
    write_safetensors(tmp_path / "model.safetensors", twice)
    with pytest.raises(CheckpointError, match=r"one tensor for .*wo\.weight', got several"):
        open_checkpoint(tmp_path)
    second = {name.replace(WO, W1): value for name, value in layer(WO, 16, 16, 3).items()}
    ranks = {**tensors, **{f"language_model.{name}": value for name, value in second.items()}}
    write_safetensors(tmp_path / "model.safetensors", ranks)
    with pytest.raises(CheckpointError, match="expected rank 2 as in other layers, got 3"):
        open_checkpoint(tmp_path)
