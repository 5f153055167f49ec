"""The configuration of the vision model."""

from internvl_native.configuration import InternVisionConfig

__all__ = ["InternVisionConfig"]
