"""Callers who have torch: tensors of any dtype in, tensors out. Skipped where torch is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support.extras import optional
from tests.support.goldens import DATA, read_json, read_safetensors

import internvl_native

torch = optional("torch", "test-extras")

CHECKPOINT = DATA / "ckpt_rmsnorm"
CASE = next(
    case for case in read_json(DATA / "chat.json")["cases"] if case["id"] == "b/single_1tile"
)


@pytest.fixture
def pixel_values() -> Any:
    image = CASE["images"][0]
    pixels = internvl_native.load_image(
        DATA / "images" / image["file"], input_size=image["input_size"], max_num=image["max_num"]
    )
    assert isinstance(pixels, torch.Tensor)  # the default where torch is installed
    return pixels


def test_chat(fast_model: Any, tokenizer: Any, pixel_values: Any) -> None:
    config = dict(CASE["generation_config"])
    response = fast_model.chat(tokenizer, pixel_values, CASE["question"], config)
    assert response == CASE["expect"]["response"]


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16", "float64"])
def test_dtypes_of_pixels(fast_model: Any, pixel_values: Any, name: str) -> None:
    rounded = pixel_values.to(getattr(torch, name))
    features = fast_model.extract_feature(rounded)
    assert features.dtype == torch.float32  # the model's
    expected = fast_model.extract_feature(rounded.float().numpy())
    np.testing.assert_array_equal(features.numpy(), expected)


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_dtypes_of_the_model(name: str) -> None:
    dtype = getattr(torch, name)
    model = internvl_native.AutoModel.from_pretrained(CHECKPOINT, torch_dtype=dtype)
    assert model.dtype == dtype
    assert model.device == torch.device("cpu")
    features = model.extract_feature(torch.zeros(1, 3, 112, 112, dtype=dtype))
    assert features.dtype == dtype


def test_features_equal_the_reference(fast_model: Any) -> None:
    pixels = internvl_native.load_image(DATA / "images" / "sub422.jpg", 112, max_num=1)
    stored = read_safetensors(DATA / "features.safetensors")["b.default"]
    actual = fast_model.extract_feature(pixels).numpy()
    assert np.abs(actual - stored).max() <= 1e-5 * np.abs(stored).max()


def test_generate_returns_tensors(fast_model: Any, tokenizer: Any) -> None:
    fast_model.img_context_token_id = 2195
    inputs = tokenizer(["hello", "and more"], return_tensors="pt", padding=True)
    settings = {"max_new_tokens": 4, "num_beams": 2, "output_scores": True}
    output = fast_model.generate(**inputs, return_dict_in_generate=True, **settings)
    assert output.sequences.dtype == torch.int64
    assert output.sequences_scores.dtype == torch.float32
    assert output.beam_indices.dtype == torch.int64
    assert all(isinstance(step, torch.Tensor) for step in output.scores)
    arrays = {key: value.numpy() for key, value in inputs.items()}
    same = fast_model.generate(**arrays, max_new_tokens=4, num_beams=2)
    assert np.asarray(same).tolist() == output.sequences.tolist()


def test_torch_seeds_sampling(fast_model: Any, tokenizer: Any) -> None:
    def story(seed: int) -> str:
        torch.manual_seed(seed)
        settings = {"max_new_tokens": 12, "do_sample": True, "temperature": 2.0}
        return str(fast_model.chat(tokenizer, None, "Tell me a story.", settings))

    assert story(1) == story(1)
    assert len({story(seed) for seed in range(4)}) > 1


def test_streamers_get_tensors(fast_model: Any, tokenizer: Any, pixel_values: Any) -> None:
    class Streamer:
        values: list[Any]
        ended = False

        def __init__(self) -> None:
            self.values = []

        def put(self, value: Any) -> None:
            self.values.append(value)

        def end(self) -> None:
            self.ended = True

    streamer = Streamer()
    settings = {"max_new_tokens": 3, "streamer": streamer}
    fast_model.chat(tokenizer, pixel_values, "Describe the picture.", settings)
    assert streamer.ended
    assert all(isinstance(value, torch.Tensor) for value in streamer.values)
    assert streamer.values[0].tolist() == [[1]]


def test_gradients_are_ignored(fast_model: Any, pixel_values: Any) -> None:
    wanted = fast_model.extract_feature(pixel_values)
    actual = fast_model.extract_feature(pixel_values.clone().requires_grad_())
    assert torch.equal(actual, wanted)
    assert not actual.requires_grad
