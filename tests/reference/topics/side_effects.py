"""side_effects.json: what calls change (tests/support/side_effect_cases.py makes them)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.reference.torch_reference import TorchReference
from tests.support.goldens import read_json
from tests.support.side_effect_cases import SIDE_EFFECT_CASES, Scene


def _of_the_hugging_face_classes(model: Any) -> dict[str, Any]:
    return {
        "model_generation_config": model.generation_config.to_diff_dict(),
        "llm_generation_config": model.language_model.generation_config.to_diff_dict(),
        "num_samples": model.num_samples,
    }


def regenerate(impl: TorchReference, data: Path) -> dict[str, Any]:
    stored = read_json(data / "side_effects.json")
    checkpoint = data / stored["ckpt"]
    cases = []
    for entry in stored["cases"]:
        scene = Scene(impl, impl.load_model(checkpoint), impl.load_tokenizer(checkpoint))
        cases.append({"case": entry["case"], **SIDE_EFFECT_CASES[entry["case"]](scene)})
        if entry["case"] == "before any call":
            cases[-1].update(_of_the_hugging_face_classes(scene.model))
    kept = {key: value for key, value in stored.items() if key not in ("meta", "cases")}
    return {"side_effects.json": {**kept, "cases": cases}}
