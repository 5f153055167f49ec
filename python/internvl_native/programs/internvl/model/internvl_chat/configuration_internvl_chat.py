"""The configuration of chat models."""

from internvl_native import InternVLChatConfig

__all__ = ["InternVLChatConfig"]
