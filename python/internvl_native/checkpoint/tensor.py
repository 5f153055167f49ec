"""What the tensors of a checkpoint have in common, stored in a file or computed from others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from internvl_native import bfloat16
from internvl_native.checkpoint.safetensors import WEIGHT_DTYPES

if TYPE_CHECKING:
    from internvl_native._core import ByteSource


class CheckpointTensor(Protocol):
    """A tensor by its description; values are read when they are asked for."""

    @property
    def dtype(self) -> str:
        """As safetensors spells it: "BF16", "F16", "F32", ..."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def path(self) -> str:
        """The file that error messages name."""

    def location(self) -> tuple[ByteSource, int]:
        """Where the engine reads it: a source, and the offset of the first byte in it."""

    def read(self) -> npt.NDArray[Any]:
        """The values; bfloat16, which numpy lacks, as its uint16 bits."""


def read_float32(tensor: CheckpointTensor) -> npt.NDArray[np.float32]:
    """The values of a BF16, F16 or F32 tensor, in an array that the caller may change."""
    values = tensor.read()
    if tensor.dtype == "BF16":
        values = bfloat16.widen(values)
    result: npt.NDArray[np.float32] = np.require(values, np.float32, ["C", "W"])
    return result


def read_as(tensor: CheckpointTensor, dtype: str) -> npt.NDArray[Any]:
    """The values of a stored tensor as an array of `dtype`; bfloat16 as its uint16 bits."""
    values, stored = tensor.read(), WEIGHT_DTYPES[tensor.dtype]
    if stored == dtype:
        return values
    if stored == "bfloat16":
        values = bfloat16.widen(values)
    if dtype == "bfloat16":
        return bfloat16.rounded(values)
    with np.errstate(over="ignore"):  # what float16 cannot hold is infinite, as in torch
        return values.astype(dtype)
