"""Images, tiles and videos: sources that are none, damage, odd sizes and arguments."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError
from tests.misuse.bench import IMAGES, Bench, Table, pixels

from internvl_native import (
    CLIPImageProcessor,
    ImageError,
    build_transform,
    dynamic_preprocess,
    load_image,
    load_video,
    show_tiles,
)

JPEG = (IMAGES / "land.jpg").read_bytes()
RED = Image.new("RGB", (40, 30), "red")
SOURCES = "image_file: expected a path, bytes, a binary file object, a numpy array or a PIL image"


def encoded(kind: str, size: tuple[int, int] = (40, 30)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, kind)
    return file.getvalue()


def load(source: Any, **options: Any) -> Any:
    return load_image(source, **{"input_size": 112, "return_tensors": "np", **options})


def video(source: Any, **options: Any) -> Any:
    return load_video(source, **{"input_size": 112, "return_tensors": "np", **options})


LOAD_IMAGE: Table = {
    "None": (lambda b: load(None), TypeError, SOURCES + ", got NoneType"),
    "a number": (lambda b: load(5), TypeError, SOURCES + ", got int"),
    "a list of paths": (lambda b: load(["a.jpg"]), TypeError, SOURCES + ", got list"),
    "the module": (lambda b: load(Image), TypeError, SOURCES + ", got module"),
    "a path that is not there": (lambda b: load("no.jpg"), FileNotFoundError, "no.jpg"),
    "a folder": (lambda b: load(IMAGES), IsADirectoryError, "images"),
    "a path with NUL": (lambda b: load("a\0b"), ValueError, "null|image_file"),
    "a path with a surrogate": (lambda b: load("\ud800"), ValueError, "image_file: no path"),
    "a URL": (
        lambda b: load("https://example.org/a.jpg"), FileNotFoundError,
        "No such file.*https://example.org/a.jpg",
    ),
    "a text file": (lambda b: load(__file__), UnidentifiedImageError, "cannot identify.*test_imag"),
    "no bytes": (lambda b: load(b""), UnidentifiedImageError, "cannot identify .*<bytes>"),
    "half a JPEG": (lambda b: load(JPEG[: len(JPEG) // 2]), ImageError, "<bytes>: .*truncated"),
    "the head of a JPEG": (lambda b: load(JPEG[:30]), ImageError, "<bytes>: Truncated"),
    "half a PNG": (lambda b: load(encoded("png", (99, 99))[:120]), ImageError, "<bytes>: "),
    "half a WebP": (
        lambda b: load(encoded("webp", (300, 300))[:60]), ImageError, "<bytes>: ",
    ),
    "a file opened as text": (
        lambda b: load(io.StringIO("x")), TypeError, "image_file: StringIO must be .*binary",
    ),
    "a closed file": (
        lambda b: load(_closed()), ValueError, "closed file",
    ),
    "a closed image": (lambda b: load(_closed_image()), ImageError, "image: .*closed image"),
    "an array of floats": (
        lambda b: load(np.zeros((4, 4, 3))), ValueError, "image_file: .*uint8.*got float64",
    ),
    "an array of five channels": (
        lambda b: load(np.zeros((4, 4, 5), np.uint8)), ValueError, r"got uint8 \(4, 4, 5\)",
    ),
    "channels first": (
        lambda b: load(np.zeros((3, 40, 30), np.uint8)), ValueError, r"got uint8 \(3, 40, 30\)",
    ),
    "a batch of arrays": (
        lambda b: load(np.zeros((2, 4, 4, 3), np.uint8)), ValueError, "image_file: .* a uint8",
    ),
    "an array without pixels": (
        lambda b: load(np.zeros((0, 4, 3), np.uint8)), ValueError, "at least one pixel",
    ),
    "an image without pixels": (
        lambda b: load(Image.new("RGB", (0, 4))), ValueError, "at least one pixel.*(0, 4)",
    ),
    "what load_image returns": (
        lambda b: load(pixels()), ValueError, "image_file: expected a uint8 array.*float32",
    ),
    "max_num 0": (lambda b: load(RED, max_num=0), ValueError, "max_num: expected 1 .*got 0"),
    "max_num below min_num": (
        lambda b: load(RED, min_num=3, max_num=2), ValueError, r"max_num: .*3 \(min_num\).*got 2",
    ),
    "absurd max_num": (
        lambda b: load(RED, max_num=10**6), ValueError, "max_num: .*1024, got 1000000",
    ),
    "fractional max_num": (
        lambda b: load(RED, max_num=12.0), TypeError, "max_num: expected an integer, got 12.0",
    ),
    "max_num as text": (lambda b: load(RED, max_num="12"), TypeError, "max_num: .*'12'"),
    "min_num 0": (lambda b: load(RED, min_num=0), ValueError, "min_num: .*at least 1, got 0"),
    "input_size 0": (lambda b: load(RED, input_size=0), ValueError, "input_size: .*got 0"),
    "input_size of two": (
        lambda b: load(RED, input_size=(112, 112)), TypeError, r"input_size: .*\(112, 112\)",
    ),
    "absurd input_size": (
        lambda b: load(RED, input_size=10**9), ValueError, "input_size: .*1000000000",
    ),
    "return_tensors tf": (
        lambda b: load(RED, return_tensors="tf"), ValueError, "return_tensors: .*'tf'",
    ),
    "return_tensors True": (
        lambda b: load(RED, return_tensors=True), ValueError, "return_tensors: .*True",
    ),
}  # fmt: skip


def _closed() -> Any:
    file = io.BytesIO(JPEG)
    file.close()
    return file


def _closed_image() -> Image.Image:
    image = Image.open(io.BytesIO(encoded("png")))
    image.close()
    return image


TILES: Table = {
    "dynamic_preprocess of a path": (
        lambda b: dynamic_preprocess("a.jpg"),  # type: ignore[arg-type]
        TypeError, "image: expected a PIL image, got str",
    ),
    "dynamic_preprocess of an array": (
        lambda b: dynamic_preprocess(np.zeros((4, 4, 3), np.uint8)),  # type: ignore[arg-type]
        TypeError, "image: expected a PIL image, got ndarray",
    ),
    "dynamic_preprocess of nothing": (
        lambda b: dynamic_preprocess(Image.new("RGB", (0, 0))), ValueError, "at least one pixel",
    ),
    "dynamic_preprocess with a huge max_num": (
        lambda b: dynamic_preprocess(RED, max_num=5000), ValueError, "max_num: .*got 5000",
    ),
    "dynamic_preprocess with image_size 0": (
        lambda b: dynamic_preprocess(RED, image_size=0), ValueError, "image_size: .*got 0",
    ),
    "dynamic_preprocess with sizes exchanged": (
        lambda b: dynamic_preprocess(RED, 448, 12), ValueError, r"max_num: expected 448 \(min_num",
    ),
    "build_transform of nothing": (
        lambda b: build_transform(), TypeError, "input_size",
    ),
    "build_transform of size 0": (
        lambda b: build_transform(0), ValueError, "input_size: .*got 0",
    ),
    "build_transform of text": (
        lambda b: build_transform("448"), TypeError, "input_size: .*'448'",
    ),
    "build_transform for training": (
        lambda b: build_transform(True, 448), NotImplementedError, "is_train=True",
    ),
    "build_transform with other statistics": (
        lambda b: build_transform(448, normalize_type="none"), ValueError, "normalize_type: .*none",
    ),
    "a transform of a path": (
        lambda b: build_transform(112)("a.jpg"), TypeError,  # type: ignore[arg-type]
        "image: expected a PIL image, got str",
    ),
    "show_tiles of pixels": (lambda b: show_tiles(pixels()), ValueError, "image_file: .*uint8"),
    "show_tiles of None": (
        lambda b: show_tiles(None), TypeError, SOURCES + ".*None",  # type: ignore[arg-type]
    ),
}  # fmt: skip

VIDEOS: Table = {
    "None": (lambda b: video(None), TypeError, "video_path: expected .*got NoneType"),
    "a number": (lambda b: video(5), TypeError, "video_path: expected .*got int"),
    "bytes": (lambda b: video(JPEG), TypeError, "video_path: expected .*got bytes"),
    "a PIL image": (lambda b: video(RED), TypeError, "video_path: .*got Image"),
    "a path that is not there": (
        lambda b: video("no.mp4"), FileNotFoundError, "video_path: no such file.*no.mp4",
    ),
    "no frames": (lambda b: video([]), ValueError, "video_path: .*no frames"),
    "frames that are none": (lambda b: video([5]), TypeError, SOURCES + ", got int"),
    "a folder without images": (
        lambda b: video(Path(__file__).parent), ValueError, "video_path: .*misuse has no frames",
    ),
    "a still JPEG": (lambda b: video(IMAGES / "land.jpg"), ImportError, "frames|video"),
    "no segments": (
        lambda b: video([RED], num_segments=0), ValueError, "num_segments: .*at least 1, got 0",
    ),
    "fractional segments": (
        lambda b: video([RED], num_segments=8.0), TypeError, "num_segments: .*got 8.0",
    ),
    "segments as text": (
        lambda b: video([RED], num_segments="8"), TypeError, "num_segments: .*'8'",
    ),
    "a bound of one": (lambda b: video([RED], bound=(1,)), ValueError, r"bound: .*\(1,\)"),
    "a bound as a number": (lambda b: video([RED], bound=5), ValueError, "bound: .*got 5"),
    "a bound of text": (
        lambda b: video([RED], bound=("0", "end")), ValueError, "bound: .*seconds.*'end'",
    ),
    "a bound behind the end": (
        lambda b: video([RED], bound=(50, 60)), ValueError, "bound: no frames between 50 s and 60",
    ),
    "a bound backwards": (
        lambda b: video([RED] * 9, bound=(6, 2)), ValueError, "bound: no frames between 6 s and 2",
    ),
    "a bound of NaN": (
        lambda b: video([RED], bound=(0, float("nan"))), ValueError, "bound: .*nan",
    ),
    "max_num 0": (lambda b: video([RED], max_num=0), ValueError, "max_num: .*got 0"),
}  # fmt: skip


def clip(images: Any, **options: Any) -> Any:
    return CLIPImageProcessor(size=112, crop_size=112)(images, **options)


PROCESSOR: Table = {
    "None": (lambda b: clip(None), TypeError, "images: .*got NoneType"),
    "a path": (lambda b: clip("a.jpg"), TypeError, "images: .*got str"),
    "paths": (lambda b: clip(["a.jpg"]), TypeError, "images: .*got str"),
    "no images": (lambda b: clip([]), ValueError, "images: .*at least one, got none"),
    "an image without pixels": (
        lambda b: clip(Image.new("RGB", (0, 3))), ValueError, "at least one pixel",
    ),
    "an array without pixels": (
        lambda b: clip(np.zeros((0, 4, 3), np.uint8)), ValueError, "images: .*at least one pixel",
    ),
    "two dimensions": (
        lambda b: clip(np.zeros((4, 4), np.uint8)), ValueError, r"images: .*uint8 \(4, 4\)",
    ),
    "five channels": (
        lambda b: clip(np.zeros((5, 4, 4), np.uint8)), ValueError, "images: .*channels.*5, 4, 4",
    ),
    "values beyond 255": (
        lambda b: clip(np.full((4, 4, 3), 300)), ValueError, "images: .*values from 0 to 255",
    ),
    "normalised before": (
        lambda b: clip(np.full((4, 4, 3), -0.5)), ValueError, "images: expected values from 0 to",
    ),
    "NaN": (
        lambda b: clip(np.full((4, 4, 3), np.nan)), ValueError, "images: .*(NaN|nan)",
    ),
    "objects": (
        lambda b: clip(np.full((4, 4, 3), None)), ValueError, "images: .*object",
    ),
    "images of several sizes": (
        lambda b: clip([RED, RED.resize((80, 30))], return_tensors="np", do_center_crop=False),
        ValueError, "return_tensors: expected images of one size",
    ),
    "return_tensors tf": (
        lambda b: clip(RED, return_tensors="tf"), ValueError, "return_tensors: .*'tf'",
    ),
    "a format that is none": (
        lambda b: clip(RED, data_format="CHW"), ValueError, "data_format: .*'CHW'",
    ),
    "a size that is none": (lambda b: clip(RED, size="big"), ValueError, "size: .*'big'"),
    "a size of keys with typos": (
        lambda b: clip(RED, size={"hieght": 4, "width": 4}), ValueError, "size: .*hieght",
    ),
    "a size of 0": (lambda b: clip(RED, size=0), ValueError, "size: .*0"),
    "a negative crop": (lambda b: clip(RED, crop_size=-5), ValueError, "crop_size: .*-5"),
    "a size of text": (
        lambda b: clip(RED, size={"height": "4", "width": 4}), TypeError, "size: .*'4'",
    ),
    "a mean of two": (
        lambda b: clip(RED, image_mean=[0.5, 0.5]), ValueError, "image_mean: expected 3 values",
    ),
    "a mean of text": (
        lambda b: clip(RED, image_mean="imagenet"), ValueError, "image_mean: .*",
    ),
    "a filter that is none": (
        lambda b: clip(RED, resample=99), ValueError, "resample: .*99",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LOAD_IMAGE)
def test_load_image(bench: Bench, case: str) -> None:
    bench.refuses(*LOAD_IMAGE[case])


@pytest.mark.parametrize("case", TILES)
def test_tiles(bench: Bench, case: str) -> None:
    bench.refuses(*TILES[case])


@pytest.mark.parametrize("case", VIDEOS)
def test_videos(bench: Bench, case: str) -> None:
    bench.refuses(*VIDEOS[case])


@pytest.mark.parametrize("case", PROCESSOR)
def test_image_processor(bench: Bench, case: str) -> None:
    bench.refuses(*PROCESSOR[case])
