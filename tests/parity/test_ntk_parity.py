"""Dynamic NTK scaling: a call's rotary table never outlives it, as it does in the reference."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.chat_cases import recorded_generate
from tests.support.goldens import DATA, read_json
from tests.support.implementation import Implementation, Models, load_tiles

STORED = read_json(DATA / "ntk_state.json")


def chat(impl: Implementation, model: Any, tokenizer: Any, call: dict[str, Any]) -> Any:
    pixels = None
    if call["image"] is not None:
        tiles = load_tiles(impl, call["image"], 112, call["max_num"])
        pixels = impl.tensor(tiles)
    with recorded_generate(model) as calls:
        config = {"max_new_tokens": 24, "do_sample": False}
        response = model.chat(tokenizer, pixels, call["question"], config)
    return impl.array(calls[0]["output"]).tolist(), response


@pytest.mark.usefixtures("native")
def test_calls_in_sequence_equal_fresh_models(
    impl: Implementation, models: Models, isa: str
) -> None:
    model = models(isa, DATA / STORED["ckpt"])
    tokenizer = impl.load_tokenizer(DATA / STORED["ckpt"])
    for call in STORED["calls"]:
        expected = call["fresh_model"]
        assert chat(impl, model, tokenizer, call) == (expected["output_ids"], expected["response"])


@pytest.mark.parametrize("index", range(len(STORED["calls"])))
def test_each_call_alone(impl: Implementation, models: Models, isa: str, index: int) -> None:
    model = models(isa, DATA / STORED["ckpt"])
    tokenizer = impl.load_tokenizer(DATA / STORED["ckpt"])
    call = STORED["calls"][index]
    expected = call["fresh_model"]
    assert chat(impl, model, tokenizer, call) == (expected["output_ids"], expected["response"])
