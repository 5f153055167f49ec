"""features.json and features.safetensors: extract_feature and the vision tower.

Kept inputs per entry: ckpt, input_size, rows, settings ("config <key> <value>" edits config.json).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.reference.torch_reference import TorchReference
from tests.support.goldens import read_json
from tests.support.implementation import load_tiles


def config_of(settings: str) -> dict[str, Any]:
    """ "config select_layer -2" -> {"select_layer": -2}; other settings change no config."""
    words = settings.split()
    if words[0] != "config":
        return {}
    _, key, value = words
    return {key: int(value) if value.lstrip("-").isdigit() else value}


def regenerate(impl: TorchReference, data: Path) -> dict[str, Any]:
    stored = read_json(data / "features.json")
    file = stored["image"].split(",")[0]
    entries, arrays = [], {}
    for entry in stored["entries"]:
        model = impl.load_model(data / entry["ckpt"], **config_of(entry["settings"]))
        pixel_values = torch.from_numpy(load_tiles(impl, file, entry["input_size"]))
        with torch.no_grad():
            if entry["settings"].startswith("vision_model"):
                output = model.vision_model(pixel_values=pixel_values)
                value = getattr(output, entry["key"].split(".")[-1]).numpy()
            else:
                value = model.extract_feature(pixel_values).numpy()
        rows = entry.get("rows")
        arrays[entry["key"]] = value if rows is None else value[:, rows]
        statistics = {
            "shape": list(value.shape),
            "sum": float(value.sum(dtype=np.float64)),
            "l2": float(np.linalg.norm(value.astype(np.float64))),
        }
        entries.append({**entry, **statistics})
    return {
        "features.json": {"image": stored["image"], "entries": entries},
        "features.safetensors": arrays,
    }
