"""Model and configuration classes."""

from internvl_native import (
    InternVisionConfig,
    InternVisionModel,
    InternVLChatConfig,
    InternVLChatModel,
)

__all__ = ["InternVLChatConfig", "InternVLChatModel", "InternVisionConfig", "InternVisionModel"]
