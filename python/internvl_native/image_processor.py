"""``CLIPImageProcessor``: what a checkpoint's ``preprocessor_config.json`` describes.

Bit for bit the pixel values of transformers 4.37.2 on PIL images. The chat code of InternVL does
not use it (``load_image`` does what that does); programs that take features from InternViT do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from internvl_native import arguments, arrays
from internvl_native.checkpoint.resolve import resolve_checkpoint
from internvl_native.image_source import pil_pixels
from internvl_native.image_steps import HeightWidthChannels, process
from internvl_native.json_file import read_json_object
from internvl_native.tokenization.batch_encoding import BatchEncoding

PREPROCESSOR_CONFIG = "preprocessor_config.json"
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
_FORMATS = ("channels_first", "channels_last")


class BatchFeature(BatchEncoding):
    """``pixel_values`` as an item and as an attribute."""

    def to(self, *args: Any, **kwargs: Any) -> BatchFeature:
        """``tensor.to(...)`` of every torch tensor, in place; arrays have no device."""
        self.data = {
            name: value.to(*args, **kwargs) if arrays.is_torch(value) else value
            for name, value in self.data.items()
        }
        return self


class CLIPImageProcessor:
    """Resizes, crops, rescales and normalises images.

    The arguments are those of ``preprocessor_config.json`` and can be replaced in every call.

    Args:
        do_resize: scale to ``size``, with the filter ``resample`` (3: bicubic).
        size: the shortest edge in pixels, or ``{"height": ..., "width": ...}``.
        do_center_crop: cut ``crop_size`` (a side, or height and width) out of the middle; a smaller
            image is padded with zeros (by an odd number less one, as in the reference).
        do_rescale: multiply by ``rescale_factor``.
        do_normalize: subtract ``image_mean`` and divide by ``image_std``.
        do_convert_rgb: convert PIL images of other modes.

    Source: ``CLIPImageProcessor`` of transformers 4.37.2.
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values"]

    def __init__(
        self,
        do_resize: bool = True,
        size: Any = None,
        resample: int = Image.Resampling.BICUBIC,
        do_center_crop: bool = True,
        crop_size: Any = None,
        do_rescale: bool = True,
        rescale_factor: float = 1 / 255,
        do_normalize: bool = True,
        image_mean: float | list[float] | None = None,
        image_std: float | list[float] | None = None,
        do_convert_rgb: bool = True,
        **kwargs: Any,
    ) -> None:
        self.do_resize = do_resize
        self.size = _size("size", 224 if size is None else size, square=False)
        self.resample = resample
        self.do_center_crop = do_center_crop
        self.crop_size = _size("crop_size", 224 if crop_size is None else crop_size, square=True)
        self.do_rescale = do_rescale
        self.rescale_factor = rescale_factor
        self.do_normalize = do_normalize
        self.image_mean = list(_MEAN) if image_mean is None else image_mean
        self.image_std = list(_STD) if image_std is None else image_std
        self.do_convert_rgb = do_convert_rgb
        for name, value in kwargs.items():
            if name not in ("feature_extractor_type", "image_processor_type"):
                setattr(self, name, value)

    def __call__(self, images: Any, **options: Any) -> BatchFeature:
        """As :meth:`preprocess`."""
        return self.preprocess(images, **options)

    def preprocess(
        self,
        images: Any,
        return_tensors: str | None = None,
        data_format: str = "channels_first",
        input_data_format: str | None = None,
        **options: Any,
    ) -> BatchFeature:
        """Turns images into the pixel values of a model.

        Args:
            images: a PIL image, an array or tensor (height, width, channels) or (channels, height,
                width), a batch of these in one array, or a list of any of them. Values are 0 to
                255, or 0 to 1 with ``do_rescale=False``.
            return_tensors: "pt" or "np" for one tensor or array; None for a list of arrays.
            data_format: "channels_first" or "channels_last", of the result.
            input_data_format: of arrays; found by the axis of 1 or 3 values if left out.
            options: values that replace those of the processor.

        Returns:
            ``pixel_values``, float32 (images, 3, height, width).

        Raises:
            ValueError, TypeError: naming the argument.
        """
        settings = dict(vars(self))
        for name, value in options.items():
            if value is not None:
                settings[name] = value
        settings["size"] = _size("size", settings["size"], square=False)
        settings["crop_size"] = _size("crop_size", settings["crop_size"], square=True)
        order = (2, 0, 1) if _is_channels_first("data_format", data_format) else (0, 1, 2)
        values = []
        for image in _image_list(images):
            pixels = _pixels(image, input_data_format, settings["do_convert_rgb"])
            values.append(np.ascontiguousarray(process(pixels, settings).transpose(order)))
        if return_tensors is None:
            return BatchFeature({"pixel_values": values})
        shapes = sorted({array.shape for array in values})
        if len(shapes) > 1:
            raise ValueError(
                f"return_tensors: expected images of one size after processing, got {shapes}"
            )
        feature = BatchFeature({"pixel_values": np.stack(values)})
        return feature.convert_to_tensors(return_tensors)  # type: ignore[return-value]

    # ---- in and out of files

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> Any:
        """The processor of a checkpoint folder, a hub name or a JSON file.

        ``revision``, ``cache_dir``, ``local_files_only``, ``token`` and ``subfolder`` say where to
        look; others that name values replace them, the rest is ignored (with
        ``return_unused_kwargs=True`` it comes back: ``(processor, unused)``).
        Raises CheckpointError (an OSError) for a file that is missing or not JSON, ValueError for
        a processor of another kind.
        """
        values, others = read_preprocessor_config(pretrained_model_name_or_path, kwargs)
        kind = values.get("image_processor_type") or values.get("feature_extractor_type")
        if kind not in (None, "CLIPImageProcessor", "CLIPFeatureExtractor"):
            raise ValueError(
                f"{os.fspath(pretrained_model_name_or_path)}: image_processor_type: expected "
                f"CLIPImageProcessor or CLIPFeatureExtractor, got {kind!r:.200}"
            )
        return cls.from_dict(values, **others)

    @classmethod
    def from_dict(cls, image_processor_dict: Mapping[str, Any], **kwargs: Any) -> Any:
        """The processor of these values; see :meth:`from_pretrained` for ``kwargs``."""
        return_unused = kwargs.pop("return_unused_kwargs", False)
        defaults = vars(cls())
        known = {name: value for name, value in kwargs.items() if name in defaults}
        unused = {name: value for name, value in kwargs.items() if name not in defaults}
        processor = cls(**{**image_processor_dict, **known})
        return (processor, unused) if return_unused else processor

    def to_dict(self) -> dict[str, Any]:
        """All values, as ``preprocessor_config.json`` holds them."""
        return {**vars(self), "image_processor_type": "CLIPImageProcessor"}

    def to_json_string(self) -> str:
        """JSON of :meth:`to_dict`."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> list[str]:
        """Writes ``preprocessor_config.json`` into a folder; returns its path in a list."""
        if kwargs.get("push_to_hub"):
            raise ValueError("push_to_hub: expected False; upload the folder with huggingface-cli")
        path = arguments.folder("save_directory", save_directory) / PREPROCESSOR_CONFIG
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.to_json_string(), encoding="utf-8")
        return [str(path)]

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"


CLIPFeatureExtractor = CLIPImageProcessor
"""The older name of the same class."""


def read_preprocessor_config(
    name_or_path: str | os.PathLike[str], kwargs: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values in ``preprocessor_config.json``, and the keywords that do not say where it is."""
    others = dict(kwargs)
    where = {name: others.pop(name) for name in _WHERE if name in others}
    for name in _DOWNLOAD:
        others.pop(name, None)
    subfolder = others.pop("subfolder", None) or ""
    if isinstance(name_or_path, (str, os.PathLike)) and os.path.isfile(name_or_path):
        return read_json_object(name_or_path), others
    folder = resolve_checkpoint(name_or_path, files=(PREPROCESSOR_CONFIG,), **where)
    return read_json_object(folder / subfolder / PREPROCESSOR_CONFIG), others


_WHERE = ("cache_dir", "revision", "local_files_only", "token")
_DOWNLOAD = (
    "force_download", "resume_download", "proxies", "trust_remote_code", "code_revision",
    "use_auth_token", "use_fast", "device_map", "torch_dtype",
)  # fmt: skip


# ---- arguments


def _size(name: str, value: Any, *, square: bool) -> dict[str, int]:
    """A side, (height, width) or a dict as a dict; a side is a square's or the shortest edge."""
    sides: Any = value
    if isinstance(value, int):
        sides = {"height": value, "width": value} if square else {"shortest_edge": value}
    if isinstance(value, (list, tuple)) and len(value) == 2:
        sides = {"height": value[0], "width": value[1]}
    expected = [{"height", "width"}] if square else [{"height", "width"}, {"shortest_edge"}]
    if not isinstance(sides, Mapping) or set(sides) not in expected:
        forms = "a side, (height, width) or a dict of " + (
            "height and width" if square else "height and width or of shortest_edge"
        )
        raise ValueError(f"{name}: expected {forms}, got {value!r:.200}")
    if any(arguments.integer(name, side) < 1 for side in sides.values()):
        raise ValueError(f"{name}: expected at least one pixel, got {value!r:.200}")
    return dict(sides)


def _is_channels_first(name: str, data_format: Any) -> bool:
    value = str(getattr(data_format, "value", data_format))  # transformers has an enum
    if value not in _FORMATS:
        raise ValueError(f"{name}: expected one of {', '.join(_FORMATS)}, got {data_format!r}")
    return value == "channels_first"


def _image_list(images: Any) -> list[Any]:
    if isinstance(images, Image.Image):
        return [images]
    if isinstance(images, (list, tuple)):
        if not images:
            raise ValueError("images: expected at least one, got none")
        return list(images)
    if hasattr(images, "ndim"):
        return list(images) if images.ndim == 4 else [images]
    raise TypeError(
        "images: expected a PIL image, an array, a tensor or a list of them, "
        f"got {type(images).__name__}"
    )


def _pixels(image: Any, input_data_format: str | None, do_convert_rgb: bool) -> HeightWidthChannels:
    if isinstance(image, Image.Image):
        pixels = pil_pixels(image) if do_convert_rgb else np.asarray(image)
        return pixels if pixels.ndim == 3 else pixels[:, :, None]
    if arrays.is_torch(image):
        image = image.detach().cpu().numpy()
    if not isinstance(image, np.ndarray):
        raise TypeError(f"images: expected PIL images or arrays, got {type(image).__name__}")
    if image.ndim != 3 or image.dtype.kind not in "uif":
        raise ValueError(
            "images: expected arrays (height, width, channels) or (channels, height, width) of "
            f"numbers, got {image.dtype} {image.shape}"
        )
    if 0 in image.shape:
        raise ValueError(f"images: expected at least one pixel, got shape {image.shape}")
    if input_data_format is not None:
        first = _is_channels_first("input_data_format", input_data_format)
    elif 1 in image.shape[::2] or 3 in image.shape[::2]:
        first = image.shape[0] in (1, 3)
    else:
        raise ValueError(
            f"images: expected 1 or 3 channels first or last, got shape {image.shape}; "
            "input_data_format says which axis they are"
        )
    return image.transpose(1, 2, 0) if first else image
