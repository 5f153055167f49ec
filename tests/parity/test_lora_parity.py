"""LoRA: merged on load here, run beside the weights by peft in the reference."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.goldens import EXTRA, read_json, read_safetensors
from tests.support.implementation import Implementation
from tests.support.lora_cases import answers_of

from internvl_native import AutoModel, InternVisionModel

TOLERANCE = 1e-5  # of the largest value

CASES = {case["case"]: case for case in read_json(EXTRA / "lora.json")["cases"]}
REPOSITORY = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.usefixtures("native")


def check(impl: Implementation, model: Any, case: dict[str, Any]) -> None:
    tokenizer = impl.load_tokenizer(EXTRA / case["ckpt"])
    response, arrays = answers_of(impl, model, tokenizer)
    stored = read_safetensors(EXTRA / "lora.safetensors")
    for name, array in arrays.items():
        expected = stored[f"{case['case']}.{name}"]
        assert array.shape == expected.shape
        assert np.abs(array - expected).max() <= TOLERANCE * np.abs(expected).max()
    assert response == case["response"]


def adapters_of(case: dict[str, Any]) -> dict[str, Path]:
    return {folder: EXTRA / folder for folder in case["adapters"]}


@pytest.mark.parametrize("name", CASES)
def test_answers(
    impl: Implementation, isa: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERNVL_NATIVE_ISA", isa)
    case = CASES[name]
    model = AutoModel.from_pretrained(EXTRA / case["ckpt"], adapters=adapters_of(case))
    check(impl, model, case)


def test_adapters_are_chosen_while_the_model_lives(impl: Implementation) -> None:
    case, both = CASES["llama"], CASES["llama_two"]
    first, second = (EXTRA / folder for folder in both["adapters"])
    model = AutoModel.from_pretrained(EXTRA / case["ckpt"])
    output_layer = model.state_dict()["language_model.lm_head.weight"]
    base, _ = answers_of(impl, model, impl.load_tokenizer(EXTRA / case["ckpt"]))
    model.load_adapter(first)
    check(impl, model, case)
    model.load_adapter(str(second), adapter_name="second")
    check(impl, model, both)
    assert model.active_adapters() == list(model.peft_config) == ["default", "second"]
    assert model.peft_config["second"]["lora_alpha"] == 7
    assert copy.deepcopy(model.peft_config) == model.peft_config
    model.set_adapter("default")
    check(impl, model, case)
    model.to("bfloat16").to("float32")
    check(impl, model, case)
    changed = model.state_dict()["language_model.lm_head.weight"]
    assert not np.array_equal(np.asarray(changed), np.asarray(output_layer))
    model.disable_adapters()
    assert answers_of(impl, model, impl.load_tokenizer(EXTRA / case["ckpt"]))[0] == base
    model.enable_adapters()
    check(impl, model, both)
    model.delete_adapter("second")
    check(impl, model, case)
    assert list(model.peft_config) == ["default"]
    with pytest.raises(ValueError, match="expected one of 'default', got 'second'"):
        model.set_adapter("second")
    with pytest.raises(ValueError, match="there is an adapter 'default' already"):
        model.load_adapter(first)
    check(impl, model, case)


def test_a_folder_with_an_adapter_loads_the_model_it_names(
    impl: Implementation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    model = AutoModel.from_pretrained(EXTRA / "lora/llama_language", adapter_name="mine")
    assert model.active_adapters() == ["mine"]
    assert model.name_or_path == os.path.join("tests", "data", "extra", "ckpt_llama")
    check(impl, model, CASES["llama"])
    monkeypatch.chdir(EXTRA)
    with pytest.raises(OSError, match=r"base_model_name_or_path: .*\n.*with adapters='.*language'"):
        AutoModel.from_pretrained(EXTRA / "lora/llama_language")


def test_a_vision_tower_by_itself_has_its_adapter() -> None:
    case = CASES["dynamic"]
    chat = AutoModel.from_pretrained(EXTRA / case["ckpt"], adapters=EXTRA / case["adapters"][0])
    tower = InternVisionModel.from_pretrained(EXTRA / case["ckpt"])
    pixel_values = np.random.default_rng(0).standard_normal((1, 3, 56, 56), np.float32)
    base = tower(pixel_values).last_hidden_state
    tower.load_adapter(EXTRA / case["adapters"][0])
    merged = tower(pixel_values).last_hidden_state
    np.testing.assert_array_equal(merged, chat.vision_model(pixel_values).last_hidden_state)
    assert not np.array_equal(base, merged)
