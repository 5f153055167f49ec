"""JPEG files of all kinds, whole and damaged, against Pillow."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFile

from internvl_native import _core
from internvl_native.image_processing import load_image
from internvl_native.image_source import JpegFile, open_image

IMAGES = Path(__file__).resolve().parents[1] / "data" / "images"


def pillow_pixels(data: bytes) -> NDArray[np.uint8] | None:
    """None where Pillow fails."""
    try:
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    except (OSError, SyntaxError):
        return None


def our_pixels(data: bytes) -> NDArray[np.uint8] | None:
    try:
        image = open_image(data)
        return image.pixels() if isinstance(image, JpegFile) else image
    except OSError:
        return None


def check_like_pillow(data: bytes, label: str) -> None:
    expected, ours = pillow_pixels(data), our_pixels(data)
    assert (expected is None) == (ours is None), label
    if expected is not None:
        np.testing.assert_array_equal(ours, expected, err_msg=label)


def noise(mode: str, size: tuple[int, int]) -> Image.Image:
    rng = np.random.default_rng(size)
    channels = len(Image.new(mode, (1, 1)).getbands())
    blocks = rng.integers(0, 256, (size[1] // 4 + 1, size[0] // 4 + 1, channels), dtype=np.uint8)
    pixels = blocks.repeat(4, axis=0).repeat(4, axis=1)[: size[1], : size[0]]
    return Image.frombytes(mode, size, pixels.tobytes())


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [
        {"quality": 95, "subsampling": "4:4:4"},
        {"quality": 80, "subsampling": "4:2:2"},
        {"quality": 5, "subsampling": "4:2:0"},
        {"quality": 75, "progressive": True},
        {"quality": 75, "optimize": True, "restart_marker_rows": 1},
    ],
    ids=str,
)
def test_whole_files(mode: str, options: dict[str, Any]) -> None:
    for size in ((1, 1), (7, 9), (64, 48), (161, 83)):
        file = io.BytesIO()
        noise(mode, size).save(file, "JPEG", **options)
        pixels = _core.decode_jpeg(file.getvalue(), size)
        np.testing.assert_array_equal(pixels, pillow_pixels(file.getvalue()))


@pytest.mark.parametrize("name", ["land.jpg", "progressive.jpg", "sub422.jpg", "cmyk.jpg"])
def test_truncated_files(name: str) -> None:
    data = (IMAGES / name).read_bytes()
    for length in np.linspace(0, len(data) - 1, 40).astype(int).tolist():
        check_like_pillow(data[:length], f"{name}[:{length}]")


@pytest.mark.filterwarnings("ignore::UserWarning")  # of damaged metadata
@pytest.mark.parametrize("name", ["gray.jpg", "progressive.jpg", "frame0.jpg", "exif_rotated.jpg"])
def test_flipped_bytes(name: str) -> None:
    data = (IMAGES / name).read_bytes()
    rng = np.random.default_rng(11)
    for trial in range(100):
        damaged = bytearray(data)
        # Every other trial aims at the headers.
        span = len(data) if trial % 2 else 700
        for position in rng.integers(0, span, 3).tolist():
            damaged[position] = int(rng.integers(256))
        check_like_pillow(bytes(damaged), f"{name}, trial {trial}")


def test_progressive_files_that_lack_scans() -> None:
    """What libjpeg puts in the place of missing coefficients depends on its version: the native
    decoder leaves such files to Pillow."""
    for mode, size in (("RGB", (16, 100)), ("L", (33, 17)), ("CMYK", (100, 50))):
        file = io.BytesIO()
        noise(mode, size).save(file, "JPEG", quality=60, progressive=True)
        start, *scans = file.getvalue().split(b"\xff\xda")
        for kept in range(1, len(scans)):
            data = b"\xff\xda".join([start, *scans[:kept]]) + b"\xff\xd9"
            check_like_pillow(data, f"{mode} {size}, {kept} scans")
            with pytest.raises(_core.ImageError, match="ends before its last scan"):
                _core.decode_jpeg(data, size)


def test_error_names_the_file_and_the_defect(tmp_path: Path) -> None:
    path = tmp_path / "half.jpg"
    data = (IMAGES / "land.jpg").read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(_core.ImageError, match=r"half\.jpg: image file is truncated"):
        load_image(path)
    with pytest.raises(_core.ImageError, match="JPEG: Premature end of JPEG file"):
        _core.decode_jpeg(path.read_bytes(), (603, 445))


def test_pillow_may_be_told_to_load_truncated_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = (IMAGES / "land.jpg").read_bytes()
    check_like_pillow(data[: len(data) // 2], "LOAD_TRUNCATED_IMAGES")
    assert our_pixels(data[: len(data) // 2]) is not None


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = _core.num_threads()
    yield _core.set_num_threads
    _core.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_rows_are_resized_while_others_are_decoded(
    count: int, threads: Callable[[int], None]
) -> None:
    data, size = (IMAGES / "land.jpg").read_bytes(), (603, 445)
    norm = _core.Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    threads(count)
    for columns, rows in ((1, 1), (4, 3), (1, 5), (6, 1)):
        grid = _core.TileGrid(columns, rows, 112, True)
        expected = _core.cut_pixel_values(_core.decode_jpeg(data, size), grid, norm)
        values = _core.cut_jpeg_pixel_values(data, size, grid, norm)
        np.testing.assert_array_equal(values, expected)
        with pytest.raises(_core.ImageError, match="JPEG: Premature end"):
            _core.cut_jpeg_pixel_values(data[: len(data) // 2], size, grid, norm)


def test_another_size_than_announced() -> None:
    with pytest.raises(_core.ImageError, match="expected 603 x 444 pixels, got 603 x 445"):
        _core.decode_jpeg((IMAGES / "land.jpg").read_bytes(), (603, 444))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", bytes(100)])
def test_no_jpeg_at_all(data: bytes) -> None:
    with pytest.raises(_core.ImageError, match="JPEG: "):
        _core.decode_jpeg(data, (4, 4))
