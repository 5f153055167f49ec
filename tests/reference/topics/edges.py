"""edges.json: what wrong or odd calls raise or return (tests/support/edge_cases.py makes them)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.reference.torch_reference import TorchReference
from tests.support.edge_cases import Edge, run_edge_case
from tests.support.goldens import read_json

LONGEST_MESSAGE = 500


def regenerate(impl: TorchReference, data: Path) -> dict[str, Any]:
    stored = read_json(data / "edges.json")
    model = impl.load_model(data / stored["ckpt"])
    cases = []
    for entry in stored["cases"]:
        impl.renew(model)
        edge = Edge(impl, model, impl.load_tokenizer(data / stored["ckpt"]))
        result = run_edge_case(edge, entry["case"])
        result.pop("exception", None)
        if "message" in result:
            result["message"] = result["message"][:LONGEST_MESSAGE]
        cases.append({"case": entry["case"], "call": entry["call"], **result})
    kept = {key: value for key, value in stored.items() if key not in ("meta", "cases")}
    return {"edges.json": {**kept, "cases": cases}}
