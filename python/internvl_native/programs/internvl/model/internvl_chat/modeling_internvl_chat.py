"""The chat model."""

from internvl_native import InternVLChatModel

__all__ = ["InternVLChatModel"]
