"""The model on a backend whose memory the host cannot touch: the same bits as on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.extension import build_module
from tests.support.goldens import DATA

import internvl_native
from internvl_native import _core, devices

from .numerics import random

ROOT = Path(__file__).resolve().parents[2]
QUESTION = "<image>\nDescribe it."


@pytest.fixture(scope="session")
def detached() -> Any:
    """The module of tests/backend/detached."""
    return build_module("_detached", ROOT / "tests" / "backend" / "detached")


@pytest.fixture(params=["float32", "bfloat16"])
def pair(request: pytest.FixtureRequest, detached: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model on the CPU, and the same on the detached backend."""

    def load() -> Any:
        folder = DATA / "ckpt_layernorm"
        return internvl_native.AutoModel.from_pretrained(folder, torch_dtype=request.param)

    on_cpu = load()
    monkeypatch.setattr(devices, "backend", lambda device: detached.detached(_core.cpu_backend()))
    elsewhere = load()
    assert elsewhere.backend == "detached"
    return on_cpu, elsewhere


@pytest.fixture
def tokenizer() -> Any:
    return internvl_native.AutoTokenizer.from_pretrained(DATA / "ckpt_layernorm")


def pixels_of(model: Any, tiles: int, seed: int = 0) -> Any:
    size = model.config.vision_config.image_size
    return random(tiles * 3 * size, size, seed=seed).reshape(tiles, 3, size, size)


SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "greedy with scores": {"output_scores": True, "return_dict_in_generate": True},
    "hidden states": {"output_hidden_states": True, "return_dict_in_generate": True},
    "sampling": {"do_sample": True, "seed": 3, "num_return_sequences": 2},
    "beams": {"num_beams": 3, "num_return_sequences": 3},
    "contrastive": {"penalty_alpha": 0.6, "top_k": 4},
    "penalties": {"repetition_penalty": 1.2, "no_repeat_ngram_size": 2},
}


def flattened(value: Any) -> list[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in flattened(item)]
    return [] if value is None else [np.asarray(value)]


def assert_same(actual: Any, expected: Any) -> None:
    actual, expected = flattened(actual), flattened(expected)
    assert len(actual) == len(expected) > 0
    for one, other in zip(actual, expected):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", SETTINGS)
def test_generate(pair: Any, tokenizer: Any, name: str) -> None:
    outputs = []
    for model in pair:
        model.img_context_token_id = tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
        image = "<IMG_CONTEXT>" * model.num_image_token * 2
        # Longer than a page of the cache, which beams then share.
        ids = tokenizer(f"<img>{image}</img>\n{'Look. ' * 60}", return_tensors="np").input_ids
        output = model.generate(
            pixel_values=pixels_of(model, 2), input_ids=ids, max_new_tokens=9, **SETTINGS[name]
        )
        outputs.append(dict(output) if isinstance(output, dict) else output)
    assert_same(outputs[1], outputs[0])


def test_batch_chat(pair: Any, tokenizer: Any) -> None:
    questions = [QUESTION, "Hi", "<image>\nAnd this one, please?"]
    config = {"max_new_tokens": 140, "eos_token_id": -1}  # over the end of a page
    answers = [
        model.batch_chat(tokenizer, pixels_of(model, 3), questions, dict(config), [2, 0, 1])
        for model in pair
    ]
    assert answers[1] == answers[0]


def test_forward_and_the_cache(pair: Any, tokenizer: Any) -> None:
    ids = tokenizer("A sentence of some tokens.", return_tensors="np").input_ids
    mask = np.ones_like(np.concatenate([ids, ids]))
    mask[1, :2] = 0  # padding, whose results are asked for
    results = []
    for model in pair:
        language_model = model.language_model
        first = language_model(
            np.concatenate([ids, ids]), attention_mask=mask, output_hidden_states=True
        )
        more = np.ones((2, mask.shape[1] + 1), np.int64)
        more[:, : mask.shape[1]] = mask
        second = language_model(
            ids[:, :1].repeat(2, 0), attention_mask=more, past_key_values=first.past_key_values
        )
        results.append([first.logits, first.hidden_states, second.logits])
    assert_same(results[1], results[0])


def test_vision(pair: Any) -> None:
    results = []
    for model in pair:
        pixels = pixels_of(model, 3, seed=1)
        wide = random(3 * 84, 56, seed=2).reshape(1, 3, 84, 56)  # position embeddings resampled
        with model.taps("*") as taps:
            features = model.extract_feature(pixels)
        vision = model.vision_model
        results.append(
            [
                features,
                dict(taps),
                vision(pixels, output_hidden_states=True).hidden_states,
                vision(wide).last_hidden_state,
                model.mlp1(random(5, 4 * model.config.vision_config.hidden_size)),
                model.language_model.get_input_embeddings()(np.array([[1, 5, 2]])),
            ]
        )
    assert_same(results[1], results[0])


def test_two_turns_share_a_cache(pair: Any, tokenizer: Any) -> None:
    histories = []
    for model in pair:
        config = {"max_new_tokens": 12}
        pixels = pixels_of(model, 1)
        _, history = model.chat(tokenizer, pixels, QUESTION, dict(config), return_history=True)
        _, history = model.chat(
            tokenizer, pixels, "And then?", dict(config), history=history, return_history=True
        )
        histories.append(history)
    assert histories[1] == histories[0]


def test_memory_of_the_host_is_refused(detached: Any) -> None:
    """The backend of this file finds what these tests are about."""
    own = _core.kernels.Backend(detached.detached(_core.cpu_backend()), padding=3)
    x = random(4, 6)
    np.testing.assert_array_equal(own.copy(x), x)
