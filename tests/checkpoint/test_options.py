from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.checkpoint.synthetic import chat_config

from internvl_native.checkpoint.options import load_config, load_options
from internvl_native.configuration import InternVisionConfig, InternVLChatConfig
from internvl_native.dtypes import torch_dtype_of

DATA = Path(__file__).parents[1] / "data"
MODEL = InternVLChatConfig


def test_what_is_honoured() -> None:
    options = load_options(
        {
            "torch_dtype": "bfloat16",
            "revision": "v1",
            "cache_dir": "/cache",
            "local_files_only": True,
            "token": "t",
            "subfolder": None,
            "variant": "fp16",
            "output_loading_info": True,
        }
    )
    assert (options.torch_dtype, options.variant, options.subfolder) == ("bfloat16", "fp16", "")
    assert options.output_loading_info is True
    assert options.location == {
        "revision": "v1",
        "cache_dir": "/cache",
        "local_files_only": True,
        "token": "t",
    }
    assert load_options({"dtype": "float16"}).torch_dtype == "float16"
    assert load_options({"device_map": {"": 0}}).device_map == {"": 0}
    assert load_options({"use_auth_token": True}).token is True


@pytest.mark.parametrize(
    "kwargs",
    [
        {"low_cpu_mem_usage": True, "trust_remote_code": True, "max_memory": {0: "20GiB"}},
        {"use_flash_attn": True, "attn_implementation": "flash_attention_2"},
        {"use_safetensors": True, "offload_folder": "x", "resume_download": True, "proxies": {}},
        {"load_in_8bit": False, "load_in_4bit": None, "quantization_config": None},
        {"from_tf": False, "from_flax": False, "state_dict": None, "use_safetensors": None},
        {"ignore_mismatched_sizes": False, "force_download": False, "code_revision": "x"},
    ],
)
def test_what_is_harmless(kwargs: dict[str, Any]) -> None:
    assert load_options(kwargs) == load_options({})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("load_in_8bit", True, "load_in_8bit: expected None or False, got True: int8 is not avail"),
        ("load_in_4bit", True, "4-bit weights are not available: drop the argument"),
        ("quantization_config", {"bits": 4}, "quantized weights are not available yet: drop"),
        ("from_tf", True, "only safetensors checkpoints can be read"),
        ("from_flax", True, "only safetensors checkpoints can be read"),
        ("use_safetensors", False, "use_safetensors: expected True or None, got False"),
        ("state_dict", {}, "state_dict: expected None, got dict"),
        ("vision_model", object(), "vision_model: expected None, got object"),
        ("ignore_mismatched_sizes", True, "every shape has to be that of config.json"),
    ],
)
def test_what_is_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        load_options({name: value})


def test_keyword_arguments_override_the_config() -> None:
    options = load_options({"select_layer": -2, "torch_dtype": "torch.float16"})
    config = load_config(DATA / "ckpt_ntk", options, MODEL)
    assert (config.select_layer, config.torch_dtype) == (-2, torch_dtype_of("float16"))
    config = load_config(DATA / "ckpt_ntk", load_options({"torch_dtype": "auto"}), MODEL)
    assert config.torch_dtype == torch_dtype_of("float32")
    with pytest.raises(
        TypeError,
        match=r"InternVLChatModel\.from_pretrained\(\) got an unexpected keyword argument 'foo'",
    ):
        load_config(DATA / "ckpt_ntk", load_options({"foo": 1}), MODEL)


def test_a_config_that_is_passed() -> None:
    config = InternVLChatConfig(**chat_config())
    loaded = load_config(
        DATA / "ckpt_ntk", load_options({"config": config, "torch_dtype": "float16"}), MODEL
    )
    assert (loaded.torch_dtype, config.torch_dtype) == (torch_dtype_of("float16"), None)
    loaded.torch_dtype = None
    assert loaded == config
    by_path = load_options({"config": str(DATA / "ckpt_rmsnorm")})
    assert load_config(DATA / "ckpt_ntk", by_path, MODEL).llm_config.hidden_size == 128
    foreign = SimpleNamespace(to_dict=config.to_dict)
    assert load_config(DATA, load_options({"config": foreign}), MODEL) == config
    with pytest.raises(TypeError, match="unexpected keyword argument 'select_layer'"):
        load_config(DATA, load_options({"config": config, "select_layer": -2}), MODEL)
    with pytest.raises(ValueError, match="config: expected a config of model_type internvl_chat"):
        load_config(DATA, load_options({"config": 3}), MODEL)
    vision = InternVisionConfig()
    assert load_config(DATA, load_options({"config": vision}), InternVisionConfig) == vision
