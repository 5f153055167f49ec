"""``forward``: labels, masks, positions, flags, caches; ``language_model`` and ``taps``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.misuse.bench import WIDTH, Bench, Table, image_ids, pixels

LENGTH = 4  # of the bench's input_ids


def cache(bench: Bench, rows: int = 1) -> Any:
    ids = np.repeat(bench.input_ids, rows, axis=0)
    return bench.forward(input_ids=ids, use_cache=True).past_key_values


def positions(*values: int) -> Any:
    return np.array([values])


def language(bench: Bench, **keywords: Any) -> Any:
    return bench.model.language_model(**keywords)


def tap(bench: Bench, *names: Any) -> Any:
    with bench.model.taps(*names) as taps:
        bench.chat()
    return taps


FORWARD: Table = {
    "pixels alone": (lambda b: b.model(pixels()), TypeError, "input_ids: .*got None"),
    "ids first": (
        lambda b: b.model(b.input_ids), TypeError, "input_ids: .*got None",
    ),
    "text": (lambda b: b.forward(input_ids="hello"), ValueError, "input_ids: expected integers"),
    "one dimension": (lambda b: b.forward(input_ids=[1, 2]), ValueError, "input_ids: .*2 dimens"),
    "no tokens": (
        lambda b: b.forward(input_ids=b.input_ids[:, :0]), ValueError, "input_ids: .*one token",
    ),
    "ids beyond the vocabulary": (
        lambda b: b.forward(input_ids=[[2202]]), IndexError, "input_ids: .*2202",
    ),
    "pixels without image tokens": (
        lambda b: b.forward(pixel_values=pixels()), ValueError, "16 rows.*0 image tokens",
    ),
    "an unknown keyword": (lambda b: b.forward(foo=1), TypeError, "foo"),
    "embeddings in place of ids": (
        lambda b: b.forward(inputs_embeds=pixels(1, 2, WIDTH)), TypeError, "inputs_embeds",
    ),
    "flags of more tiles": (
        lambda b: b.forward(input_ids=image_ids(), pixel_values=pixels(), image_flags=[1, 1]),
        ValueError, r"image_flags: expected one for each of 1 tiles, got shape \(2,\)",
    ),
    "a flag alone": (
        lambda b: b.forward(input_ids=image_ids(), pixel_values=pixels(), image_flags=1),
        ValueError, r"image_flags: .*got shape \(\)",
    ),
    "fractional flags": (
        lambda b: b.forward(input_ids=image_ids(), pixel_values=pixels(), image_flags=[1.0]),
        ValueError, "image_flags: expected integers, got a list of float",
    ),
    "flags without the tile's tokens": (
        lambda b: b.forward(input_ids=image_ids(), pixel_values=pixels(), image_flags=[0]),
        ValueError, "0 rows.*16 image tokens",
    ),
    "labels of another shape": (
        lambda b: b.forward(labels=[[1, 2]]), ValueError,
        r"labels: expected shape \(1, 4\), that of input_ids, got \(1, 2\)",
    ),
    "labels of text": (lambda b: b.forward(labels="yes"), ValueError, "labels: expected integers"),
    "fractional labels": (
        lambda b: b.forward(labels=b.input_ids * 1.0), ValueError, "labels: .*integers.*float64",
    ),
    "labels beyond the vocabulary": (
        lambda b: b.forward(labels=b.input_ids + 5000), IndexError, "labels: .*2202",
    ),
    "labels of -1 to be ignored": (
        lambda b: b.forward(labels=-np.ones_like(b.input_ids)), IndexError, "labels: .*-100",
    ),
    "a mask of another shape": (
        lambda b: b.forward(attention_mask=[[1]]), ValueError,
        r"attention_mask: expected shape \(1, 4\).*got \(1, 1\)",
    ),
    "a mask of other numbers": (
        lambda b: b.forward(attention_mask=b.input_ids), ValueError,
        "attention_mask: expected ones and zeros",
    ),
    "a mask of four dimensions": (
        lambda b: b.forward(attention_mask=np.ones((1, 1, 4, 4))), ValueError,
        r"attention_mask: .*got \(1, 1, 4, 4\)",
    ),
    "positions of another shape": (
        lambda b: b.forward(position_ids=positions(0, 1)), ValueError,
        r"position_ids: expected shape \(1, 4\).*got \(1, 2\)",
    ),
    "negative positions": (
        lambda b: b.forward(position_ids=positions(-1, 0, 1, 2)), ValueError,
        r"position_ids: .*got -1 to 2",
    ),
    "fractional positions": (
        lambda b: b.forward(position_ids=positions(0, 1, 2, 3) * 1.0), ValueError,
        "position_ids: expected integers",
    ),
    "absurd positions": (
        lambda b: b.forward(position_ids=positions(0, 1, 2, 2**40)), ValueError, "position_ids",
    ),
    "a tuple as cache": (
        lambda b: b.forward(past_key_values=((pixels(), pixels()),)), TypeError,
        r"past_key_values: expected what forward\(use_cache=True\) returned, got tuple",
    ),
    "the output as cache": (
        lambda b: b.forward(past_key_values=b.forward()), TypeError,
        "past_key_values: .*got CausalLMOutputWithPast",
    ),
    "a cache of more rows": (
        lambda b: b.forward(past_key_values=cache(b, 2)), ValueError,
        "past_key_values: expected the cache of 1 sequences, got one of 2",
    ),
    "a mask without the cache's tokens": (
        lambda b: b.forward(past_key_values=cache(b), attention_mask=np.ones((1, 4))), ValueError,
        r"attention_mask: expected shape \(1, 8\).*got \(1, 4\)",
    ),
    "another mask for the cache's tokens": (
        lambda b: b.forward(
            past_key_values=cache(b), attention_mask=[[0, 1, 1, 1, 1, 1, 1, 1]]
        ), ValueError, "attention_mask: .*cached tokens",
    ),
    "keys of a cache": (
        lambda b: cache(b)[0], TypeError, r"past_key_values: .*select\(rows\)",
    ),
    "rows that a cache has not": (
        lambda b: cache(b).select([1]), ValueError, "rows: .*got 1|select: .*1",
    ),
    "negative rows of a cache": (
        lambda b: cache(b).select([-1]), ValueError, "rows: .*-1",
    ),
    "no rows of a cache": (lambda b: cache(b).select([]), ValueError, "rows: expected"),
    "rows of a cache as text": (
        lambda b: cache(b).select("0"), ValueError, "rows: expected integers",
    ),
    "fractional rows of a cache": (
        lambda b: cache(b).select([0.5]), ValueError, "rows: expected integers",
    ),
    "attentions": (
        lambda b: b.forward(output_attentions=True), ValueError, "output_attentions: .*taps",
    ),
    "logits_to_keep of a fraction": (
        lambda b: b.forward(logits_to_keep=0.5), ValueError, "logits_to_keep: .*got 0.5",
    ),
    "negative logits_to_keep": (
        lambda b: b.forward(logits_to_keep=-1), ValueError, "logits_to_keep: .*got -1",
    ),
}  # fmt: skip

LANGUAGE_MODEL: Table = {
    "nothing": (lambda b: language(b), ValueError, "input_ids, inputs_embeds: .*got neither"),
    "ids and embeddings": (
        lambda b: language(b, input_ids=b.input_ids, inputs_embeds=pixels(1, 2, WIDTH)),
        ValueError, "input_ids, inputs_embeds: .*got both",
    ),
    "embeddings of another width": (
        lambda b: language(b, inputs_embeds=pixels(1, 2, 5)), ValueError,
        r"inputs_embeds: expected \(batch, length, 128\), got shape \(1, 2, 5\)",
    ),
    "embeddings of a row": (
        lambda b: language(b, inputs_embeds=pixels(2, WIDTH)), ValueError, "inputs_embeds: .*shape",
    ),
    "embeddings of integers": (
        lambda b: language(b, inputs_embeds=b.input_ids), ValueError,
        "inputs_embeds: expected floats, got int64",
    ),
    "embeddings of NaN": (
        lambda b: language(b, inputs_embeds=pixels(1, 2, WIDTH) * np.nan), ValueError,
        "inputs_embeds: .*NaN",
    ),
    "no embeddings": (
        lambda b: language(b, inputs_embeds=pixels(1, 0, WIDTH)), ValueError, "one token",
    ),
    "pixels": (
        lambda b: language(b, pixel_values=pixels()), TypeError, "pixel_values",
    ),
    "input embeddings of text": (
        lambda b: b.model.get_input_embeddings()("x"), ValueError, "input_ids: expected integers",
    ),
    "input embeddings of None": (
        lambda b: b.model.get_input_embeddings()(None), TypeError, "input_ids: .*got None",
    ),
    "input embeddings of other ids": (
        lambda b: b.model.get_input_embeddings()([[5000]]), IndexError, "input_ids: .*2202",
    ),
    "output embeddings of ids": (
        lambda b: b.model.get_output_embeddings()(b.input_ids), ValueError,
        "hidden_states: expected floats",
    ),
    "output embeddings of another width": (
        lambda b: b.model.lm_head(pixels(2, 5)), ValueError,
        r"hidden_states: expected \(\.\.\., 128\), got shape \(2, 5\)",
    ),
    "output embeddings of a number": (
        lambda b: b.model.lm_head(0.5), ValueError, r"hidden_states: .*got shape \(\)",
    ),
}  # fmt: skip

TAPS: Table = {
    "no name": (lambda b: tap(b), ValueError, "taps: expected at least one of vit.embeddings"),
    "another name": (
        lambda b: tap(b, "vit.layer99"), ValueError, "taps: 'vit.layer99' matches none of vit",
    ),
    "one of torch's names": (
        lambda b: tap(b, "vision_model.encoder.layers.0"), ValueError, "taps: .*matches none of",
    ),
    "a layer's number": (lambda b: tap(b, 3), TypeError, "taps: expected names .*got 3"),
    "a list": (lambda b: tap(b, ["llm.norm"]), TypeError, r"taps: .*got \['llm.norm'\]"),
    "None": (lambda b: tap(b, None), TypeError, "taps: .*got None"),
    "what was not asked for": (
        lambda b: tap(b, "llm.norm")["llm.layer1"], KeyError, "llm.layer1",
    ),
    "what was not computed": (
        lambda b: tap(b, "vit.layer1", "llm.norm")["vit.layer1"], KeyError, "vit.layer1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FORWARD)
def test_forward(bench: Bench, case: str) -> None:
    bench.refuses(*FORWARD[case])


@pytest.mark.parametrize("case", LANGUAGE_MODEL)
def test_language_model(bench: Bench, case: str) -> None:
    bench.refuses(*LANGUAGE_MODEL[case])


@pytest.mark.parametrize("case", TAPS)
def test_taps(bench: Bench, case: str) -> None:
    bench.refuses(*TAPS[case])
