"""`mlp1` of InternVLChatModel: LayerNorm, Linear, GELU, Linear."""

from __future__ import annotations

from internvl_native.checkpoint.table import Table, linear, norm
from internvl_native.configuration import InternVLChatConfig


def projector(config: InternVLChatConfig) -> Table:
    """The numbers are the positions in the reference's `nn.Sequential`."""
    shuffled_size = config.vision_config.hidden_size * config.downsample_factor**2
    hidden_size = config.llm_config.hidden_size
    return {
        **norm("norm", "0", shuffled_size, bias=True),
        **linear("linear1", "1", hidden_size, shuffled_size),
        **linear("linear2", "3", hidden_size, hidden_size),
    }
