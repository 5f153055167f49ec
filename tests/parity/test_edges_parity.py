"""Wrong and odd calls: the reference's value where it returns one, an error where it fails."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.edge_cases import EDGE_CASES, Edge, run_edge_case
from tests.support.goldens import DATA, EXTRA, read_json
from tests.support.implementation import Implementation, Models

# Its prompts were not recorded; tests/data/extra has the case with known ones.
UNRECORDED = "generate right padding"
# What the reference refuses and this package takes: pixels come in any float dtype, from numpy too,
# and batches have histories.
ACCEPTED = {
    "bf16 pixels into float32 weights",
    "numpy pixels",
    "batch_chat return_history",
}
ERRORS = (ValueError, TypeError, IndexError, NotImplementedError)

CASES = {
    f"{ckpt}-{case['case']}": (folder / ckpt, case)
    for folder in (DATA, EXTRA)
    for ckpt in [read_json(folder / "edges.json")["ckpt"]]
    for case in read_json(folder / "edges.json")["cases"]
    if (folder, case["case"]) != (DATA, UNRECORDED)
}


@pytest.fixture
def edge_case(
    request: pytest.FixtureRequest, impl: Implementation, models: Models, best_isa: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The stored entry, and what came of the call."""
    checkpoint, stored = CASES[request.param]
    model = models(best_isa, checkpoint)
    edge = Edge(impl, model, impl.load_tokenizer(checkpoint))
    return stored, run_edge_case(edge, stored["case"])


def test_every_case_is_recorded() -> None:
    assert {stored["case"] for _, stored in CASES.values()} == set(EDGE_CASES)


@pytest.mark.parametrize("edge_case", CASES, indirect=True)
def test_edge(impl: Implementation, edge_case: tuple[dict[str, Any], dict[str, Any]]) -> None:
    stored, result = edge_case
    if stored["ok"]:
        assert result["ok"], result
        assert result["value"] == stored["value"]
    elif impl.name == "reference":
        assert result["type"] == stored["type"]
    elif stored["case"] in ACCEPTED:
        assert result["ok"], result
    else:
        assert not result["ok"], result
        assert isinstance(result["exception"], ERRORS), repr(result["exception"])
        assert len(result["message"]) > 20
