"""The configuration of the vision model."""

from internvl_native import InternVisionConfig

__all__ = ["InternVisionConfig"]
