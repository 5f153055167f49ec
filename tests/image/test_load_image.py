"""load_image and build_transform: what goes in, what comes out, what is refused."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import io
import os
import pickle
import tarfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from internvl_native import image_processing
from internvl_native._core import ImageError
from internvl_native.image_processing import build_transform, dynamic_preprocess, load_image

IMAGES = Path(__file__).resolve().parents[1] / "data" / "images"
MEAN = np.array(image_processing.IMAGENET_MEAN, np.float32)
STD = np.array(image_processing.IMAGENET_STD, np.float32)


def load(image: Any, **options: Any) -> NDArray[np.float32]:
    values: NDArray[np.float32] = load_image(image, return_tensors="np", **options)
    return values


def normalised(image: Image.Image, mean: Any = MEAN, std: Any = STD) -> NDArray[np.float32]:
    unit = np.asarray(image).astype(np.float32) / np.float32(255)
    values: NDArray[np.float32] = ((unit - mean) / std).transpose(2, 0, 1)
    return values


@pytest.mark.parametrize("name", ["land.jpg", "cmyk.jpg", "gray.png", "rgba.png"])
def test_all_sources_give_the_same(name: str) -> None:
    path = IMAGES / name
    data = path.read_bytes()
    expected = load(path, max_num=4)
    pixels = np.asarray(Image.open(path).convert("RGB"))
    later = io.BytesIO(data)
    later.seek(7)
    with path.open("rb") as file:
        for source in (
            str(path),
            data,
            bytearray(data),
            memoryview(data),
            later,
            file,
            Image.open(path),
            Image.fromarray(pixels),
            pixels,
            np.asfortranarray(pixels),
            np.dstack([pixels, pixels[:, :, 0]]),
        ):
            np.testing.assert_array_equal(load(source, max_num=4), expected)


class CannotSeek(io.RawIOBase):
    """A stream that says nothing about seeking until it is asked to."""

    def __init__(self, data: bytes) -> None:
        self.data = io.BytesIO(data)

    def read(self, size: int = -1) -> Any:
        return bytearray(self.data.read(size))

    def seekable(self) -> bool:
        return True


def test_streams() -> None:
    """What Image.open reads, too: members of a tar file that is a stream, answers of a server."""
    data = (IMAGES / "land.jpg").read_bytes()
    expected = load(data)
    np.testing.assert_array_equal(load(CannotSeek(data)), expected)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(IMAGES / "land.jpg", "land.jpg")
    with tarfile.open(fileobj=io.BytesIO(archive.getvalue()), mode="r|") as tar:
        for member in tar:
            np.testing.assert_array_equal(load(tar.extractfile(member)), expected)


def test_grey_arrays() -> None:
    grey = np.arange(30 * 40, dtype=np.uint8).reshape(30, 40)
    expected = load(np.dstack([grey] * 3))
    np.testing.assert_array_equal(load(grey), expected)
    np.testing.assert_array_equal(load(grey[:, :, None]), expected)


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(load(file, max_num=1), load(frames[0], max_num=1))


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "WEBP", "PNG"])
def test_formats(kind: str) -> None:
    image = Image.open(IMAGES / "frame0.jpg").convert("RGB")
    file = io.BytesIO()
    image.save(file, kind, lossless=True)
    np.testing.assert_array_equal(load(file), load(image))


def test_exif_orientation_is_not_applied() -> None:
    with Image.open(IMAGES / "exif_rotated.jpg") as image:
        assert image.getexif()[0x0112] != 1
        tiles = dynamic_preprocess(image, image_size=64)
    np.testing.assert_array_equal(
        load(IMAGES / "exif_rotated.jpg", input_size=64, use_thumbnail=False),
        np.stack([normalised(tile) for tile in tiles]),
    )


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (np.zeros((4, 4, 2), np.uint8), ValueError, r"uint8 array.*got uint8 \(4, 4, 2\)"),
        (np.zeros((4, 4, 3), np.float32), ValueError, "got float32"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, "at least one pixel"),
        (np.zeros((4, 0), np.uint8), ValueError, "at least one pixel"),
        (Image.new("RGB", (0, 5)), ValueError, "at least one pixel"),
        (b"GIF89a", OSError, "GIF|identify|truncated"),
        (b"no image", UnidentifiedImageError, "cannot identify image file '<bytes>'"),
        ("/nonexistent.jpg", FileNotFoundError, "nonexistent"),
        (io.StringIO("text"), TypeError, "binary mode"),
        (17, TypeError, "image_file: expected a path"),
        (None, TypeError, "image_file: expected a path"),
    ],
)
def test_wrong_sources(source: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load(source)


def test_damaged_files_of_other_formats(tmp_path: Path) -> None:
    path = tmp_path / "half.png"
    data = (IMAGES / "rgba.png").read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"half\.png: image file is truncated"):
        load(path)
    rng = np.random.default_rng(2)
    for _ in range(60):
        damaged = bytearray(data)
        damaged[int(rng.integers(8, len(data)))] ^= 1 << int(rng.integers(8))
        with contextlib.suppress(OSError):
            load(bytes(damaged), max_num=1)


def test_decoders_that_raise_runtime_error() -> None:
    """Pillow's for AVIF does, of some damages."""

    class Damaged(Image.Image):
        size = (4, 4)

        def load(self) -> Any:
            raise RuntimeError("Failed to decode frame 0: Decoding of color planes failed")

    with pytest.raises(ImageError, match="image: Failed to decode frame 0"):
        load(Damaged())


@pytest.mark.parametrize("name", ["land.jpg", "rgba.png"])
def test_decompression_bombs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Image.open(IMAGES / name) as image:
        width, height = image.size
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", width * height - 1)
    with pytest.warns(Image.DecompressionBombWarning):
        load(IMAGES / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", width * height // 2 - 1)
    with pytest.raises(Image.DecompressionBombError):
        load(IMAGES / name)


def test_return_tensors() -> None:
    installed = importlib.util.find_spec("torch") is not None
    kind = type(load_image(IMAGES / "gray.png")).__module__
    assert kind == ("torch" if installed else "numpy")
    with pytest.raises(ValueError, match="return_tensors: expected 'np', 'pt' or None, got 'tf'"):
        load_image(IMAGES / "gray.png", return_tensors="tf")
    if not installed:
        with pytest.raises(ImportError, match="needs torch"):
            load_image(IMAGES / "gray.png", return_tensors="pt")


def test_signatures_of_the_model_card() -> None:
    assert list(inspect.signature(load_image).parameters)[:3] == [
        "image_file",
        "input_size",
        "max_num",
    ]
    assert str(inspect.signature(dynamic_preprocess)).startswith(
        "(image: 'Image.Image', min_num: 'int' = 1, max_num: 'int' = 12, "
        "image_size: 'int' = 448, use_thumbnail: 'bool' = False)"
    )


def test_dynamic_preprocess_wants_a_pil_image() -> None:
    with pytest.raises(TypeError, match="image: expected a PIL image, got str"):
        dynamic_preprocess("land.jpg")  # type: ignore[arg-type]


def test_build_transform_in_both_forms() -> None:
    image = Image.open(IMAGES / "rgba.png")
    expected = normalised(image.convert("RGB").resize((112, 112)))
    for transform in (
        build_transform(112),
        build_transform(input_size=112),
        build_transform(False, 112),
        build_transform(is_train=False, input_size=112, pad2square=False),
        pickle.loads(pickle.dumps(build_transform(112))),
    ):
        np.testing.assert_array_equal(np.asarray(transform(image)), expected)


@pytest.mark.parametrize(("kind", "mean"), [("clip", 122), ("siglip", 127), ("imagenet", 123)])
@pytest.mark.parametrize("size", [(90, 41), (40, 91), (50, 50)])
def test_build_transform_pads_to_a_square(kind: str, mean: int, size: tuple[int, int]) -> None:
    image = Image.open(IMAGES / "land.jpg").resize(size)
    means, stds = (np.array(x, np.float32) for x in image_processing._STATISTICS[kind])
    square = Image.new("RGB", (max(size),) * 2, tuple(int(m * 255) for m in means.tolist()))
    assert square.getpixel((0, 0))[0] == mean  # type: ignore[index]
    square.paste(image, ((max(size) - size[0]) // 2, (max(size) - size[1]) // 2))
    np.testing.assert_array_equal(
        np.asarray(build_transform(False, 64, pad2square=True, normalize_type=kind)(image)),
        normalised(square.resize((64, 64)), means, stds),
    )


def test_build_transform_refuses() -> None:
    with pytest.raises(NotImplementedError, match="is_train=True"):
        build_transform(True, 448)
    with pytest.raises(ValueError, match="normalize_type: expected one of imagenet, clip, siglip"):
        build_transform(False, 448, normalize_type="other")
    with pytest.raises(ValueError, match="input_size: expected 1 to"):
        build_transform(0)
    with pytest.raises(TypeError, match="input_size"):
        build_transform()


def test_many_threads_at_once() -> None:
    expected = load(IMAGES / "land.jpg")
    results: list[NDArray[np.float32]] = []

    def work() -> None:
        results.extend(load(IMAGES / "land.jpg") for _ in range(4))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 16
    for result in results:
        np.testing.assert_array_equal(result, expected)


# Python 3.12 and later warn of forks while threads run: evaluation scripts fork all the same.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_fork_after_the_pool_ran() -> None:
    expected = load(IMAGES / "land.jpg")
    child = os.fork()
    if child == 0:
        same = False
        try:
            image = Image.open(IMAGES / "land.jpg").convert("RGB")
            tiles = dynamic_preprocess(image, max_num=12, use_thumbnail=True)
            values = np.stack([np.asarray(build_transform(448)(tile)) for tile in tiles])
            same = np.array_equal(values, expected)
        finally:
            os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(load(IMAGES / "land.jpg"), expected)
