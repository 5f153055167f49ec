"""bfloat16, which numpy lacks: arrays of its bits, as uint16."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def widen(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """The values as float32, which holds each of them exactly."""
    return np.left_shift(bits, 16, dtype=np.uint32).view(np.float32)


def rounded(values: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    """The bits of the nearest bfloat16, ties to even, as torch rounds."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, nearest).astype(np.uint16)
