"""LoRA: weights that are W + scale * B A, computed when they are read.

A merged weight takes the place of the stored one among a checkpoint's tensors, so nothing after
this knows about adapters. Only one is in memory at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np
import numpy.typing as npt

from internvl_native._core import ByteSource, ComputedBytes
from internvl_native.checkpoint.problems import raise_problems
from internvl_native.checkpoint.safetensors import WEIGHT_DTYPES
from internvl_native.checkpoint.tensor import CheckpointTensor, read_float32

_PART = re.compile(
    r"(?P<module>.+)\.(?P<part>lora_(?:embedding_)?[AB]|lora_magnitude_vector)"
    r"(?:\.default)?(?:\.weight)?"
)
_PAIRS = {"lora_A": "lora_B", "lora_embedding_A": "lora_embedding_B"}
_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class LowRankUpdate:
    """What an adapter adds to the weight of one module."""

    lora_a: CheckpointTensor
    """(rank, in features...); of an embedding (rank, vocabulary)."""
    lora_b: CheckpointTensor
    """(out features, rank, 1...); of an embedding (embedding dimension, rank)."""
    is_embedding: bool
    magnitude: CheckpointTensor | None
    """Of DoRA: (out features), the norms of the merged rows."""
    scale: float

    @property
    def rank(self) -> int:
        return self.lora_a.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the weight, seen as a matrix."""
        columns, rows = int(np.prod(self.lora_a.shape[1:])), self.lora_b.shape[0]
        return (columns, rows) if self.is_embedding else (rows, columns)

    def add_to(self, matrix: npt.NDArray[np.float32]) -> None:
        """Changes the weight in place, a block of rows at a time."""
        right = read_float32(self.lora_a).reshape(self.rank, -1)
        left = read_float32(self.lora_b).reshape(-1, self.rank)
        if self.is_embedding:
            left, right = right.T, left.T
        block = max(1, _BLOCK_BYTES // max(1, matrix[:1].nbytes))
        magnitude = None if self.magnitude is None else read_float32(self.magnitude).ravel()
        for start in range(0, len(matrix), block):
            rows = slice(start, start + block)
            delta = left[rows] @ right
            delta *= np.float32(self.scale)
            matrix[rows] += delta
            if magnitude is not None:
                norms = np.linalg.norm(matrix[rows], axis=1)
                matrix[rows] *= (magnitude[rows] / norms)[:, None]


@dataclass(frozen=True)
class MergedTensor:
    """A weight with an adapter's update in it, in float32: the engine rounds it once."""

    base: CheckpointTensor
    update: LowRankUpdate

    @property
    def dtype(self) -> str:
        return "F32"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape

    @property
    def path(self) -> str:
        return self.base.path

    def location(self) -> tuple[ByteSource, int]:
        return ComputedBytes(self.read, int(np.prod(self.shape)) * 4), 0

    def read(self) -> npt.NDArray[np.float32]:
        """The merged values."""
        values = read_float32(self.base)
        self.update.add_to(values.reshape(len(values), -1))
        return values


def is_lora_tensor(name: str) -> bool:
    """Whether a tensor of this name is a part of a LoRA layer."""
    return _PART.fullmatch(name) is not None


def low_rank_updates(
    path: Path,
    tensors: Mapping[str, CheckpointTensor],
    scale_of: Callable[[str, int], float],
) -> dict[str, LowRankUpdate]:
    """The updates that the LoRA tensors of `path` make, by the name of their module.

    `scale_of(module, rank)` is the factor of B A; it raises ValueError for a rank that should not
    be. Raises one CheckpointError for halves without the other and shapes that do not fit.
    """
    parts: dict[str, dict[str, CheckpointTensor]] = {}
    for name, tensor in tensors.items():
        match = _PART.fullmatch(name)
        if match:
            parts.setdefault(match["module"], {})[match["part"]] = tensor
    updates, problems = {}, []
    for module, tensors_of in parts.items():
        try:
            updates[module] = _update(module, tensors_of, scale_of)
        except ValueError as error:
            problems.append(f"{module!r}: {error}")
    raise_problems(path, "LoRA layers that are not whole", problems)
    return updates


def _update(
    module: str, parts: Mapping[str, CheckpointTensor], scale_of: Callable[[str, int], float]
) -> LowRankUpdate:
    first = "lora_embedding_A" if any("embedding" in part for part in parts) else "lora_A"
    second = _PAIRS[first]
    lacking = [part for part in (first, second) if part not in parts]
    if lacking or len(parts.keys() - {"lora_magnitude_vector"}) > 2:
        raise ValueError(f"expected {first} and {second}, got {', '.join(sorted(parts))}")
    lora_a, lora_b, magnitude = parts[first], parts[second], parts.get("lora_magnitude_vector")
    for part, tensor in parts.items():
        if tensor.dtype not in WEIGHT_DTYPES:
            expected = ", ".join(WEIGHT_DTYPES)
            raise ValueError(f"{part}: expected a dtype of {expected}, got {tensor.dtype}")
    is_vector = len(lora_a.shape) < 2 or len(lora_b.shape) < 2
    if is_vector or lora_a.shape[0] != lora_b.shape[1] or any(n != 1 for n in lora_b.shape[2:]):
        raise ValueError(
            f"expected {first} of shape (rank, ...) and {second} of shape (..., rank), "
            f"got {lora_a.shape} and {lora_b.shape}"
        )
    update = LowRankUpdate(
        lora_a, lora_b, "embedding" in first, magnitude, scale_of(module, lora_a.shape[0])
    )
    if magnitude is None:
        return update
    if update.is_embedding or len(lora_a.shape) > 2:
        raise ValueError("use_dora: expected a linear layer, got an embedding or a convolution")
    if magnitude.shape != (lora_b.shape[0],):
        raise ValueError(
            f"lora_magnitude_vector: expected shape ({lora_b.shape[0]},), got {magnitude.shape}"
        )
    return update


def merge_updates(
    path: Path,
    tensors: Mapping[str, CheckpointTensor],
    updates: Iterable[tuple[str, LowRankUpdate]],
) -> dict[str, CheckpointTensor]:
    """The tensors with the updates of `path` merged into the named weights.

    Raises one CheckpointError for weights that are missing, of another shape or no floats.
    """
    merged, problems = dict(tensors), []
    for name, update in updates:
        base = merged.get(name)
        where = f"{name!r}: expected a weight of shape {update.shape}"
        if base is None:
            problems.append(f"{where}, got none")
        elif not base.shape or (base.shape[0], int(np.prod(base.shape[1:]))) != update.shape:
            problems.append(f"{where}, got {base.shape} in {base.path}")
        elif base.dtype not in WEIGHT_DTYPES:
            problems.append(f"{where} of floats, got {base.dtype} in {base.path}")
        else:
            merged[name] = MergedTensor(base, update)
    raise_problems(path, "LoRA layers that fit no weight", problems)
    return merged
