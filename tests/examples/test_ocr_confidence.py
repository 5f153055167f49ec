"""Confidences of fields: which tokens of an answer they are made of."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from examples import ocr_confidence
from tests.examples.test_examples import IMAGES, SMALL, TILE, run_example
from tests.support.goldens import DATA

from internvl_native import AutoModel, AutoTokenizer, load_image
from internvl_native.demo import CHECKPOINT

FIELDS = ["Date", "Total", "VAT"]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(CHECKPOINT)


def ids_of(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def test_confidence_is_of_the_values_tokens(tokenizer: Any) -> None:
    parts = [
        ("Date: ", None),
        ("2024-05-01", "Date"),
        ("\nTOTAL : ", None),
        ("12.50 \u20ac", "Total"),
        (" \nAnything else?<|im_end|>", None),
    ]
    token_ids, logprobs, expected = [], [], {}
    for number, (text, field) in enumerate(parts):
        ids = ids_of(tokenizer, text)
        values = [-0.1 * number - 0.01 * i for i in range(len(ids))]
        token_ids += ids
        logprobs += values
        if field:
            expected[field] = (text, math.exp(sum(values)))
    results = ocr_confidence.read_fields(tokenizer, token_ids, logprobs, FIELDS)
    assert [result["field"] for result in results] == FIELDS
    for result in results[:2]:
        value, confidence = expected[result["field"]]
        assert result["value"] == value
        assert result["confidence"] == pytest.approx(confidence)
    assert results[2] == {"field": "VAT", "value": None, "confidence": None}


def test_a_models_confidence(tokenizer: Any) -> None:
    """The model is made to answer with two fields; what it thinks of them is in its logits."""
    model = AutoModel.from_pretrained(CHECKPOINT, torch_dtype="float32")
    answer = [
        ids_of(tokenizer, part) for part in ("Date:", " today", "\nTotal:", " 12", "<|im_end|>")
    ]
    forced = [token for part in answer for token in part]

    def next_token(batch_id: int, input_ids: Any) -> list[int]:
        return [forced[len(input_ids) - 1]]

    pixel_values = load_image(IMAGES / "land.jpg", TILE, max_num=1, return_tensors="np")
    question = ocr_confidence.question_for(FIELDS)
    config = {"max_new_tokens": len(forced), "prefix_allowed_tokens_fn": next_token}
    text, output = model.chat(tokenizer, pixel_values, question, config, return_output=True)
    assert text == "Date: today\nTotal: 12"
    results = ocr_confidence.read_fields(tokenizer, output.token_ids, output.logprobs, FIELDS)

    config = dict(config, output_logits=True)
    _, output = model.chat(tokenizer, pixel_values, question, config, return_output=True)
    logits = np.stack(output.logits).astype(np.float64)
    table = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    chosen = table[np.arange(len(forced)), forced]
    ends = np.cumsum([len(part) for part in answer])
    for result, part in zip(results, (1, 3)):
        value = [
            i for i in range(ends[part - 1], ends[part]) if tokenizer.decode(forced[i]).strip()
        ]
        confidence = np.exp(chosen[value].sum())
        assert result["confidence"] == pytest.approx(confidence, rel=1e-4)


def test_noise_holds_no_fields() -> None:
    noise = ("--checkpoint", DATA / "ckpt_layernorm")
    output = run_example("ocr_confidence.py", "--fields", "Date", "Total", *noise, *SMALL)
    nothing = {"value": None, "confidence": None}
    assert list(map(json.loads, output.splitlines())) == [
        {"field": field, **nothing} for field in ("Date", "Total")
    ]
