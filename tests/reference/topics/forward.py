"""forward.json: losses, log-probabilities of the tokens and norms of hidden states of `forward`.

Kept inputs of a case: checkpoint, image, input_size, max_num, image_flags, input_ids, and, where
given, attention_mask, position_ids and labels. Checkpoints are named from tests/data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tests.reference.torch_reference import TorchReference
from tests.support.forward_cases import forward_inputs, forward_results
from tests.support.goldens import read_json


def regenerate(impl: TorchReference, data: Path) -> dict[str, Any]:
    cases = []
    for case in read_json(data / "forward.json")["cases"]:
        model = impl.load_model(data / case["checkpoint"])
        with torch.no_grad():
            output = model(**forward_inputs(impl, model, data, case))
        cases.append({**case, "expect": forward_results(impl, case, output)})
    return {"forward.json": {"cases": cases}}
