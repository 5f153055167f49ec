"""Checkpoints: finding them, mapping their files, locating the weights in them."""

from internvl_native._core import CheckpointError
from internvl_native.checkpoint.loader import Checkpoint, open_checkpoint
from internvl_native.checkpoint.resolve import resolve_checkpoint
from internvl_native.checkpoint.weights import RowRange, unused_tensors, weight_map

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "RowRange",
    "open_checkpoint",
    "resolve_checkpoint",
    "unused_tensors",
    "weight_map",
]
