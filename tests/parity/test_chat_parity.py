"""Every call of chat.json: answers, token ids, histories, scores, errors."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from tests.support.chat_cases import run_case
from tests.support.goldens import DATA, EXTRA, read_json
from tests.support.implementation import Implementation, Models

# What chat.json says about the reference's robustness rather than about the result.
INFORMATION = {"float64_agrees", "perturbed_agrees", "min_logit_gap", "reference_bfloat16"}
# Logits within 1e-4 of the largest in size; sums of log probabilities alike.
TOLERANCE = 1e-4
DRAWN = ("response", "history", "output_ids")  # what a random generator decides
REFUSED = {"b/opt_max_new_neg"}  # the reference takes a negative count for one token
EVERY = 9  # of the cases, on the instruction sets that are not the fastest

CASES = {case["id"]: (DATA, case) for case in read_json(DATA / "chat.json")["cases"]}
CASES.update({case["id"]: (EXTRA, case) for case in read_json(EXTRA / "chat.json")["cases"]})


@cache
def _stored_scores(folder: Any) -> dict[str, np.ndarray]:
    return dict(np.load(folder / "scores.npz"))


def is_random(config: dict[str, Any]) -> bool:
    """Whether sampling has a choice, so that the result depends on the generator."""
    return bool(
        config.get("do_sample")
        and config.get("top_k") != 1
        and config.get("temperature", 1.0) > 1e-3
        and config.get("top_p", 1.0) > 1e-6
    )


def check(impl: Implementation, models: Models, isa: str, name: str) -> None:
    folder, case = CASES[name]
    model = models(isa, folder / case["ckpt"], **case.get("config", {}))
    result = run_case(impl, model, impl.load_tokenizer(folder / case["ckpt"]), case)
    expected = {key: case["expect"][key] for key in case["expect"] if key not in INFORMATION}
    check_error(impl, name, expected.pop("error", None), result)
    if impl.name != "reference" and "error" in result:
        return
    if impl.name != "reference" and is_random(case["generation_config"]):
        expected = {key: expected[key] for key in expected if key not in DRAWN}
    scores = expected.pop("sequences_scores", None)
    if scores is not None:
        np.testing.assert_allclose(result["sequences_scores"], scores, rtol=TOLERANCE)
    if "output_keys" in expected:  # the key-value cache is the engine's own
        keys = set(expected.pop("output_keys")) - {"past_key_values"}
        assert keys == set(result["output_keys"]) - {"past_key_values"}
    assert {key: result.get(key) for key in expected} == expected
    key = name.replace("/", ".")
    if key in _stored_scores(folder):
        check_scores(result["scores"], _stored_scores(folder)[key])


def check_error(
    impl: Implementation, name: str, expected: dict[str, Any] | None, result: dict[str, Any]
) -> None:
    """An error where the reference has one, with a message worth reading."""
    if expected is None and (impl.name == "reference" or name not in REFUSED):
        assert "error" not in result, result["error"]
        return
    assert "error" in result, "expected an error"
    if impl.name == "reference":
        assert result["error"] == expected
    else:
        assert isinstance(result["exception"], (ValueError, TypeError)), result["exception"]
        assert len(str(result["exception"])) > 10


def check_scores(scores: list[np.ndarray], expected: np.ndarray) -> None:
    """Processed scores: minus infinity in the same places, the rest within the tolerance."""
    for step, (actual, wanted) in enumerate(zip(scores, expected)):
        finite = np.isfinite(wanted)
        np.testing.assert_array_equal(np.isfinite(actual), finite, err_msg=f"step {step}")
        difference = np.abs(actual[finite] - wanted[finite]).max()
        assert difference <= TOLERANCE * np.abs(wanted[finite]).max()


@pytest.mark.parametrize("name", CASES)
def test_call(impl: Implementation, models: Models, best_isa: str, name: str) -> None:
    check(impl, models, best_isa, name)


@pytest.mark.parametrize("name", list(CASES)[::EVERY])
def test_call_on_other_instruction_sets(
    impl: Implementation, models: Models, other_isa: str, name: str
) -> None:
    check(impl, models, other_isa, name)
