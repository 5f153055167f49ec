"""extract_feature with every ps_version, select_layer and tile size, and the vision tower."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.support.goldens import DATA, EXTRA, read_json, read_safetensors
from tests.support.implementation import Implementation, Models, load_tiles

TOLERANCE = 1e-5  # of the largest value

ENTRIES = {}
for folder in (DATA, EXTRA):
    features = read_json(folder / "features.json")
    file = features["image"].split(",")[0]
    ENTRIES.update({entry["key"]: (folder, file, entry) for entry in features["entries"]})


def _config(settings: str) -> dict[str, Any]:
    """ "config select_layer -2" -> {"select_layer": -2}; other settings change no config."""
    words = settings.split()
    if words[0] != "config":
        return {}
    return {words[1]: words[2] if words[1] == "ps_version" else int(words[2])}


@pytest.mark.parametrize("key", ENTRIES)
def test_features(impl: Implementation, models: Models, isa: str, key: str) -> None:
    folder, file, entry = ENTRIES[key]
    model = models(isa, folder / entry["ckpt"], **_config(entry["settings"]))
    pixel_values = impl.tensor(load_tiles(impl, file, entry["input_size"]))
    if entry["settings"].startswith("vision_model"):
        output = model.vision_model(pixel_values=pixel_values)
        value = impl.array(getattr(output, key.rsplit(".", 1)[-1]))
    else:
        value = impl.array(model.extract_feature(pixel_values))
    assert list(value.shape) == entry["shape"]
    assert np.linalg.norm(value) == pytest.approx(entry["l2"], rel=1e-5)
    stored = read_safetensors(folder / "features.safetensors")[key]
    kept = value if entry["rows"] is None else value[:, entry["rows"]]
    assert np.abs(kept - stored).max() <= TOLERANCE * np.abs(stored).max()
