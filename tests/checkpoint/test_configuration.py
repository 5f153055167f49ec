from __future__ import annotations

import copy
import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from tests.checkpoint.synthetic import chat_config

from internvl_native._core import CheckpointError
from internvl_native.configuration import (
    AutoConfig,
    InternLM2Config,
    InternVisionConfig,
    InternVLChatConfig,
    LlamaConfig,
)
from internvl_native.core_config import core_config, num_image_token, tile_size
from internvl_native.dtypes import torch_dtype_of

DATA = Path(__file__).parents[1] / "data"


def write_config(folder: Path, values: dict[str, Any]) -> Path:
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def test_missing_keys_take_the_defaults_of_the_reference() -> None:
    config = InternVLChatConfig(llm_config={"architectures": ["InternLM2ForCausalLM"]})
    assert (config.ps_version, config.select_layer, config.downsample_ratio) == ("v1", -1, 0.5)
    assert (config.min_dynamic_patch, config.max_dynamic_patch) == (1, 6)
    assert (config.dynamic_image_size, config.use_thumbnail, config.pad2square) == (False,) * 3
    assert (config.template, config.force_image_size) == (None, None)
    vision = config.vision_config
    assert (vision.hidden_size, vision.num_hidden_layers, vision.image_size) == (3200, 48, 224)
    assert (vision.norm_type, vision.qk_normalization, vision.qkv_bias) == ("rms_norm", True, False)
    decoder = config.llm_config
    assert isinstance(decoder, InternLM2Config)
    assert (decoder.vocab_size, decoder.bias, decoder.rope_theta) == (103168, True, 10000)
    assert (decoder.pad_token_id, decoder.bos_token_id, decoder.eos_token_id) == (0, 1, 2)
    assert (decoder.num_key_value_heads, decoder.max_length) == (32, 20)
    assert config.hidden_size == decoder.hidden_size == 4096
    llama = LlamaConfig()
    assert (llama.vocab_size, llama.pad_token_id, llama.attention_bias) == (32000, None, False)
    assert config.use_return_dict is True
    assert core_config(config)["decoder"]["vocab_size"] == 103168


def test_a_checkpoint_config() -> None:
    config = AutoConfig.from_pretrained(DATA / "ckpt_ntk", trust_remote_code=True)
    assert isinstance(config, InternVLChatConfig)
    assert config.system_message == "You are a small test model."  # type: ignore[attr-defined]
    assert config.name_or_path == str(DATA / "ckpt_ntk")
    assert config.torch_dtype == torch_dtype_of("float32")
    assert (tile_size(config), num_image_token(config)) == (112, 16)
    assert core_config(config) == {
        "vision": {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_channels": 3,
            "image_size": 112,
            "patch_size": 14,
            "qkv_bias": True,
            "qk_normalization": False,
            "norm_type": "layer",
            "layer_norm_eps": 1e-6,
            "hidden_act": "gelu",
        },
        "decoder": {
            "vocab_size": 2202,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "max_position_embeddings": 96,
            "rms_norm_eps": 1e-5,
            "rope_theta": 1e6,
            "rope_scaling": {"type": "dynamic", "factor": 2.0},
            "hidden_act": "silu",
        },
        "select_layer": -1,
        "downsample_factor": 2,
        "transposed_shuffle": False,
    }


def test_attributes_are_kept_set_and_overridden(tmp_path: Path) -> None:
    write_config(tmp_path, {**chat_config(), "my_key": [1]})
    config, unused = AutoConfig.from_pretrained(
        tmp_path,
        select_layer=-2,
        my_key=3,
        unknown=4,
        vision_config={"hidden_size": 64},
        return_unused_kwargs=True,
    )
    assert (config.select_layer, config.my_key, unused) == (-2, 3, {"unknown": 4})
    assert (config.vision_config.hidden_size, config.vision_config.image_size) == (64, 224)
    config.use_thumbnail = True
    config.update({"another": 5})
    assert "another" in config
    assert "missing" not in config
    assert (config.get("another"), config.get("missing", 6)) == (5, 6)
    with pytest.raises(AttributeError, match="missing"):
        _ = config.missing


@pytest.mark.parametrize("name", ["ckpt_layernorm", "ckpt_ntk"])
def test_written_configs_read_back_the_same(tmp_path: Path, name: str) -> None:
    config = AutoConfig.from_pretrained(DATA / name)
    config.save_pretrained(tmp_path / "new" / "folder")
    again = AutoConfig.from_pretrained(tmp_path / "new" / "folder")
    again.name_or_path = config.name_or_path
    assert again == config
    assert InternVLChatConfig.from_dict(config.to_dict()) == config
    assert InternVLChatConfig.from_json_file(tmp_path / "new" / "folder" / "config.json") == config
    assert copy.deepcopy(config) == config
    assert pickle.loads(pickle.dumps(config)) == config
    again.llm_config.hidden_size = 1
    assert again != config
    small = json.loads(config.to_json_string())
    assert small["model_type"] == "internvl_chat"
    assert small["llm_config"]["model_type"] == "internlm2"
    assert "temperature" not in small
    assert json.loads(config.to_json_string(use_diff=False))["temperature"] == 1.0
    assert repr(config).startswith("InternVLChatConfig {")


def test_vision_configs_alone(tmp_path: Path) -> None:
    inside = InternVisionConfig.from_pretrained(DATA / "ckpt_rmsnorm")
    assert inside.intermediate_size == 320
    inside.save_pretrained(tmp_path)
    alone = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(alone, InternVisionConfig)
    assert core_config(alone) == core_config(inside)
    assert set(core_config(alone)) == {"vision"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "model_type: expected one of internvl_chat, intern_vit_6b, got None"),
        ({"model_type": "llava"}, "expected one of internvl_chat, intern_vit_6b, got 'llava'"),
        ({"model_type": 3}, "expected one of internvl_chat, intern_vit_6b, got 3"),
        ({"model_type": "internvl_chat"}, "llm_config: expected an object whose architectures"),
        ({"model_type": "internvl_chat", "llm_config": 5}, "llm_config: expected an object"),
        (
            {"model_type": "internvl_chat", "llm_config": {"architectures": ["Qwen3ForCausalLM"]}},
            "expected one of InternLM2ForCausalLM, LlamaForCausalLM, got ['Qwen3ForCausalLM']",
        ),
        (
            {"model_type": "internvl_chat", "llm_config": {"architectures": None}},
            "llm_config.architectures: expected one of InternLM2ForCausalLM, LlamaForCausalLM",
        ),
        (chat_config(model_type="mamba"), "expected model_type 'internlm2', got 'mamba'"),
        ({**chat_config(), "vision_config": [1]}, "vision_config: expected an object, got [1]"),
        (
            {**chat_config(), "vision_config": {"model_type": "clip"}},
            "expected model_type 'intern_vit_6b', got 'clip'",
        ),
        ({**chat_config(), "to_dict": 1}, "'to_dict' is not the name of a value"),
    ],
)
def test_unsupported_architectures(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        AutoConfig.from_pretrained(write_config(tmp_path, values))


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "null", '"internvl_chat"', "\ufeff{}", "[" * 10**5]
)
def test_files_that_are_not_json_objects(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config\.json: expected"):
        AutoConfig.from_pretrained(tmp_path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"config\.json: cannot read the file"):
        AutoConfig.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes(b"\xff\xfe")
    with pytest.raises(OSError, match=r"config\.json: cannot read the file"):
        AutoConfig.from_pretrained(tmp_path)


def test_save_pretrained_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = InternVisionConfig()
    with pytest.raises(ValueError, match="save_directory: expected a folder"):
        config.save_pretrained(tmp_path / "file")
    with pytest.raises(ValueError, match="push_to_hub: expected False"):
        config.save_pretrained(tmp_path, push_to_hub=True)


INTEGER = "expected an integer in"
REFUSED = [
    ("llm_config", "hidden_size", "abc", "InternLM2Config.hidden_size: expected an integer"),
    ("llm_config", "hidden_size", 0, INTEGER),
    ("llm_config", "hidden_size", 16.0, INTEGER),
    ("llm_config", "hidden_size", True, INTEGER),
    ("llm_config", "hidden_size", None, INTEGER),
    ("llm_config", "hidden_size", 2**40, INTEGER),
    ("llm_config", "hidden_size", 18, "hidden_size to be a multiple of num_attention_heads"),
    ("llm_config", "num_key_value_heads", 3, "num_attention_heads to be a multiple of num_key_"),
    ("llm_config", "hidden_size", 12, "expected heads of an even size"),
    ("llm_config", "num_hidden_layers", -1, INTEGER),
    ("llm_config", "vocab_size", [10], INTEGER),
    ("llm_config", "max_position_embeddings", 0, INTEGER),
    ("llm_config", "rms_norm_eps", 0, "rms_norm_eps: expected a number > 0, got 0"),
    ("llm_config", "rms_norm_eps", "1e-5", "expected a number > 0, got '1e-5'"),
    ("llm_config", "rope_theta", float("nan"), "rope_theta: expected a number > 0, got nan"),
    ("llm_config", "rope_theta", float("inf"), "rope_theta: expected a number > 0, got inf"),
    ("llm_config", "hidden_act", "mish", "hidden_act: expected one of gelu, "),
    ("llm_config", "hidden_act", {}, "hidden_act: expected one of gelu, "),
    ("llm_config", "bias", 1, "InternLM2Config.bias: expected true or false, got 1"),
    ("llm_config", "tie_word_embeddings", "no", "expected true or false, got 'no'"),
    ("llm_config", "rope_scaling", 2.0, "rope_scaling: expected an object of `type` and `factor`"),
    ("llm_config", "rope_scaling", {"type": "yarn", "factor": 2.0}, "'linear' or 'dynamic'"),
    ("llm_config", "rope_scaling", {"type": [], "factor": 2.0}, "'linear' or 'dynamic'"),
    ("llm_config", "rope_scaling", {"type": "linear"}, "an object of `type` and `factor`"),
    ("llm_config", "rope_scaling", {"type": "linear", "factor": 2}, "a float factor >= 1, got 2"),
    ("llm_config", "rope_scaling", {"type": "linear", "factor": 0.5}, "factor >= 1, got 0.5"),
    ("llm_config", "rope_scaling", {"type": "linear", "factor": float("inf")}, "got inf"),
    ("vision_config", "num_attention_heads", 3, "hidden_size to be a multiple of num_attention"),
    ("vision_config", "num_attention_heads", 8, "expected heads of an even size"),
    ("vision_config", "patch_size", 5, "patch_size: expected an integer in [1, 4], got 5"),
    ("vision_config", "image_size", 10**9, "image_size: expected an integer in [1, 32768]"),
    ("vision_config", "norm_type", "batch_norm", "norm_type: expected one of rms_norm, layer_norm"),
    ("vision_config", "qkv_bias", None, "qkv_bias: expected true or false, got None"),
    ("vision_config", "layer_norm_eps", -1e-6, "layer_norm_eps: expected a number > 0"),
    (None, "select_layer", 2, "select_layer: expected an integer in [-2, 1], got 2"),
    (None, "select_layer", -3, "select_layer: expected an integer in [-2, 1], got -3"),
    (None, "ps_version", "v3", "ps_version: expected one of v1, v2, got 'v3'"),
    (None, "downsample_ratio", 0.4, "downsample_ratio: expected 1 / integer, for example 0.5"),
    (None, "downsample_ratio", 0, "downsample_ratio: expected a number > 0"),
    (None, "downsample_ratio", 1e-300, "downsample_ratio: expected 1 / integer"),
    (None, "downsample_ratio", 2, "downsample_ratio: expected 1 / integer"),
    (None, "downsample_ratio", 0.25, "expected tiles of a multiple of 4 patches on a side"),
    (None, "force_image_size", 6, "expected tiles of a multiple of 2 patches on a side"),
    (None, "force_image_size", 10**9, "force_image_size: expected an integer in [0, 32768]"),
    (None, "min_dynamic_patch", 0, "min_dynamic_patch: expected an integer in [1,"),
    (None, "max_dynamic_patch", 0, "max_dynamic_patch: expected an integer in [1,"),
    (None, "use_thumbnail", "yes", "use_thumbnail: expected true or false, got 'yes'"),
    (None, "template", 3, "template: expected a name, got 3"),
    (None, "system_message", [], "system_message: expected a string, got []"),
    (None, "use_llm_lora", -1, "use_llm_lora: expected an integer in [1,"),
    (None, "use_backbone_lora", "8", "use_backbone_lora: expected an integer in [1,"),
    (None, "quantization_config", {"load_in_8bit": True}, "got a quantized checkpoint"),
]


@pytest.mark.parametrize(("part", "name", "value", "message"), REFUSED)
def test_values_that_make_no_sense(part: str | None, name: str, value: Any, message: str) -> None:
    values = chat_config()
    (values[part] if part else values)[name] = value
    with pytest.raises(ValueError, match=re.escape(message)):
        core_config(InternVLChatConfig(**values))


def test_rope_scaling_as_the_reference_checks_it() -> None:
    """InternLM2Config allows a factor of 1, LlamaConfig does not."""
    one = {"type": "linear", "factor": 1.0}
    values = chat_config(rope_scaling=one)
    assert core_config(InternVLChatConfig(**values))["decoder"]["rope_scaling"] == one
    values = chat_config("LlamaForCausalLM", rope_scaling=one)
    with pytest.raises(ValueError, match=r"expected a float factor > 1, got 1\.0"):
        core_config(InternVLChatConfig(**values))
    none = core_config(InternVLChatConfig(**chat_config("LlamaForCausalLM")))
    assert none["decoder"]["rope_scaling"] == {"type": "none", "factor": 1.0}


@pytest.mark.parametrize(
    ("name", "activation"),
    [
        ("gelu", "gelu"),
        ("gelu_new", "gelu_tanh"),
        ("gelu_pytorch_tanh", "gelu_tanh"),
        ("quick_gelu", "quick_gelu"),
        ("relu", "relu"),
        ("silu", "silu"),
        ("swish", "silu"),
    ],
)
def test_activations(name: str, activation: str) -> None:
    values = chat_config(hidden_act=name)
    values["vision_config"]["hidden_act"] = name
    core = core_config(InternVLChatConfig(**values))
    assert core["decoder"]["hidden_act"] == core["vision"]["hidden_act"] == activation


def test_other_objects_are_no_configs() -> None:
    with pytest.raises(ValueError, match="config: expected an InternVLChatConfig, got LlamaConfig"):
        core_config(LlamaConfig())  # type: ignore[arg-type]
