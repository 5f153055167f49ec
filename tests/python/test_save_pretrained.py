"""save_pretrained: folders that load as what was saved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.goldens import DATA, EXTRA, read_json, read_safetensors

from internvl_native import AutoModel, AutoTokenizer
from internvl_native.checkpoint.writer import parse_size

CHECKPOINT = DATA / "ckpt_ntk"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def same_weights(first: Any, second: Any) -> bool:
    pairs = zip(first.named_parameters(), second.named_parameters())
    return all(a == b and np.array_equal(p, q) for (a, p), (b, q) in pairs)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("source", [CHECKPOINT, EXTRA / "ckpt_llama", EXTRA / "ckpt_dynamic"])
def test_what_was_saved_loads_again(source: Path, dtype: str, tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(source, torch_dtype=dtype)
    model.save_pretrained(tmp_path)
    assert names(tmp_path) == ["config.json", "generation_config.json", "model.safetensors"]
    config = read_json(tmp_path / "config.json")
    assert (config["torch_dtype"], config["architectures"]) == (dtype, ["InternVLChatModel"])
    loaded = AutoModel.from_pretrained(tmp_path, torch_dtype="auto")
    assert loaded.dtype == model.dtype
    assert same_weights(loaded, model)
    assert loaded.config.vision_config == model.config.vision_config
    assert loaded.config.llm_config == model.config.llm_config
    assert loaded.generation_config == model.generation_config


def test_answers_stay_the_same(tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(CHECKPOINT)
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    pixels = np.random.default_rng(0).standard_normal((2, 3, 112, 112), dtype=np.float32)
    config = {"max_new_tokens": 12}
    wanted = model.chat(tokenizer, pixels, "What is this?", config)
    loaded = AutoModel.from_pretrained(tmp_path)
    its_tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.chat(its_tokenizer, pixels, "What is this?", config) == wanted


def test_shards(tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(CHECKPOINT)
    model.save_pretrained(tmp_path, max_shard_size="600KB")
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert [shard.name for shard in shards] == [
        f"model-{number:05}-of-00005.safetensors" for number in range(1, 6)
    ]
    index = read_json(tmp_path / "model.safetensors.index.json")
    assert index["metadata"] == {"total_size": model.get_memory_footprint()}
    assert list(index["weight_map"]) == list(model.state_dict())
    for shard in shards:
        tensors = read_safetensors(shard)
        assert len(tensors) == 1 or sum(t.nbytes for t in tensors.values()) <= 600_000
        assert {index["weight_map"][name] for name in tensors} == {shard.name}
    assert same_weights(AutoModel.from_pretrained(tmp_path), model)


def test_a_model_can_be_saved_where_it_came_from(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(CHECKPOINT, folder)
    model = AutoModel.from_pretrained(folder)
    before = {name: np.asarray(value) for name, value in model.named_parameters()}
    model.save_pretrained(folder, max_shard_size="600KB")
    assert not (folder / "model.safetensors").exists()
    model.save_pretrained(folder)
    assert not list(folder.glob("model-*"))
    assert not (folder / "model.safetensors.index.json").exists()
    loaded = AutoModel.from_pretrained(folder)
    for name, value in loaded.named_parameters():
        np.testing.assert_array_equal(np.asarray(value), before[name])
        np.testing.assert_array_equal(np.asarray(model.get_parameter(name)), before[name])


def test_variants_lie_side_by_side(tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(CHECKPOINT)
    model.save_pretrained(tmp_path)
    model.half().save_pretrained(tmp_path, variant="fp16", max_shard_size="400KB")
    assert (tmp_path / "model.safetensors").exists()
    assert (tmp_path / "model.safetensors.index.fp16.json").exists()
    loaded = AutoModel.from_pretrained(tmp_path, torch_dtype="float16", variant="fp16")
    assert same_weights(loaded, model)


def test_the_vision_part_alone(tmp_path: Path) -> None:
    chat = AutoModel.from_pretrained(CHECKPOINT)
    chat.vision_model.save_pretrained(tmp_path)
    assert names(tmp_path) == ["config.json", "model.safetensors"]
    assert read_json(tmp_path / "config.json")["architectures"] == ["InternVisionModel"]
    assert same_weights(AutoModel.from_pretrained(tmp_path), chat.vision_model)


def test_merged_lora_layers_are_no_layers_any_more(tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(CHECKPOINT)
    model.config.use_llm_lora = 16
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["use_llm_lora"] == 0
    assert model.config.use_llm_lora == 16


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    AutoModel.from_pretrained(CHECKPOINT).save_pretrained(tmp_path / "model", is_main_process=False)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"safe_serialization": False}, "safe_serialization: expected True"),
        ({"push_to_hub": True}, "push_to_hub: expected False"),
        ({"state_dict": {}}, "state_dict: expected None"),
        ({"max_shard_size": "5 apples"}, "max_shard_size: expected .*got '5 apples'"),
        ({"max_shard_size": 0}, "max_shard_size: expected"),
    ],
)
def test_misuse_is_named(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    model = AutoModel.from_pretrained(CHECKPOINT)
    with pytest.raises(ValueError, match=message):
        model.save_pretrained(tmp_path, **options)
    assert names(tmp_path) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ValueError, match="save_directory: expected a folder"):
        AutoModel.from_pretrained(CHECKPOINT).save_pretrained(file)


def test_sizes() -> None:
    sizes: dict[int | str, int] = {
        "7B": 7,
        "5GB": 5 * 10**9,
        "2 MiB": 2 * 2**20,
        "10kb": 10_000,
        12: 12,
    }
    assert {size: parse_size(size) for size in sizes} == sizes
