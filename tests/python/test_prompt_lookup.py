"""prompt_lookup_num_tokens on the engine: several tokens in one pass are those of single steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support.chat_cases import run_case
from tests.support.goldens import DATA, EXTRA, read_json
from tests.support.implementation import Models, NativeImplementation

from internvl_native import AutoModel, _core
from internvl_native.decoder_inputs import DecoderInputs, generation_positions
from internvl_native.generation import prepare_generation

LOOKUP = {"prompt_lookup_num_tokens": 3}
IMPLEMENTATION = NativeImplementation()
GREEDY = {
    case["id"]: (folder, case)
    for folder in (DATA, EXTRA)
    for case in read_json(folder / "chat.json")["cases"]
    if case["call"] == "chat"
    and "response" in case["expect"]
    and case["generation_config"].get("num_beams", 1) == 1
    and not case["generation_config"].get("do_sample")
    and not case["generation_config"].get("penalty_alpha")
    and case["generation_config"].get("max_new_tokens", 1) > 0  # negative counts are refused
}


@pytest.mark.parametrize("name", GREEDY)
def test_recorded_answers(models: Models, name: str) -> None:
    folder, recorded = GREEDY[name]
    model = models(_core.cpu_isas()[-1], folder / recorded["ckpt"], **recorded.get("config", {}))
    tokenizer = IMPLEMENTATION.load_tokenizer(folder / recorded["ckpt"])
    got = run_case(IMPLEMENTATION, model, tokenizer, recorded, **LOOKUP)
    assert got["response"] == recorded["expect"]["response"]
    assert got["output_ids"] == recorded["expect"]["output_ids"]


def logits_and_passes(model: Any, ids: Any, **options: Any) -> tuple[Any, Any, int]:
    """Token ids, the logits of each, and the passes through the decoder after the prompt's."""
    config, mask = model.config.llm_config, np.ones_like(ids, np.uint8)
    plan = prepare_generation(
        {"eos_token_id": -1, "output_logits": True, "return_dict_in_generate": True, **options},
        model_config=config,
    )
    session = DecoderInputs.from_ids(ids, config).session(
        model._core, mask, generation_positions(mask), []
    )
    output = plan.run(lambda: session)
    return output.sequences, np.stack(output.logits), session.passes


@pytest.mark.parametrize("options", [{}, {"do_sample": True, "seed": 1, "temperature": 0.05}])
def test_bits(model: Any, options: dict[str, Any]) -> None:
    """In every dtype and on every instruction set, across pages of the cache."""
    ids = np.tile(np.random.default_rng(0).integers(3, 2000, 9), 11)[None]
    tokens, passes = [], []
    for count in (None, 1, 5):
        found = logits_and_passes(
            model, ids, max_new_tokens=90, prompt_lookup_num_tokens=count, **options
        )
        tokens.append(found[:2])
        passes.append(found[2])
    for sequences, logits in tokens[1:]:
        np.testing.assert_array_equal(sequences, tokens[0][0])
        np.testing.assert_array_equal(logits, tokens[0][1])
    assert passes[0] == 89
    assert passes[2] <= passes[1] < 89


@pytest.mark.parametrize("checkpoint", [DATA / "ckpt_ntk", EXTRA / "ckpt_dynamic"])
def test_dynamic_scaling(checkpoint: Any) -> None:
    """Where each length has a rotary table of its own, tokens go one by one."""
    model = AutoModel.from_pretrained(checkpoint)
    limit = model.config.llm_config.max_position_embeddings
    ids = np.tile(np.random.default_rng(0).integers(3, 200, 5), limit)[None, : limit - 20]
    options = {"max_new_tokens": 60, "repetition_penalty": 0.5}
    expected = logits_and_passes(model, ids, **options)
    found = logits_and_passes(model, ids, prompt_lookup_num_tokens=4, **options)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    assert 39 < found[2] < expected[2] == 59


def test_taps_and_hidden_states(fast_model: Any, tokenizer: Any) -> None:
    """Neither has rows of tokens that were not taken."""
    config = {"max_new_tokens": 20, "output_hidden_states": True}
    results = []
    for extra in ({}, LOOKUP):
        with fast_model.taps("llm.layer1") as taps:
            _, output = fast_model.chat(
                tokenizer, None, "one two one two one two", {**config, **extra}, return_output=True
            )
        results.append((taps["llm.layer1"], np.concatenate([s[-1] for s in output.hidden_states])))
    for one, other in zip(*results):
        np.testing.assert_array_equal(one, other)


def test_a_batch_is_refused(fast_model: Any, tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="`prompt_lookup_num_tokens` works on one prompt, got 2"):
        fast_model.batch_chat(tokenizer, None, ["a", "b"], dict(LOOKUP), [[], []])
