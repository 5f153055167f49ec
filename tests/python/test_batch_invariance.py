"""A sample's numbers are the same bits whatever is computed beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support.goldens import DATA
from tests.support.implementation import Models

import internvl_native

STEPS = 3
PROMPTS = [
    "<|im_start|>user\n<image>\nWhat is it?<|im_end|><|im_start|>assistant\n",
    "<|im_start|>user\nHi<|im_end|><|im_start|>assistant\n",
    "<|im_start|>user\nTell me a much longer story about <image> and a street, please."
    "<|im_end|><|im_start|>assistant\n",
]


def tiles(model: Any, count: int) -> np.ndarray:
    size = model.config.force_image_size
    generator = np.random.default_rng(0)
    return generator.standard_normal((count, 3, size, size), dtype=np.float32)


def scores(model: Any, tokenizer: Any, rows: list[int]) -> np.ndarray:
    """(STEPS, rows, vocabulary) raw scores of PROMPTS[rows], which are padded on the left."""
    image = "<img>" + "<IMG_CONTEXT>" * model.num_image_token + "</img>"
    texts = [PROMPTS[row].replace("<image>", image) for row in rows]
    tokenizer.padding_side = "left"
    inputs = tokenizer(texts, return_tensors="np", padding=True)
    images = [index for index, row in enumerate((0, 2)) if row in rows]
    output = model.generate(
        pixel_values=tiles(model, 2)[images] if images else None,
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        max_new_tokens=STEPS,
        min_new_tokens=STEPS,
        output_scores=True,
        return_dict_in_generate=True,
    )
    return np.stack(output.scores)


@pytest.mark.parametrize("row", range(len(PROMPTS)))
def test_alone_and_in_a_padded_batch(model: Any, tokenizer: Any, row: int) -> None:
    together = scores(model, tokenizer, [0, 1, 2])
    np.testing.assert_array_equal(together[:, row], scores(model, tokenizer, [row])[:, 0])


def test_more_padding(model: Any, tokenizer: Any) -> None:
    padded = scores(model, tokenizer, [0])
    image = "<img>" + "<IMG_CONTEXT>" * model.num_image_token + "</img>"
    ids = np.asarray(tokenizer(PROMPTS[0].replace("<image>", image))["input_ids"])
    pad = np.full(77, tokenizer.pad_token_id)
    output = model.generate(
        pixel_values=tiles(model, 2)[:1],
        input_ids=np.concatenate([pad, ids])[None],
        attention_mask=np.concatenate([np.zeros_like(pad), np.ones_like(ids)])[None],
        max_new_tokens=STEPS,
        min_new_tokens=STEPS,
        output_scores=True,
        return_dict_in_generate=True,
    )
    np.testing.assert_array_equal(np.stack(output.scores), padded)


def test_one_tile_and_forty(model: Any) -> None:
    pixel_values = tiles(model, 40)
    together = model.extract_feature(pixel_values)
    for index in (0, 1, 17, 39):
        alone = model.extract_feature(pixel_values[index : index + 1])
        np.testing.assert_array_equal(together[index], alone[0])


@pytest.mark.usefixtures("restore_threads")
@pytest.mark.parametrize("threads", [2, 3, 7])
def test_number_of_threads(model: Any, tokenizer: Any, threads: int) -> None:
    pixel_values = tiles(model, 5)
    results = []
    for count in (1, threads):
        internvl_native.set_num_threads(count)
        results.append((model.extract_feature(pixel_values), scores(model, tokenizer, [2, 0])))
    for one, several in zip(*results):
        np.testing.assert_array_equal(one, several)


def test_longer_than_a_chunk_of_prefill(models: Models, isa: str, dtype: str) -> None:
    """A prompt of some thousand tokens, in a batch with a short one and alone."""
    model = models(isa, DATA / "extra" / "ckpt_llama", dtype)
    model.img_context_token_id = -1
    generator = np.random.default_rng(1)
    ids = generator.integers(3, 400, (2, 1500))
    mask = np.ones_like(ids)
    mask[1, :1400] = 0

    def last(rows: slice, start: int) -> np.ndarray:
        output = model.generate(
            input_ids=ids[rows, start:],
            attention_mask=mask[rows, start:],
            max_new_tokens=1,
            output_scores=True,
            return_dict_in_generate=True,
        )
        return np.asarray(output.scores[0])

    together = last(slice(None), 0)
    np.testing.assert_array_equal(together[:1], last(slice(0, 1), 0))
    np.testing.assert_array_equal(together[1:], last(slice(1, 2), 1400))
