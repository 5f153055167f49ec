"""Wrong arguments: an error of the right family that names the argument and what came."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import pytest
from PIL import Image
from tests.support.goldens import DATA

import internvl_native

CHECKPOINT = DATA / "ckpt_rmsnorm"
SHORT = {"max_new_tokens": 2}


def pixels(*shape: int) -> np.ndarray:
    return np.zeros(shape or (1, 3, 112, 112), np.float32)


class Bench:
    """Calls with everything right but what a case replaces."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer
        model.img_context_token_id = tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
        self.input_ids = np.asarray([tokenizer("hello")["input_ids"]])

    def chat(self, pixel_values: Any = None, question: Any = "x", **keywords: Any) -> Any:
        config = keywords.pop("generation_config", dict(SHORT))
        tokenizer = keywords.pop("tokenizer", self.tokenizer)
        return self.model.chat(tokenizer, pixel_values, question, config, **keywords)

    def batch(self, pixel_values: Any, questions: Any, counts: Any) -> Any:
        return self.model.batch_chat(
            self.tokenizer, pixel_values, questions, dict(SHORT), num_patches_list=counts
        )

    def generate(self, **keywords: Any) -> Any:
        return self.model.generate(**{"input_ids": self.input_ids, **SHORT, **keywords})

    def image_ids(self) -> np.ndarray:
        return np.full((1, 16), self.model.img_context_token_id)


# what is wrong -> (the call, the error, a part of its message)
CASES: dict[str, tuple[Callable[[Bench], Any], type[Exception], str]] = {
    "path as pixels": (lambda b: b.chat("a.jpg"), ValueError, "load_image"),
    "PIL image as pixels": (lambda b: b.chat(Image.new("RGB", (4, 4))), ValueError, "load_image"),
    "integers as pixels": (lambda b: b.chat(pixels().astype(np.uint8)), ValueError, "uint8"),
    "complex pixels": (lambda b: b.chat(pixels().astype(complex)), ValueError, "complex128"),
    "three dimensions": (lambda b: b.chat(pixels(3, 112, 112)), ValueError, r"\(3, 112, 112\)"),
    "no tiles": (lambda b: b.chat(pixels(0, 3, 112, 112)), ValueError, "at least one tile"),
    "five channels": (lambda b: b.chat(pixels(1, 5, 112, 112)), ValueError, "3 channels, got 5"),
    "smaller than a patch": (lambda b: b.model.extract_feature(pixels(1, 3, 13, 13)),
                             ValueError, "13x13"),
    "odd grid": (lambda b: b.model.extract_feature(pixels(1, 3, 42, 42)), ValueError, "3x3"),
    "oblong tiles": (lambda b: b.model.extract_feature(pixels(1, 3, 28, 56)), ValueError, "square"),
    "tiles of another size": (lambda b: b.chat(pixels(1, 3, 224, 224)), ValueError, "64 rows"),
    "counts above the tiles": (lambda b: b.chat(pixels(), num_patches_list=[2]),
                               ValueError, "adds up to 2"),
    "counts without pixels": (lambda b: b.chat(None, "<image>", num_patches_list=[2]),
                              ValueError, "pixel_values: expected 2 tiles, got None"),
    "fractional counts": (lambda b: b.chat(pixels(), num_patches_list=[1.0]),
                          TypeError, "num_patches_list"),
    "one number as counts": (lambda b: b.chat(pixels(), num_patches_list=1),
                             TypeError, "num_patches_list"),
    "text as counts": (lambda b: b.chat(pixels(), num_patches_list="1"),
                       TypeError, "num_patches_list"),
    "negative counts": (lambda b: b.chat(pixels(2, 3, 112, 112), num_patches_list=[3, -1]),
                        ValueError, "num_patches_list"),
    "number as question": (lambda b: b.chat(None, 5), TypeError, "question: .*int"),
    "bytes as question": (lambda b: b.chat(None, b"x"), TypeError, "question: .*bytes"),
    "list as question": (lambda b: b.chat(None, ["x"]), TypeError, "question: .*list"),
    "lone surrogate": (lambda b: b.chat(None, "\ud800"), ValueError, "surrogate"),
    "text as history": (lambda b: b.chat(history="ab"), TypeError, "history.*str"),
    "numbers as history": (lambda b: b.chat(history=[1]), ValueError, "history.*1"),
    "messages as history": (lambda b: b.chat(history=[{"role": "user", "content": "a"}]),
                            ValueError, "history.*role"),
    "three in a turn": (lambda b: b.chat(history=[("a", "b", "c")]), ValueError, "history"),
    "text as config": (lambda b: b.chat(generation_config="x"), TypeError, "generation_config"),
    "IMG_CONTEXT typed": (lambda b: b.chat(pixels(), "<IMG_CONTEXT>"), ValueError, "16 rows.*17"),
    "unknown image token": (lambda b: b.chat(pixels(), IMG_CONTEXT_TOKEN="nope"),
                            ValueError, "IMG_CONTEXT_TOKEN: .*'nope'"),
    "one string as questions": (lambda b: b.batch(None, "abc", [0]), TypeError, "questions"),
    "number among questions": (lambda b: b.batch(None, ["a", 5], [0, 0]), TypeError, "questions"),
    "more counts than questions": (lambda b: b.batch(None, ["a"], [0, 0]), IndexError, "2.*1"),
    "no questions": (lambda b: b.batch(None, [], []), ValueError, "questions"),
    "counts apart from tiles": (lambda b: b.batch(pixels(), ["a", "b"], [1, 1]),
                                ValueError, "adds up to 2 tiles"),
    "negative ids": (lambda b: b.generate(input_ids=-b.input_ids), IndexError, "input_ids"),
    "ids beyond the vocabulary": (lambda b: b.generate(input_ids=np.full((1, 3), 2**62)),
                                  IndexError, "2202.*tokenizer"),
    "fractional ids": (lambda b: b.generate(input_ids=b.input_ids * 1.0), ValueError, "float64"),
    "text as ids": (lambda b: b.generate(input_ids="hello"), ValueError, "input_ids"),
    "no ids": (lambda b: b.generate(input_ids=None), TypeError, "input_ids"),
    "one dimension of ids": (lambda b: b.generate(input_ids=b.input_ids[0]),
                             ValueError, "2 dimensions"),
    "no tokens": (lambda b: b.generate(input_ids=b.input_ids[:, :0]), ValueError, "one token"),
    "ragged ids": (lambda b: b.generate(input_ids=[[1, 2], [3]]), ValueError, "one length"),
    "mask of another shape": (lambda b: b.generate(attention_mask=np.ones((1, 2), int)),
                              ValueError, "attention_mask"),
    "features of another width": (
        lambda b: b.generate(
            input_ids=b.image_ids(), pixel_values=pixels(), visual_features=pixels(1, 16, 5)
        ), ValueError, "visual_features.*128"),
    "features of NaN": (
        lambda b: b.generate(
            input_ids=b.image_ids(), pixel_values=pixels(),
            visual_features=np.full((1, 16, 128), np.nan),
        ), ValueError, "visual_features: .*NaN"),
    "features of more tiles": (
        lambda b: b.generate(
            input_ids=b.image_ids(), pixel_values=pixels(), visual_features=pixels(2, 16, 128)
        ), ValueError, "32 rows.*16"),
    "negative max_new_tokens": (lambda b: b.generate(max_new_tokens=-1),
                                ValueError, "max_new_tokens.*-1"),
    "absurd max_new_tokens": (lambda b: b.generate(max_new_tokens=10**12),
                              ValueError, "max_new_tokens"),
    "absurd num_beams": (lambda b: b.generate(num_beams=10**9), ValueError, "num_beams"),
    "temperature that is no number": (
        lambda b: b.generate(do_sample=True, temperature=float("nan")), ValueError, "temperature"),
    "unknown key": (lambda b: b.generate(foo=1), ValueError, "foo"),
    "no streamer": (lambda b: b.generate(streamer=5), TypeError, "streamer"),
}  # fmt: skip


@pytest.fixture
def bench(fast_model: Any, tokenizer: Any) -> Bench:
    return Bench(fast_model, tokenizer)


@pytest.mark.parametrize("name", CASES)
def test_error(bench: Bench, name: str) -> None:
    call, error, message = CASES[name]
    with pytest.raises(error, match=message):
        call(bench)
    assert bench.chat(None, "x") == bench.chat(None, "x")  # the model is as usable as before


def test_a_failing_call_leaves_the_history_alone(bench: Bench) -> None:
    history = [("a", "b")]
    for keywords in ({"num_patches_list": [2]}, {"generation_config": {"foo": 1}}):
        with pytest.raises(ValueError, match=r"num_patches_list|foo"):
            bench.chat(pixels(), "<image>", history=history, **keywords)
    assert history == [("a", "b")]


@pytest.mark.parametrize("value", ["float32", "torch.float32", np.float32, np.dtype("f4"), None])
def test_forms_of_float32(value: Any) -> None:
    model = internvl_native.AutoModel.from_pretrained(CHECKPOINT, torch_dtype=value)
    assert str(model.dtype).endswith("float32")


@pytest.mark.parametrize("value", ["int8", "float64", np.int32, 5, "half a byte"])
def test_dtypes_that_are_not_computed_in(value: Any) -> None:
    with pytest.raises(ValueError, match=r"torch_dtype.*float32, bfloat16, float16"):
        internvl_native.AutoModel.from_pretrained(CHECKPOINT, torch_dtype=value)


def test_forms_of_pixels_agree(bench: Bench) -> None:
    """Any float dtype, memory order and kind of integer list."""
    values = np.random.default_rng(0).integers(-8, 8, (2, 3, 112, 112)) / 4  # exact in 8 bits
    expected = bench.chat(values.astype(np.float32), "What?", num_patches_list=[2])
    for form in (
        values.astype(np.float64),
        values.astype(np.float16),
        np.asfortranarray(values.astype(np.float32)),
        values.astype(">f4"),
    ):
        counts = np.array([2], np.int32)
        assert bench.chat(form, "What?", num_patches_list=counts) == expected
