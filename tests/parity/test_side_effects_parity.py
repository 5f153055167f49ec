"""What calls change beside returning an answer: histories, dicts, tokenizers, streams, prints."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support.goldens import DATA, read_json
from tests.support.implementation import Implementation, Models
from tests.support.side_effect_cases import SIDE_EFFECT_CASES, Scene

STORED = read_json(DATA / "side_effects.json")
CASES = {case["case"]: case for case in STORED["cases"]}
# Entries of the Hugging Face classes, which this package has no counterpart of.
ELSEWHERE = {"model_generation_config", "llm_generation_config", "num_samples"}


def run(impl: Implementation, models: Models, isa: str, name: str) -> dict[str, Any]:
    checkpoint = DATA / STORED["ckpt"]
    model = models(isa, checkpoint)
    model.img_context_token_id = None
    return SIDE_EFFECT_CASES[name](Scene(impl, model, impl.load_tokenizer(checkpoint)))


def check_error(impl: Implementation, actual: dict[str, Any], expected: dict[str, Any]) -> None:
    if impl.name == "reference":
        assert actual == expected
    else:
        assert not actual["ok"]
        assert actual["type"] in ("ValueError", "TypeError")
        assert len(actual["message"]) > 20


@pytest.mark.parametrize("name", [n for n in CASES if not n.startswith("generate output")])
def test_side_effects(impl: Implementation, models: Models, best_isa: str, name: str) -> None:
    actual = run(impl, models, best_isa, name)
    expected = {key: CASES[name][key] for key in CASES[name] if key not in {"case", *ELSEWHERE}}
    if "error" in expected:
        check_error(impl, actual.pop("error"), expected.pop("error"))
    assert actual == expected


def test_hidden_states(impl: Implementation, models: Models, best_isa: str) -> None:
    name = "generate output_hidden_states"
    actual, expected = run(impl, models, best_isa, name), CASES[name]
    for key in ("question", "steps", "per_step", "shapes"):
        assert actual[key] == expected[key]
    np.testing.assert_allclose(actual["last_norm"], expected["last_norm"], rtol=1e-4)
    assert {"sequences", "hidden_states"} <= set(actual["keys"])


def test_attentions(impl: Implementation, models: Models, best_isa: str) -> None:
    """The engine never holds attention matrices, and says so."""
    result = run(impl, models, best_isa, "generate output_attentions")["result"]
    if impl.name == "reference":
        assert "attentions" in result["value"]
    else:
        assert not result["ok"]
        assert "attentions" in result["message"]
