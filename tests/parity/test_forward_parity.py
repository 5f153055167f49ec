"""forward: losses, token log-probabilities and hidden states, padding included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support.forward_cases import forward_inputs, forward_results
from tests.support.goldens import DATA, read_json
from tests.support.implementation import Implementation, Models

CASES = {
    f"{case['checkpoint'].split('/')[-1]}-{case['what']}": case
    for case in read_json(DATA / "forward.json")["cases"]
}


@pytest.mark.parametrize("name", CASES)
def test_forward(impl: Implementation, models: Models, isa: str, name: str) -> None:
    case = CASES[name]
    model = models(isa, DATA / case["checkpoint"])
    output = model(**forward_inputs(impl, model, DATA, case))
    results: dict[str, Any] = forward_results(impl, case, output)
    assert set(results) == set(case["expect"])
    for what, expected in case["expect"].items():
        np.testing.assert_allclose(results[what], expected, rtol=1e-4, atol=5e-5, err_msg=what)
