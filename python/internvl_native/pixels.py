"""Pixel values on their way into the engine and features on their way out, where they lie: torch
tensors in the memory of the model's GPU are neither copied nor brought to the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from internvl_native import _core, arrays
from internvl_native.engine import Engine
from internvl_native.taps import recorders


def engine_pixels(
    engine: Engine, pixel_values: Any
) -> tuple[npt.NDArray[Any] | _core.LentArray, str]:
    """What the engine takes of ``pixel_values``, and its dtype. Errors as of ``pixel_array``."""
    if not arrays.lies_on(pixel_values, engine.device):
        return arrays.pixel_array(pixel_values)
    tensor, dtype = arrays.pixel_tensor(pixel_values)
    return engine.lend(tensor), dtype


def host_features(engine: Engine, pixel_values: Any) -> npt.NDArray[np.float32]:
    """(tiles, tokens, hidden_size)"""
    pixels, dtype = engine_pixels(engine, pixel_values)
    return engine.core.extract_feature(pixels, dtype, recorders(engine))


def public_features(engine: Engine, pixel_values: Any) -> Any:
    """The same as the kind of ``pixel_values``: an array, or a tensor of the model's dtype where
    the pixels lie."""
    core = engine.core
    if not arrays.lies_on(pixel_values, engine.device):
        return arrays.like(host_features(engine, pixel_values), pixel_values, core.dtype)
    torch = arrays.loaded_torch()
    pixels, dtype = engine_pixels(engine, pixel_values)
    config: Any = engine.config  # a chat model's: others have no features
    width = config.llm_config.hidden_size
    shape = (len(pixel_values), core.tokens_per_tile(pixels, dtype), width)
    features = torch.empty(shape, dtype=torch.float32, device=pixel_values.device)
    try:
        core.extract_feature_into(engine.lend(features), pixels, dtype, recorders(engine))
    finally:  # where it was interrupted, the GPU may still be writing
        engine.wait()
    return features.to(getattr(torch, core.dtype))
