"""The arithmetic of ``CLIPImageProcessor``, in the order and with the roundings of transformers
4.37.2 (``image_transforms.py``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

HeightWidthChannels = npt.NDArray[Any]


def process(pixels: HeightWidthChannels, settings: dict[str, Any]) -> HeightWidthChannels:
    """Resizes, crops, rescales and normalises as the settings of a ``CLIPImageProcessor`` say."""
    if settings["do_resize"]:
        size = _output_size(pixels.shape, settings["size"])
        pixels = _resize(pixels, size, settings["resample"])
    if settings["do_center_crop"]:
        pixels = _center_crop(pixels, settings["crop_size"])
    if settings["do_rescale"]:  # in float64 for integers, rounded once
        pixels = (pixels * settings["rescale_factor"]).astype(np.float32)
    if settings["do_normalize"]:
        if pixels.dtype.kind != "f":
            pixels = pixels.astype(np.float32)
        mean, std = (
            _statistics(name, settings[name], pixels) for name in ("image_mean", "image_std")
        )
        pixels = (pixels - mean) / std
    return pixels


def _output_size(shape: tuple[int, ...], size: dict[str, int]) -> tuple[int, int]:
    if "shortest_edge" not in size:
        return size["height"], size["width"]
    height, width = shape[:2]
    edge = size["shortest_edge"]
    longest = int(edge * max(height, width) / min(height, width))
    return (longest, edge) if width <= height else (edge, longest)


def _resize(
    pixels: HeightWidthChannels, size: tuple[int, int], resample: int
) -> HeightWidthChannels:
    scaled = pixels.dtype != np.uint8 and not np.array_equal(pixels, np.trunc(pixels))
    lowest, highest = pixels.min(), pixels.max()
    if not (lowest >= 0 and highest <= (1 if scaled else 255)):  # nor NaN
        bound = "1 (they are no integers)" if scaled else "255"
        raise ValueError(
            f"images: expected values from 0 to {bound}, got {lowest} to {highest}; "
            "do_resize=False leaves them as they are"
        )
    filters = [int(known) for known in Image.Resampling]
    if resample not in filters:
        raise ValueError(f"resample: expected one of {filters}, got {resample!r}")
    whole = (pixels * 255).astype(np.float32) if scaled else pixels
    whole = whole.astype(np.uint8)
    image = Image.fromarray(whole[:, :, 0] if whole.shape[2] == 1 else np.ascontiguousarray(whole))
    resized = np.asarray(image.resize((size[1], size[0]), resample=Image.Resampling(resample)))
    resized = resized.reshape(*size, pixels.shape[2])
    return (resized * (1 / 255)).astype(np.float32) if scaled else resized


def _center_crop(pixels: HeightWidthChannels, crop: dict[str, int]) -> HeightWidthChannels:
    pads, window = [], []
    for have, want in zip(pixels.shape, (crop["height"], crop["width"])):
        lacking = max(0, want - have)
        before = lacking // 2
        # Where an odd number is lacking, the reference's floor loses the last row or column.
        start = (have - want) // 2 + before
        pads.append((before, lacking - before))
        window.append(slice(max(0, start), start + want))
    return np.pad(pixels, [*pads, (0, 0)])[tuple(window)]


def _statistics(name: str, value: Any, pixels: HeightWidthChannels) -> npt.NDArray[Any]:
    channels = pixels.shape[2]
    if isinstance(value, Iterable):
        value = list(value)
        if len(value) != channels:
            raise ValueError(
                f"{name}: expected {channels} values, one for each channel, got {value}"
            )
    return np.broadcast_to(np.array(value, pixels.dtype), (channels,))
