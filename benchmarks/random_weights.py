"""A checkpoint of a real shape that is in no file: one block of random numbers stands for every
tensor, so that 51 GB of weights take 2 GB of memory and the time of sending them to a device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from internvl_native import InternVLChatConfig, bfloat16
from internvl_native._core import ByteSource, ComputedBytes
from internvl_native.checkpoint.loader import Checkpoint
from internvl_native.engine import Engine
from internvl_native.modeling import InternVLChatModel

from . import checkpoint

_DRAWN = 1 << 22  # numbers; drawing billions takes minutes


class Block:
    """bfloat16 numbers, normal around `mean`, which tensors of up to `count` elements share."""

    def __init__(self, count: int, mean: float, deviation: float) -> None:
        drawn = np.random.default_rng(0).standard_normal(min(count, _DRAWN), dtype=np.float32)
        self.numbers = np.resize(bfloat16.rounded(drawn * deviation + np.float32(mean)), count)

    def source(self, count: int) -> ByteSource:
        """The first `count` of them."""
        return ComputedBytes(lambda: self.numbers[:count], 2 * count)


@dataclass(frozen=True)
class RandomTensor:
    """A CheckpointTensor of a block's numbers."""

    shape: tuple[int, ...]
    block: Block
    dtype: str = "BF16"
    path: str = "random weights"

    def location(self) -> tuple[ByteSource, int]:
        return self.block.source(math.prod(self.shape)), 0

    def read(self) -> npt.NDArray[Any]:
        return self.block.numbers[: math.prod(self.shape)].reshape(self.shape)


def random_checkpoint(shape: str) -> Checkpoint:
    """All tensors of a shape of benchmarks.checkpoint, bfloat16."""
    shapes = dict(checkpoint.tensors(shape))
    weights = Block(max(map(math.prod, shapes.values())), 0.0, 0.02)
    norms = Block(max(math.prod(dims) for dims in shapes.values() if len(dims) == 1), 1.0, 0.1)

    def tensor(name: str, dims: tuple[int, ...]) -> RandomTensor:
        is_norm = len(dims) == 1 and name.endswith("weight")
        return RandomTensor(dims, norms if is_norm else weights)

    tensors = {name: tensor(name, dims) for name, dims in shapes.items()}
    return Checkpoint(Path("random"), tensors, "bfloat16", {})


def random_model(shape: str, dtype: str, device: str) -> InternVLChatModel:
    """A chat model of a shape; raises DeviceError where the device lacks the memory."""
    config = InternVLChatConfig(**checkpoint.config(shape))
    engine = Engine(config, random_checkpoint(shape), dtype, device, {})
    return InternVLChatModel(config, engine)
