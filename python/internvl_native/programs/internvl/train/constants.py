"""Tokens and image statistics."""

from internvl_native.image_processing import (
    CLIP_MEAN,
    CLIP_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    SIGLIP_MEAN,
    SIGLIP_STD,
)

__all__ = [
    "BOX_END_TOKEN",
    "BOX_START_TOKEN",
    "CLIP_MEAN",
    "CLIP_STD",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "IMG_CONTEXT_TOKEN",
    "IMG_END_TOKEN",
    "IMG_START_TOKEN",
    "QUAD_END_TOKEN",
    "QUAD_START_TOKEN",
    "REF_END_TOKEN",
    "REF_START_TOKEN",
    "SIGLIP_MEAN",
    "SIGLIP_STD",
]

IMG_START_TOKEN, IMG_CONTEXT_TOKEN, IMG_END_TOKEN = "<img>", "<IMG_CONTEXT>", "</img>"
QUAD_START_TOKEN, QUAD_END_TOKEN = "<quad>", "</quad>"
REF_START_TOKEN, REF_END_TOKEN = "<ref>", "</ref>"
BOX_START_TOKEN, BOX_END_TOKEN = "<box>", "</box>"
