"""Pixels of the reference, made with Pillow 13 and torchvision: tests/data/preprocess.json."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from internvl_native import _core
from internvl_native.image_processing import dynamic_preprocess, load_image
from internvl_native.image_source import JpegFile, open_image

DATA = Path(__file__).resolve().parents[1] / "data"
GOLDENS: dict[str, list[dict[str, Any]]] = json.loads(
    (DATA / "preprocess.json").read_text(encoding="utf-8")
)


def sha256(data: NDArray[Any] | bytes) -> str:
    return hashlib.sha256(data if isinstance(data, bytes) else data.tobytes()).hexdigest()


def synthetic(width: int, height: int) -> NDArray[np.uint8]:
    """The array that MANIFEST.md describes."""
    y, x, c = np.ogrid[:height, :width, :3]
    values: NDArray[np.int64] = (
        3 * x * x + 5 * x * y + 7 * y + 31 * c * (x + 1) + 11 * (x // 7) * (y // 5)
    )
    return (values & 255).astype(np.uint8)


def to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def check_config(source: Any, config: dict[str, Any]) -> None:
    """Tiles and floats of one image in one setting."""
    size, low, high = config["input_size"], config["min_num"], config["max_num"]
    thumbnail = config["use_thumbnail"]
    pixels = open_image(source)
    image = Image.fromarray(pixels.pixels() if isinstance(pixels, JpegFile) else pixels)
    tiles = dynamic_preprocess(image, low, high, size, thumbnail)
    assert [sha256(tile.tobytes()) for tile in tiles] == config["tiles_uint8_sha256"]

    values = load_image(source, size, high, low, thumbnail, return_tensors="np")
    assert list(values.shape) == config["pixel_values_shape"]
    assert values.dtype == np.float32
    assert sha256(values) == config["float32_sha256"]
    assert sha256(to_bfloat16(values)) == config["bfloat16_sha256"]
    assert sha256(values.astype(np.float16)) == config["float16_sha256"]


# Pillow advises against dropping the transparency of palettes; the reference drops it.
@pytest.mark.filterwarnings("ignore:Palette images with Transparency:UserWarning")
@pytest.mark.parametrize("golden", GOLDENS["images"], ids=lambda golden: str(golden["file"]))
def test_image(golden: dict[str, Any]) -> None:
    path = DATA / "images" / golden["file"]
    image = open_image(path)
    pixels = image.pixels() if isinstance(image, JpegFile) else image
    assert pixels.shape == (golden["size"][1], golden["size"][0], 3)
    for x, y, rgb in golden["rgb_samples"]:
        assert pixels[y, x].tolist() == rgb
    assert sha256(pixels) == golden["rgb_sha256"]
    for config in golden["configs"]:
        check_config(path, config)


@pytest.mark.parametrize("golden", GOLDENS["synthetic"], ids=lambda golden: str(golden["size"]))
def test_synthetic(golden: dict[str, Any]) -> None:
    pixels = synthetic(*golden["size"])
    assert sha256(pixels) == golden["rgb_sha256"]
    for config in golden["configs"]:
        check_config(pixels, config)


def test_resize() -> None:
    for golden in GOLDENS["resize"]:
        resized = _core.resize_bicubic(synthetic(*golden["src"]), tuple(golden["dst"]))
        assert sha256(resized) == golden["sha256"], golden


def broken_file(case: str) -> bytes:
    png = io.BytesIO()
    Image.fromarray(synthetic(60, 40)).save(png, "PNG")
    jpeg = (DATA / "images" / "land.jpg").read_bytes()
    return {
        "truncated_half_jpeg": jpeg[: len(jpeg) // 2],
        "not_an_image": b"this is not an image",
        "empty": b"",
        "truncated_png": png.getvalue()[: len(png.getvalue()) // 2],
    }[case]


@pytest.mark.parametrize("golden", GOLDENS["errors"], ids=lambda golden: str(golden["case"]))
def test_error(golden: dict[str, Any]) -> None:
    expected = {"OSError": OSError, "UnidentifiedImageError": UnidentifiedImageError}
    with pytest.raises(expected[golden["type"]]) as error:
        load_image(io.BytesIO(broken_file(golden["case"])))
    # What comes after it depends on the file: an address, a number of bytes.
    assert golden["message"].partition(" (")[0].partition(" <")[0] in str(error.value)
