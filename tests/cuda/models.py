"""Questions to a model on the CUDA backend, and what its tests are run on."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.backend.numerics import random

from internvl_native import devices

# Of the largest value: both sum in float32, in different orders, and round where they store.
TOLERANCE = {"float32": 2e-5, "bfloat16": 4e-2, "float16": 5e-3}

MIB = 1 << 20

ON_GPU = pytest.param("GPU", marks=pytest.mark.cuda)

on_gpu = pytest.mark.parametrize("cuda", [ON_GPU], indirect=True)

emulated = pytest.mark.parametrize("cuda", ["emulated"], indirect=True)


def folders_of(cuda: Any) -> list[str]:
    """Where a backend finds its libraries, the stand-ins first."""
    return [str(Path(cuda.__file__).parent), *devices.library_folders()]


def tiles_of(model: Any, count: int, seed: int = 0) -> Any:
    size = model.config.force_image_size
    return random(count * 3 * size, size, seed=seed).reshape(count, 3, size, size)


def answer(model: Any, tokenizer: Any, tiles: int = 1, seed: int = 0, **settings: Any) -> Any:
    settings = {"max_new_tokens": 4, "do_sample": False, **settings}
    return model.chat(tokenizer, tiles_of(model, tiles, seed), "<image>\nDescribe it.", settings)


def counter(cuda: Any, name: str) -> Callable[[], int]:
    """A function of the stand-ins that counts something."""
    function = getattr(ctypes.CDLL(cuda.__file__), name)
    function.restype = ctypes.c_size_t
    return function  # type: ignore[no-any-return]
