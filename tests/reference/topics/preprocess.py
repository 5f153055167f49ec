"""preprocess.json: decoded pixels, tiles and normalised tensors, as hashes.

Kept inputs: image files and settings, sizes of synthetic images and of resizes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tests.reference.torch_reference import TorchReference
from tests.support.goldens import DATA, read_json, sha256

SETTINGS = ("input_size", "min_num", "max_num", "use_thumbnail")


def synthetic(width: int, height: int) -> np.ndarray:
    """The (height, width, 3) uint8 test pattern that MANIFEST.md defines."""
    y, x, c = np.mgrid[:height, :width, :3]
    value = 3 * x * x + 5 * x * y + 7 * y + 31 * c * (x + 1) + 11 * (x // 7) * (y // 5)
    pixels: np.ndarray = (value & 255).astype(np.uint8)
    return pixels


def _tiles(impl: TorchReference, image: Image.Image, config: dict[str, Any]) -> dict[str, Any]:
    settings = {key: config[key] for key in SETTINGS}
    size = settings["input_size"]
    tiles = impl.dynamic_preprocess(
        image,
        image_size=size,
        **{key: settings[key] for key in SETTINGS if key != "input_size"},
    )
    transform = impl.build_transform(size)
    stacked = torch.stack([transform(tile) for tile in tiles])
    halves = {
        f"{name}_sha256": sha256(stacked.to(dtype).view(torch.int16).numpy())
        for name, dtype in (("bfloat16", torch.bfloat16), ("float16", torch.float16))
    }
    return {
        **settings,
        "tiles": len(tiles),
        "tiles_uint8_sha256": [sha256(np.asarray(tile)) for tile in tiles],
        "pixel_values_shape": list(stacked.shape),
        "float32_sha256": sha256(stacked.numpy()),
        **halves,
    }


def _file(impl: TorchReference, entry: dict[str, Any]) -> dict[str, Any]:
    path = DATA / "images" / entry["file"]
    opened = Image.open(path)
    rgb = opened.convert("RGB")
    pixels = np.asarray(rgb)
    samples = [[x, y, pixels[y, x].tolist()] for x, y, _ in entry["rgb_samples"]]
    return {
        "file": entry["file"],
        "file_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "mode": opened.mode,
        "size": list(opened.size),
        "rgb_sha256": sha256(pixels),
        "configs": [_tiles(impl, rgb, config) for config in entry["configs"]],
        "rgb_samples": samples,
    }


def _synthetic(impl: TorchReference, entry: dict[str, Any]) -> dict[str, Any]:
    pixels = synthetic(*entry["size"])
    image = Image.fromarray(pixels)
    return {
        "size": entry["size"],
        "rgb_sha256": sha256(pixels),
        "configs": [_tiles(impl, image, config) for config in entry["configs"]],
    }


def _resize(entry: dict[str, Any]) -> dict[str, Any]:
    image = Image.fromarray(synthetic(*entry["src"]))
    return {
        "src": entry["src"],
        "dst": entry["dst"],
        "sha256": sha256(np.asarray(image.resize(tuple(entry["dst"])))),
    }


def regenerate(impl: TorchReference, data: Path) -> dict[str, Any]:
    stored = read_json(data / "preprocess.json")
    return {
        "preprocess.json": {
            "images": [_file(impl, entry) for entry in stored["images"]],
            "synthetic": [_synthetic(impl, entry) for entry in stored["synthetic"]],
            "resize": [_resize(entry) for entry in stored["resize"]],
            "errors": stored["errors"],  # the broken files are not kept
        }
    }
