"""Model and configuration classes."""

from internvl_native import InternVLChatConfig, InternVLChatModel
from internvl_native.configuration import InternVisionConfig

__all__ = ["InternVLChatConfig", "InternVLChatModel", "InternVisionConfig"]
