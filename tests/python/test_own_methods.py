"""Methods that callers put in place of the package's: on an object, on a class, in a subclass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support.goldens import DATA

from internvl_native import AutoModel, AutoTokenizer, InternVisionModel, InternVLChatModel

CHECKPOINT = DATA / "ckpt_rmsnorm"
PIXELS = np.random.default_rng(0).standard_normal((2, 3, 112, 112), dtype=np.float32)
QUESTION = "<image>\nWhat?"


class Streamer:
    ended = False

    def put(self, value: Any) -> None: ...

    def end(self) -> None:
        self.ended = True


def changed(features: Any) -> Any:
    return features[::-1] * np.float32(0.5)


class Reversed(InternVLChatModel):
    def extract_feature(self, pixel_values: Any) -> Any:
        return changed(super().extract_feature(pixel_values))


@pytest.fixture
def model() -> Any:
    return AutoModel.from_pretrained(CHECKPOINT)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(CHECKPOINT)


def chat(model: Any, tokenizer: Any, **options: Any) -> str:
    answer: str = model.chat(tokenizer, PIXELS, QUESTION, {"max_new_tokens": 8, **options})
    return answer


def prompt(model: Any, tokenizer: Any) -> dict[str, Any]:
    tokens = "<IMG_CONTEXT>" * model.num_image_token * len(PIXELS)
    model.img_context_token_id = tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
    return dict(tokenizer([f"<img>{tokens}</img>\nWhat?"], return_tensors="np"))


def test_extract_feature_of_an_object(model: Any, tokenizer: Any) -> None:
    native, inputs = model.extract_feature, prompt(model, tokenizer)
    usual = chat(model, tokenizer)
    wanted = model.generate(
        PIXELS, **inputs, visual_features=changed(native(PIXELS)), max_new_tokens=8
    )
    shapes = []

    def own(pixel_values: Any) -> Any:
        shapes.append(pixel_values.shape)
        return changed(native(pixel_values))

    model.extract_feature = own
    np.testing.assert_array_equal(model.generate(PIXELS, **inputs, max_new_tokens=8), wanted)
    assert shapes == [PIXELS.shape]
    answer = chat(model, tokenizer)
    assert answer == chat(Reversed.from_pretrained(CHECKPOINT), tokenizer) != usual
    model.extract_feature = native
    assert chat(model, tokenizer) == usual


def test_extract_feature_of_the_class(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = chat(Reversed.from_pretrained(CHECKPOINT), tokenizer)
    native = InternVLChatModel.extract_feature
    monkeypatch.setattr(InternVLChatModel, "extract_feature", lambda m, x: changed(native(m, x)))
    assert chat(model, tokenizer) == wanted


def test_fewer_features_and_image_tokens(model: Any, tokenizer: Any) -> None:
    native = model.extract_feature
    model.extract_feature = lambda pixel_values: native(pixel_values)[:, ::4]
    with pytest.raises(ValueError, match="8 rows, but input_ids hold 32 image tokens"):
        chat(model, tokenizer)
    model.num_image_token //= 4
    assert chat(model, tokenizer)


def test_extract_feature_in_forward(model: Any, tokenizer: Any) -> None:
    inputs, native = prompt(model, tokenizer), model.extract_feature
    wanted = model(PIXELS[::-1].copy(), **inputs).logits
    model.extract_feature = lambda pixel_values: native(pixel_values)[[1, 0, 2]]
    tiles = np.concatenate([PIXELS, PIXELS[:1]])
    actual = model(tiles, **inputs, image_flags=[1, 1, 0]).logits
    np.testing.assert_array_equal(actual, wanted)


def test_generate_of_the_language_model(model: Any, tokenizer: Any) -> None:
    inputs, native = prompt(model, tokenizer), model.language_model.generate
    usual = chat(model, tokenizer), chat(model, tokenizer, repetition_penalty=0.1)
    assert len(set(usual)) == 2
    seen: list[dict[str, Any]] = []

    def own(**options: Any) -> Any:
        seen.append(options)
        return native(**options, repetition_penalty=0.1)

    model.language_model.generate = own
    assert chat(model, tokenizer) == usual[1]
    model.generate(PIXELS, **inputs, max_new_tokens=1)
    embeds = model.get_input_embeddings()(inputs["input_ids"])
    images = inputs["input_ids"] == model.img_context_token_id
    embeds[images] = model.extract_feature(PIXELS).reshape(-1, embeds.shape[-1])
    np.testing.assert_array_equal(seen[1]["inputs_embeds"], embeds)
    np.testing.assert_array_equal(seen[1]["attention_mask"], inputs["attention_mask"])
    assert (seen[1]["use_cache"], seen[1]["max_new_tokens"]) == (True, 1)
    model.language_model.generate = native
    assert chat(model, tokenizer) == usual[0]


@pytest.mark.parametrize("decodes", [True, False])
def test_streamers_end_where_own_features_fail(model: Any, tokenizer: Any, decodes: bool) -> None:
    def fail(pixel_values: Any) -> Any:
        raise RuntimeError("no features")

    streamer, model.extract_feature = Streamer(), fail
    if decodes:
        model.language_model.generate = print
    with pytest.raises(RuntimeError, match="no features"):
        chat(model, tokenizer, streamer=streamer)
    assert streamer.ended


def test_forward(model: Any, tokenizer: Any) -> None:
    class Doubled(InternVLChatModel):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return 2 * super().forward(*args, **kwargs).logits

    inputs, native = prompt(model, tokenizer), model.forward
    logits = model(PIXELS, **inputs).logits
    own = Doubled.from_pretrained(CHECKPOINT)
    own.img_context_token_id = model.img_context_token_id
    np.testing.assert_array_equal(own(PIXELS, **inputs), 2 * logits)
    model.forward = lambda **options: 3 * native(**options).logits
    np.testing.assert_array_equal(model(pixel_values=PIXELS, **inputs), 3 * logits)


@pytest.mark.parametrize(
    ("part", "method"),
    [
        ("", "pixel_shuffle"),
        ("language_model", "forward"),
        ("language_model", "get_input_embeddings"),
        ("mlp1", "forward"),
        ("vision_model", "forward"),
        ("vision_model.encoder", "forward"),
    ],
)
def test_methods_that_the_engine_would_not_call_are_refused(
    model: Any, part: str, method: str
) -> None:
    with pytest.raises(AttributeError, match=rf"{method}: the engine would not .*model\.taps"):
        setattr(model.get_submodule(part), method, print)


def test_classes_with_methods_that_the_engine_would_not_call_are_refused() -> None:
    with pytest.raises(TypeError, match=r"Shuffled\.pixel_shuffle: the engine would not call"):

        class Shuffled(InternVLChatModel):
            def pixel_shuffle(self, x: Any, scale_factor: float = 0.5) -> Any:
                return x


def test_a_tower_by_itself_has_a_forward_of_its_own() -> None:
    tower: Any = InternVisionModel.from_pretrained(CHECKPOINT)
    tower.forward = len
    assert tower(PIXELS) == 2
