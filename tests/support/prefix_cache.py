"""What tests of `model.prefix_cache` share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from internvl_native import load_image

from .goldens import DATA

CHECKPOINT = DATA / "ckpt_rmsnorm"
CONFIG = {"max_new_tokens": 5, "min_new_tokens": 4, "output_logits": True}
GIB = 1 << 30


def image(name: str, max_num: int = 2) -> npt.NDArray[np.float32]:
    path = DATA / "images" / name
    tiles: npt.NDArray[np.float32] = load_image(
        path, input_size=112, max_num=max_num, return_tensors="np"
    )
    return tiles


@contextmanager
def empty_cache(model: Any, max_bytes: int = GIB) -> Iterator[Any]:
    """The cache of a model that other tests use, too: as if nothing had been asked before."""
    cache, before = model.prefix_cache, model.prefix_cache.max_bytes
    cache.clear()
    cache.max_bytes = max_bytes
    cache.computed_tiles = cache.reused_tiles = 0
    cache.computed_tokens = cache.reused_tokens = 0
    try:
        yield cache
    finally:
        cache.clear()
        cache.max_bytes = before
