"""Image preprocessing, with the defaults of the repository."""

from __future__ import annotations

from PIL import Image

from internvl_native import image_processing
from internvl_native.image_processing import build_transform
from internvl_native.tiling import find_closest_aspect_ratio

__all__ = ["build_transform", "dynamic_preprocess", "find_closest_aspect_ratio"]


def dynamic_preprocess(
    image: Image.Image,
    min_num: int = 1,
    max_num: int = 6,
    image_size: int = 448,
    use_thumbnail: bool = False,
) -> list[Image.Image]:
    """`internvl_native.dynamic_preprocess` with the repository's `max_num` of 6, where the model
    cards have 12."""
    return image_processing.dynamic_preprocess(image, min_num, max_num, image_size, use_thumbnail)
