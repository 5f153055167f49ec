"""The model as an object: what scripts written for the reference read, set and call on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support.goldens import DATA, read_json

import internvl_native

CHECKPOINT = DATA / "ckpt_rmsnorm"
ANSWERS = {case["id"]: case for case in read_json(DATA / "chat.json")["cases"]}


def test_attributes(fast_model: Any) -> None:
    stored = read_json(DATA / "side_effects.json")["cases"][0]
    for name in ("num_image_token", "template", "system_message"):
        assert getattr(fast_model, name) == stored[name]
    assert fast_model.conv_template.sep == "<|im_end|>"
    assert fast_model.config.force_image_size == 112
    assert fast_model.config.vision_config.image_size == 112
    assert fast_model.config.llm_config.num_hidden_layers == 3
    assert fast_model.config.template == "internlm2-chat"
    assert str(fast_model.device) == "cpu"


def test_chained_placement(fast_model: Any) -> None:
    assert fast_model.eval().cpu().requires_grad_(False) is fast_model
    assert fast_model.to("cpu") is fast_model
    assert fast_model.to(fast_model.dtype) is fast_model


@pytest.mark.filterwarnings("default")
def test_cuda_stays_on_the_cpu_and_answers(fast_model: Any, tokenizer: Any) -> None:
    case = ANSWERS["b/text_only"]
    config = dict(case["generation_config"])
    response = fast_model.cuda().chat(tokenizer, None, case["question"], config)
    assert response == case["expect"]["response"]


def test_system_message_changes_the_prompt(tokenizer: Any) -> None:
    model = internvl_native.AutoModel.from_pretrained(CHECKPOINT)
    before = model.chat(tokenizer, None, "Hi", {"max_new_tokens": 8})
    model.system_message = "You are a street sign."
    after = model.chat(tokenizer, None, "Hi", {"max_new_tokens": 8})
    assert before != after
    model.system_message = model.conv_template.system_message
    assert model.chat(tokenizer, None, "Hi", {"max_new_tokens": 8}) == before


def test_conversions_compute_in_the_new_dtype() -> None:
    model = internvl_native.AutoModel.from_pretrained(CHECKPOINT)
    pixels = np.random.default_rng(0).standard_normal((1, 3, 112, 112), dtype=np.float32)
    exact = model.extract_feature(pixels)
    rounded = model.bfloat16().extract_feature(pixels)
    assert str(model.dtype).endswith("bfloat16")
    assert 0 < np.abs(rounded - exact).max() < 0.1
    np.testing.assert_array_equal(model.float().extract_feature(pixels), exact)


def test_float16_checkpoints_and_models_are_sound() -> None:
    """fp16 asked for on the CPU: close to float32, and finite where fp16 would overflow."""
    pixels = np.random.default_rng(0).standard_normal((2, 3, 56, 56), dtype=np.float32)
    for name in ("ckpt_llama", "ckpt_linear"):  # stored as float16 and as bfloat16
        folder = DATA / "extra" / name
        exact = internvl_native.AutoModel.from_pretrained(folder).extract_feature(pixels)
        half = internvl_native.AutoModel.from_pretrained(folder, torch_dtype="float16")
        assert np.abs(half.extract_feature(pixels) - exact).max() < 0.01 * np.abs(exact).max()
        assert np.isfinite(half.extract_feature(pixels * 1e4)).all()


def test_results_are_the_same_from_call_to_call(model: Any, tokenizer: Any) -> None:
    pixels = np.random.default_rng(1).standard_normal((3, 3, 112, 112), dtype=np.float32)
    answers = {
        model.chat(tokenizer, pixels, "Describe the picture.", {"max_new_tokens": 12})
        for _ in range(3)
    }
    assert len(answers) == 1


@pytest.mark.parametrize("how", ["manual_seed", "seed key"])
def test_sampling_is_reproducible(fast_model: Any, tokenizer: Any, how: str) -> None:
    def story(seed: int) -> str:
        config = {"max_new_tokens": 12, "do_sample": True, "temperature": 2.0}
        if how == "manual_seed":
            internvl_native.manual_seed(seed)
        else:
            config["seed"] = seed
        return str(fast_model.chat(tokenizer, None, "Tell me a story.", config))

    assert story(1) == story(1)
    assert len({story(seed) for seed in range(4)}) > 1


def test_one_config_serves_many_calls(fast_model: Any, tokenizer: Any) -> None:
    config = {"max_new_tokens": 8, "temperature": None, "top_p": None, "pad_token_id": None}
    first = fast_model.chat(tokenizer, None, "Hi", config)
    fast_model.batch_chat(tokenizer, None, ["Hi", "Hello"], config, num_patches_list=[0, 0])
    assert fast_model.chat(tokenizer, None, "Hi", config) == first
    assert set(config) == {"max_new_tokens", "temperature", "top_p", "pad_token_id", "eos_token_id"}


def test_text_only_with_an_empty_list_of_counts(fast_model: Any, tokenizer: Any) -> None:
    """The model worker sends `num_patches_list=[]` and a history of lists."""
    history: list[Any] = []
    config = {"max_new_tokens": 8, "max_length": 3}
    first = fast_model.chat(tokenizer, None, "Hi", config, num_patches_list=[], history=history)
    assert history == [("Hi", first)]
    turns = [["Hi", first]]
    second, returned = fast_model.chat(
        tokenizer, None, "And?", config, history=turns, return_history=True
    )
    assert returned is turns
    assert turns == [["Hi", first], ("And?", second)]
