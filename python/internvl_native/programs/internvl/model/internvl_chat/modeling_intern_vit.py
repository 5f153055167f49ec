"""The vision model."""

from internvl_native import InternVisionModel

__all__ = ["InternVisionModel"]
