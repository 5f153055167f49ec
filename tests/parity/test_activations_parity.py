"""The model's stages, one by one: float32 against the reference, bfloat16 against float32.

bfloat16 rounds differently in every implementation; what it may cost is measured by what it costs
the reference at the same stage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.goldens import DATA, EXTRA, read_json, read_safetensors
from tests.support.implementation import Implementation, Models, load_tiles

MAX_ABS_FLOAT32 = 2e-5  # of the largest value of the stage
REL_L2_FLOAT32 = 5e-6
BFLOAT16_ALLOWANCE = 1.25  # of the reference's own error

ENTRIES = {
    name: (folder, entry)
    for folder in (DATA, EXTRA)
    for name, entry in read_json(folder / "activations.json")["checkpoints"].items()
}


def run(
    impl: Implementation, models: Models, isa: str, name: str, dtype: str
) -> dict[str, np.ndarray]:
    """The taps in the shapes that activations.json gives."""
    folder, entry = ENTRIES[name]
    model = models(isa, folder / name, dtype)
    tokenizer = impl.load_tokenizer(folder / name)
    model.img_context_token_id = tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
    pixels = load_tiles(impl, entry["image"], entry["input_size"], entry["max_num"])
    pixel_values = impl.bfloat16(pixels) if dtype == "bfloat16" else impl.tensor(pixels)
    input_ids = impl.tensor(_stored(folder, name)["input_ids"].copy())
    taps = impl.taps(model, pixel_values, input_ids)
    unused = _layers_after(model.select_layer, entry)
    assert set(entry["taps"]) - set(taps) <= unused
    shapes = {tap: entry["taps"][tap]["shape"] for tap in entry["taps"] if tap in taps}
    return {tap: taps[tap].reshape(shape) for tap, shape in shapes.items()}


def _layers_after(select_layer: int, entry: dict[str, Any]) -> set[str]:
    """The vision layers above the one whose output is taken: they need not run."""
    count = sum(tap.startswith("vit.layer") for tap in entry["taps"])
    selected = select_layer if select_layer >= 0 else count + 1 + select_layer
    return {f"vit.layer{layer}" for layer in range(selected + 1, count + 1)}


def _stored(folder: Path, name: str) -> dict[str, np.ndarray]:
    return read_safetensors(folder / f"activations_{name}.safetensors")


def _errors(actual: np.ndarray, exact: np.ndarray) -> tuple[float, float]:
    difference = actual.astype(np.float64) - exact
    norm = np.linalg.norm(exact.astype(np.float64))
    return float(np.abs(difference).max()), float(np.linalg.norm(difference) / norm)


def _kept(tap: np.ndarray, entry: dict[str, Any]) -> np.ndarray:
    """The part of a stage that the file holds."""
    if "tiles" in entry:
        tap = tap[[0, -1]]
    return tap[:, entry["rows"]] if "rows" in entry else tap


@pytest.mark.parametrize("name", ENTRIES)
def test_float32(impl: Implementation, models: Models, isa: str, name: str) -> None:
    folder, entry = ENTRIES[name]
    stored = _stored(folder, name)
    for tap, actual in run(impl, models, isa, name, "float32").items():
        statistics = entry["taps"][tap]
        max_abs, rel_l2 = _errors(_kept(actual, statistics), stored[tap])
        assert max_abs <= MAX_ABS_FLOAT32 * statistics["absmax"], tap
        assert rel_l2 <= REL_L2_FLOAT32, tap
        assert np.linalg.norm(actual) == pytest.approx(statistics["l2"], rel=1e-5), tap
        assert np.abs(actual).max() == pytest.approx(statistics["absmax"], rel=1e-4), tap


@pytest.mark.parametrize("name", ENTRIES)
def test_bfloat16(
    impl: Implementation, models: Models, isa: str, exact_isa: str, name: str
) -> None:
    entry = ENTRIES[name][1]
    exact = run(impl, models, exact_isa, name, "float32")
    worse = {}
    for tap, actual in run(impl, models, isa, name, "bfloat16").items():
        max_abs, rel_l2 = _errors(actual, exact[tap])
        ratios = (
            max_abs / entry["taps"][tap]["bf16_max_abs"],
            rel_l2 / entry["taps"][tap]["bf16_rel_l2"],
        )
        if max(ratios) > BFLOAT16_ALLOWANCE:
            worse[tap] = ratios
    assert not worse, "error / reference's error, (max_abs, rel_l2)"
