"""``generate`` and ``extract_feature``: ids, masks, features, options."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.misuse.bench import WIDTH, Bench, Table, image_ids, pixels

import internvl_native
from internvl_native import CheckpointError, GenerationConfig

NAN = float("nan")


def unset_image_token(bench: Bench) -> Any:
    token = bench.model.img_context_token_id
    bench.model.img_context_token_id = None
    try:
        return bench.generate()
    finally:
        bench.model.img_context_token_id = token


def with_image_token(bench: Bench, token: Any) -> Any:
    before = bench.model.img_context_token_id
    bench.model.img_context_token_id = token
    try:
        return bench.generate(pixel_values=pixels(), input_ids=image_ids())
    finally:
        bench.model.img_context_token_id = before


def with_features(bench: Bench, features: Any) -> Any:
    return bench.generate(input_ids=image_ids(), pixel_values=pixels(), visual_features=features)


INPUTS: Table = {
    "the question": (
        lambda b: b.generate(input_ids="hello"), ValueError, "input_ids: expected integers",
    ),
    "pixels first, ids left out": (
        lambda b: b.model.generate(pixels()), TypeError, "input_ids: .*got None",
    ),
    "no ids": (lambda b: b.generate(input_ids=None), TypeError, "input_ids: .*got None"),
    "what the tokenizer returns": (
        lambda b: b.model.generate(**b.tokenizer("hello"), max_new_tokens=1), ValueError,
        r"input_ids: expected 2 dimensions \(batch, length\)",
    ),
    "the encoding in place of its ids": (
        lambda b: b.generate(input_ids=b.tokenizer("hello")), ValueError,
        "input_ids: expected integers, got BatchEncoding",
    ),
    "None in ids": (
        lambda b: b.generate(input_ids=[[1, None]]), ValueError, "input_ids: expected integers",
    ),
    "one dimension": (
        lambda b: b.generate(input_ids=b.input_ids[0]), ValueError, "input_ids: .*2 dimensions",
    ),
    "three dimensions": (
        lambda b: b.generate(input_ids=b.input_ids[None]), ValueError, "input_ids: .*2 dimensions",
    ),
    "no tokens": (
        lambda b: b.generate(input_ids=b.input_ids[:, :0]), ValueError, "input_ids: .*one token",
    ),
    "no rows": (
        lambda b: b.generate(input_ids=b.input_ids[:0]), ValueError, "input_ids: .*one",
    ),
    "an empty list": (lambda b: b.generate(input_ids=[]), ValueError, "input_ids: expected"),
    "ragged": (
        lambda b: b.generate(input_ids=[[1, 2], [3]]), ValueError, "input_ids: .*one length; pad",
    ),
    "fractions": (
        lambda b: b.generate(input_ids=b.input_ids * 1.0), ValueError,
        "input_ids: expected integers, got float64",
    ),
    "negative": (
        lambda b: b.generate(input_ids=-b.input_ids), IndexError,
        r"input_ids: expected ids in \[0, 2202\), got -",
    ),
    "-100 as padding": (
        lambda b: b.generate(input_ids=[[5, -100]]), IndexError, "input_ids: .*got -100 to 5",
    ),
    "beyond the vocabulary": (
        lambda b: b.generate(input_ids=np.full((1, 3), 2**62)), IndexError,
        "input_ids: .*2202.*tokenizer another checkpoint's",
    ),
    "beyond int64": (
        lambda b: b.generate(input_ids=[[2**70]]), ValueError, "input_ids: expected integers",
    ),
    "uint64 beyond int64": (
        lambda b: b.generate(input_ids=np.full((1, 3), 2**64 - 1, np.uint64)), IndexError,
        "input_ids: expected ids in",
    ),
    "inputs of transformers' generate": (
        lambda b: b.generate(input_ids=None, inputs=b.input_ids), TypeError, "input_ids: .*None",
    ),
    "embeddings": (
        lambda b: b.generate(inputs_embeds=pixels(1, 2, WIDTH)), ValueError, "inputs_embeds",
    ),
    "a mask of another length": (
        lambda b: b.generate(attention_mask=np.ones((1, 2), int)), ValueError,
        r"attention_mask: expected .*got.*\(1, 2\)",
    ),
    "a mask of one dimension": (
        lambda b: b.generate(attention_mask=np.ones(b.input_ids.shape[1])), ValueError,
        "attention_mask: expected .*shape",
    ),
    "a mask of other numbers": (
        lambda b: b.generate(attention_mask=b.input_ids), ValueError,
        "attention_mask: expected ones and zeros",
    ),
    "a mask of text": (
        lambda b: b.generate(attention_mask="ones"), ValueError, "attention_mask: .*'ones'",
    ),
    "a ragged mask": (
        lambda b: b.generate(attention_mask=[[1], [1, 1]]), ValueError, "attention_mask: .*length",
    ),
    "an unset image token": (
        unset_image_token, ValueError,
        "img_context_token_id: set model.img_context_token_id = tokenizer.convert_tokens_to_ids",
    ),
    "the image token as text": (
        lambda b: with_image_token(b, "<IMG_CONTEXT>"), TypeError,
        "img_context_token_id: expected an integer, got '<IMG_CONTEXT>'",
    ),
    "image tokens in a list": (
        lambda b: with_image_token(b, [5]), TypeError, r"img_context_token_id: .*got \[5\]",
    ),
    "pixels for a text without images": (
        lambda b: b.generate(pixel_values=pixels()), ValueError, "16 rows.*0 image tokens",
    ),
    "image tokens for more images": (
        lambda b: b.generate(input_ids=image_ids(2), pixel_values=pixels()), ValueError,
        "16 rows.*32 image tokens",
    ),
    "features of another width": (
        lambda b: with_features(b, pixels(1, 16, 5)), ValueError, "visual_features: .*128",
    ),
    "features of one dimension": (
        lambda b: with_features(b, pixels(16)), ValueError, "visual_features: .*128",
    ),
    "features of NaN": (
        lambda b: with_features(b, np.full((1, 16, WIDTH), np.nan)), ValueError,
        "visual_features: .*NaN",
    ),
    "features of integers": (
        lambda b: with_features(b, np.ones((1, 16, WIDTH), int)), ValueError,
        "visual_features: expected floats, got int64",
    ),
    "features of text": (
        lambda b: with_features(b, "x"), ValueError, "visual_features: expected floats",
    ),
    "ragged features": (
        lambda b: with_features(b, [[0.5], [0.5, 0.5]]), ValueError, "visual_features: .*length",
    ),
    "features of more tiles": (
        lambda b: with_features(b, pixels(2, 16, WIDTH)), ValueError, "32 rows.*16",
    ),
    "extract_feature of a path": (
        lambda b: b.model.extract_feature("a.jpg"), ValueError, "pixel_values: .*load_image",
    ),
    "extract_feature of None": (
        lambda b: b.model.extract_feature(None), ValueError, "pixel_values: .*got NoneType",
    ),
    "extract_feature of no tiles": (
        lambda b: b.model.extract_feature(pixels(0, 3, 112, 112)), ValueError,
        "pixel_values: expected at least one tile",
    ),
    "extract_feature of less than a patch": (
        lambda b: b.model.extract_feature(pixels(1, 3, 13, 13)), ValueError,
        "pixel_values: .*13x13",
    ),
    "extract_feature of an odd grid": (
        lambda b: b.model.extract_feature(pixels(1, 3, 42, 42)), ValueError, "3x3",
    ),
    "pixel_shuffle of rows": (
        lambda b: b.model.pixel_shuffle(pixels(1, 64, 8)), ValueError,
        r"x: expected .*\(tiles, width, height, channels\), got shape \(1, 64, 8\)",
    ),
    "pixel_shuffle of a list": (
        lambda b: b.model.pixel_shuffle([1]), ValueError, "x: expected .*got list",
    ),
    "pixel_shuffle of an odd grid": (
        lambda b: b.model.pixel_shuffle(pixels(1, 3, 3, 8)), ValueError, "x: .*whole, got 3 x 3",
    ),
}  # fmt: skip

OPTIONS: Table = {
    "unknown": (lambda b: b.options(foo=1), ValueError, r"`model_kwargs` .*\['foo'\].*typos"),
    "a typo": (lambda b: b.options(max_new_token=9), ValueError, "did you mean 'max_new_tokens'"),
    "negative max_new_tokens": (
        lambda b: b.options(max_new_tokens=-1), ValueError, "max_new_tokens.*-1",
    ),
    "absurd max_new_tokens": (
        lambda b: b.options(max_new_tokens=10**12), ValueError, "max_new_tokens.*1000000000000",
    ),
    "max_new_tokens as text": (
        lambda b: b.options(max_new_tokens="512"), TypeError, "max_new_tokens.*'512'",
    ),
    "max_new_tokens in a tuple": (
        lambda b: b.options(max_new_tokens=(512,)), TypeError, r"max_new_tokens.*\(512,\)",
    ),
    "infinite max_new_tokens": (
        lambda b: b.options(max_new_tokens=float("inf")), ValueError, "max_new_tokens.*inf",
    ),
    "absurd num_beams": (lambda b: b.options(num_beams=10**9), ValueError, "num_beams.*1000000000"),
    "fractional num_beams": (lambda b: b.options(num_beams=2.5), ValueError, "num_beams.*2.5"),
    "no beams": (lambda b: b.options(num_beams=0), ValueError, "num_beams"),
    "temperature NaN": (
        lambda b: b.options(do_sample=True, temperature=NAN), ValueError, "temperature.*nan",
    ),
    "temperature 0": (
        lambda b: b.options(do_sample=True, temperature=0.0), ValueError,
        "temperature.*do_sample=False",
    ),
    "temperature as int": (
        lambda b: b.options(do_sample=True, temperature=2), ValueError, "temperature.*2",
    ),
    "negative top_k": (lambda b: b.options(do_sample=True, top_k=-1), ValueError, "top_k.*-1"),
    "fractional top_k": (lambda b: b.options(do_sample=True, top_k=0.9), ValueError, "top_k.*0.9"),
    "top_p as text": (lambda b: b.options(do_sample=True, top_p="0.9"), TypeError, "top_p.*'0.9'"),
    "negative top_p": (lambda b: b.options(do_sample=True, top_p=-0.5), ValueError, "top_p.*-0.5"),
    "repetition_penalty 0": (
        lambda b: b.options(repetition_penalty=0.0), ValueError, "repetition_penalty.*0.0",
    ),
    "several sequences, greedily": (
        lambda b: b.options(num_return_sequences=2), ValueError, "num_return_sequences.*2",
    ),
    "more sequences than beams": (
        lambda b: b.options(num_beams=2, num_return_sequences=3), ValueError,
        "num_return_sequences.*3.*num_beams.*2",
    ),
    "bad words as text": (
        lambda b: b.options(bad_words_ids=["dog"]), ValueError, r"bad_words_ids.*\['dog'\]",
    ),
    "an id beyond the vocabulary": (
        lambda b: b.options(suppress_tokens=[99999]), ValueError, "suppress_tokens.*99999",
    ),
    "seed as text": (
        lambda b: b.options(do_sample=True, seed="1"), TypeError, "seed.*'1'",
    ),
    "max_time as text": (lambda b: b.options(max_time="5s"), TypeError, "max_time.*'5s'"),
    "early_stopping as text": (
        lambda b: b.options(early_stopping="yes"), ValueError, "early_stopping.*yes",
    ),
    "early_stopping in a list": (
        lambda b: b.options(early_stopping=[]), ValueError, r"early_stopping.*\[\]",
    ),
    "pad_token_id as text": (
        lambda b: b.options(pad_token_id="</s>"), TypeError, "pad_token_id.*'</s>'",
    ),
    "a dict as generation_config": (
        lambda b: b.generate(generation_config={"max_new_tokens": 2}), TypeError,
        "generation_config.*GenerationConfig, got dict",
    ),
    "a namespace as generation_config": (
        lambda b: b.generate(generation_config=SimpleNamespace(top_k=2)), TypeError,
        "generation_config.*got SimpleNamespace",
    ),
    "the class as generation_config": (
        lambda b: b.generate(generation_config=GenerationConfig), TypeError,
        "generation_config.*got the class GenerationConfig",
    ),
    "a config with a wrong value": (
        lambda b: b.generate(generation_config=GenerationConfig(num_beams="x", bos_token_id=1)),
        ValueError, "num_beams.*but is x",
    ),
    "assisted": (
        lambda b: b.generate(assistant_model=b.model), NotImplementedError, "assistant_model",
    ),
    "attentions": (
        lambda b: b.generate(output_attentions=True, return_dict_in_generate=True),
        NotImplementedError, "output_attentions",
    ),
    "manual_seed of text": (
        lambda b: internvl_native.manual_seed("1"),  # type: ignore[arg-type]
        TypeError, "seed.*integer, got str",
    ),
    "manual_seed of a fraction": (
        lambda b: internvl_native.manual_seed(1.0),  # type: ignore[arg-type]
        TypeError, "seed.*integer, got float",
    ),
    "GenerationConfig of a missing folder": (
        lambda b: GenerationConfig.from_pretrained("nowhere"), CheckpointError,
        "nowhere/generation_config.json: cannot read the file: there is none",
    ),
    "a positional GenerationConfig": (
        lambda b: GenerationConfig({"top_k": 2}), TypeError, "positional",  # type: ignore[call-arg]
    ),
    "threads as text": (
        lambda b: internvl_native.set_num_threads("4"),  # type: ignore[arg-type]
        TypeError, "num_threads: expected an integer, got '4'",
    ),
    "no threads": (
        lambda b: internvl_native.set_num_threads(0), ValueError, "num_threads: .*1 to .*got 0",
    ),
    "too many threads": (
        lambda b: internvl_native.set_num_threads(10**30), ValueError,
        "num_threads: expected an integer from 1 to",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", INPUTS)
def test_inputs(bench: Bench, case: str) -> None:
    bench.refuses(*INPUTS[case])


@pytest.mark.parametrize("case", OPTIONS)
def test_options(bench: Bench, case: str) -> None:
    bench.refuses(*OPTIONS[case])
