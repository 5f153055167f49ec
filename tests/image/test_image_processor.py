"""CLIPImageProcessor: transformers' pixel values to the bit (tests/data/image_processor.json)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.support.extras import optional
from tests.support.goldens import DATA, read_json, sha256

from internvl_native import (
    AutoImageProcessor,
    AutoProcessor,
    AutoTokenizer,
    CheckpointError,
    CLIPImageProcessor,
)

GOLDENS = read_json(DATA / "image_processor.json")
# What preprocessor_config.json of InternViT and of the chat checkpoints says.
PUBLISHED = GOLDENS["processors"][0]["config"]


def photo() -> Image.Image:
    return Image.open(DATA / "images" / "land.jpg")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint's image processor and tokenizer."""
    CLIPImageProcessor(**PUBLISHED).save_pretrained(tmp_path)
    for name in ("tokenizer.model", "tokenizer_config.json"):
        shutil.copy(DATA / "ckpt_ntk" / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("golden", GOLDENS["processors"], ids=lambda golden: str(golden["config"]))
def test_pixel_values_are_those_of_transformers(golden: dict[str, Any]) -> None:
    processor = CLIPImageProcessor(**golden["config"])
    for file, expected in zip(GOLDENS["files"], golden["images"]):
        with Image.open(DATA / "images" / file) as image:
            values = processor(image, return_tensors="np").pixel_values
        assert list(values.shape) == expected["shape"], file
        assert sha256(values) == expected["float32_sha256"], file


def test_options_of_a_call_replace_those_of_the_processor() -> None:
    wanted = CLIPImageProcessor(size=60, crop_size=50)(photo(), return_tensors="np")
    actual = CLIPImageProcessor()(photo(), size=60, crop_size=50, return_tensors="np")
    np.testing.assert_array_equal(actual["pixel_values"], wanted["pixel_values"])


def test_arrays_batches_and_formats() -> None:
    processor = CLIPImageProcessor(size=60, crop_size=50)
    pixels = np.asarray(photo())
    wanted = processor(photo(), return_tensors="np").pixel_values
    for images in (pixels, pixels.transpose(2, 0, 1), pixels[None], [pixels], pixels / 255):
        scaled = images is not pixels and getattr(images, "dtype", None) == np.float64
        factor = 1.0 if scaled else 1 / 255
        values = processor(images, return_tensors="np", rescale_factor=factor).pixel_values
        assert values.dtype == np.float32
        tolerance = 0.02 if scaled else 0.0  # truncated to bytes for the resizing
        np.testing.assert_allclose(values, wanted, rtol=0, atol=tolerance)
    last = processor(photo(), return_tensors="np", data_format="channels_last").pixel_values
    np.testing.assert_array_equal(last, wanted.transpose(0, 2, 3, 1))
    several = processor([photo(), photo()]).pixel_values
    assert isinstance(several, list)
    np.testing.assert_array_equal(several[1], wanted[0])


def test_images_of_one_or_three_rows_are_no_channels() -> None:
    for height in (1, 3):
        image = Image.new("RGB", (9, height), "red")
        assert CLIPImageProcessor(do_center_crop=False, size=4)(image).pixel_values[0].shape[0] == 3


@pytest.mark.parametrize(
    ("images", "options", "error", "message"),
    [
        ("photo.jpg", {}, TypeError, "images: expected a PIL image.*got str"),
        ([], {}, ValueError, "images: expected at least one"),
        ([3], {}, TypeError, "images: expected PIL images or arrays, got int"),
        (np.zeros((4, 5)), {}, ValueError, r"images: expected arrays.*\(4, 5\)"),
        (np.zeros((4, 5, 7)), {}, ValueError, "input_data_format says which axis"),
        (np.full((4, 5, 3), 300), {}, ValueError, "from 0 to 255, got 300 to 300"),
        (np.full((4, 5, 3), 1.5), {}, ValueError, "from 0 to 1 .*got 1.5"),
        (photo(), {"size": "big"}, ValueError, "size: expected a side"),
        (photo(), {"crop_size": {"shortest_edge": 3}}, ValueError, "crop_size: expected a side"),
        (photo(), {"image_mean": [0.5]}, ValueError, "image_mean: expected 3 values"),
        (photo(), {"data_format": "hwc"}, ValueError, "data_format: expected one of"),
        (photo(), {"return_tensors": "tf"}, ValueError, "return_tensors: expected"),
    ],
)
def test_misuse_is_named(
    images: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        CLIPImageProcessor()(images, **options)


def test_images_of_several_sizes_make_no_tensor() -> None:
    images = [photo(), photo().resize((30, 40))]
    processor = CLIPImageProcessor(do_center_crop=False, do_resize=False)
    assert len(processor(images).pixel_values) == 2
    with pytest.raises(ValueError, match="images of one size"):
        processor(images, return_tensors="np")


def test_files(folder: Path) -> None:
    processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=True)
    assert processor.to_dict() == CLIPImageProcessor(**PUBLISHED).to_dict()
    assert processor.size == {"shortest_edge": 448}
    by_file = CLIPImageProcessor.from_pretrained(folder / "preprocessor_config.json", size=10)
    assert by_file.size == {"shortest_edge": 10}
    _, unused = CLIPImageProcessor.from_pretrained(folder, foo=1, return_unused_kwargs=True)
    assert unused == {"foo": 1}
    (folder / "preprocessor_config.json").write_text('{"image_processor_type": "ViT"}')
    with pytest.raises(ValueError, match="image_processor_type: expected CLIPImageProcessor"):
        AutoImageProcessor.from_pretrained(folder)
    with pytest.raises(CheckpointError, match="preprocessor_config"):
        AutoImageProcessor.from_pretrained(DATA / "ckpt_ntk")


def test_auto_processor(folder: Path, tmp_path: Path) -> None:
    processor = AutoProcessor.from_pretrained(folder)
    both = processor(text="a cat", images=photo(), return_tensors="np")
    assert list(both) == ["input_ids", "attention_mask", "pixel_values"]
    assert both.pixel_values.shape == (1, 3, 448, 448)
    assert processor.batch_decode(both.input_ids, skip_special_tokens=True) == ["a cat"]
    np.testing.assert_array_equal(
        processor(photo(), return_tensors="np").pixel_values, both.pixel_values
    )
    with pytest.raises(ValueError, match="expected at least one of them"):
        processor()
    copied = tmp_path / "copied"
    processor.save_pretrained(copied)
    (copied / "tokenizer_config.json").unlink()
    assert isinstance(AutoProcessor.from_pretrained(copied), CLIPImageProcessor)
    tokenizer = AutoProcessor.from_pretrained(DATA / "ckpt_ntk")
    assert type(tokenizer) is type(AutoTokenizer.from_pretrained(DATA / "ckpt_ntk"))
    with pytest.raises(CheckpointError, match="preprocessor_config"):
        AutoProcessor.from_pretrained(DATA / "images")


def test_torch() -> None:
    torch = optional("torch", "test-extras")
    processor = CLIPImageProcessor(size=60, crop_size=50)
    feature = processor(photo(), return_tensors="pt")
    assert feature.pixel_values.dtype == torch.float32
    assert feature.to(torch.bfloat16).pixel_values.dtype == torch.bfloat16
    tensor = torch.from_numpy(np.array(photo()))
    np.testing.assert_array_equal(
        processor(tensor, return_tensors="np").pixel_values,
        processor(photo(), return_tensors="np").pixel_values,
    )
