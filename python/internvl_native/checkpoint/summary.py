"""What a checkpoint is, from its config and the headers of its files: nothing large is read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path

from internvl_native.checkpoint.loader import Checkpoint, open_checkpoint
from internvl_native.configuration import InternVLChatConfig

ELEMENT_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
"""dtype of the weights -> bytes of one."""
_KEY_VALUE_BYTES = {"bfloat16": 2, "float16": 4, "float32": 4}  # of the activations beside them


@dataclass(frozen=True)
class CheckpointSummary:
    """The config of a chat checkpoint and the sizes of what its files hold."""

    config: InternVLChatConfig
    dtype: str
    """That of the first weights in the files."""
    files: dict[str, int]
    """Names of the weight files and their bytes."""
    parameters: dict[str, int]
    """Numbers in `vision_model`, `mlp1` and `language_model`."""

    @property
    def total_parameters(self) -> int:
        """All of them."""
        return sum(self.parameters.values())

    def weight_bytes(self, dtype: str) -> int:
        """Memory of the weights, loaded as `dtype`."""
        return self.total_parameters * ELEMENT_BYTES[dtype]

    def key_value_bytes(self, dtype: str) -> int:
        """Memory of the keys and values of one token beside weights of `dtype`."""
        llm = self.config.llm_config
        row = llm.num_key_value_heads * (llm.hidden_size // llm.num_attention_heads)
        return 2 * llm.num_hidden_layers * row * _KEY_VALUE_BYTES[dtype]


def summarize(config: InternVLChatConfig, folder: Path) -> CheckpointSummary:
    """The summary of a chat checkpoint's folder. Raises CheckpointError for files that are missing
    or damaged."""
    checkpoint = open_checkpoint(folder)
    return CheckpointSummary(config, checkpoint.dtype, _files(checkpoint), _parameters(checkpoint))


def _files(checkpoint: Checkpoint) -> dict[str, int]:
    paths = {Path(tensor.path) for tensor in checkpoint.tensors.values()}
    return {path.name: path.stat().st_size for path in paths}


def _parameters(checkpoint: Checkpoint) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for name, tensor in checkpoint.tensors.items():
        counts[name.partition(".")[0]] += prod(tensor.shape)
    return dict(counts)
