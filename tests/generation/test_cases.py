"""Whole calls against transformers 4.37.2, recorded by tests/reference/generation_cases.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from internvl_native.generation import generate

from .hash_model import HashModel, model_config

CASES = json.loads(Path(__file__).with_name("cases.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["seed"]))
def test_output_is_that_of_transformers(case: dict[str, Any]) -> None:
    parameters = dict(case["parameters"], seed=case["seed"])
    if "sequence_bias" in parameters:
        parameters["sequence_bias"] = {tuple(t): b for t, b in parameters["sequence_bias"]}
    model = HashModel(case["prompts"], case["vocab_size"])
    output = generate(model, parameters, model_config=model_config(case["vocab_size"]))
    if "scores" not in case:
        assert output.tolist() == case["sequences"]
        return
    assert output.sequences.tolist() == case["sequences"]
    assert output.sequences.dtype == np.int64
    assert len(output.scores) == case["scores"]
    sums = [row[np.isfinite(row)].sum(dtype=np.float64) for row in output.scores[-1]]
    np.testing.assert_allclose(sums, case["score_sums"], rtol=1e-5, atol=1e-3)
    assert ("sequences_scores" in output) == ("sequences_scores" in case)
    if "sequences_scores" in case:
        np.testing.assert_allclose(output.sequences_scores, case["sequences_scores"], rtol=1e-5)
        assert output.beam_indices.tolist() == case["beam_indices"]
