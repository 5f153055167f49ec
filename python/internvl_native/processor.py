"""``AutoImageProcessor`` and ``AutoProcessor``: what turns a program's inputs into a model's."""

from __future__ import annotations

import os
from typing import Any

from PIL import Image

from internvl_native import arrays
from internvl_native._core import CheckpointError
from internvl_native.image_processor import BatchFeature, CLIPImageProcessor
from internvl_native.tokenization import AutoTokenizer, PreTrainedTokenizer


class AutoImageProcessor:
    """Loads the image processor of a checkpoint."""

    def __init__(self) -> None:
        raise OSError("AutoImageProcessor.from_pretrained(path) makes an image processor")

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *args: Any, **kwargs: Any
    ) -> Any:
        """See :meth:`CLIPImageProcessor.from_pretrained`, the one kind that there is."""
        return CLIPImageProcessor.from_pretrained(pretrained_model_name_or_path, **kwargs)


class Processor:
    """A tokenizer and an image processor in one call; attributes of either are its own.

    Attributes:
        tokenizer: for text.
        image_processor: for images.
    """

    def __init__(self, image_processor: CLIPImageProcessor, tokenizer: PreTrainedTokenizer) -> None:
        self.image_processor = image_processor
        self.tokenizer = tokenizer

    def __call__(
        self, text: Any = None, images: Any = None, return_tensors: str | None = None, **kwargs: Any
    ) -> BatchFeature:
        """``input_ids`` and ``attention_mask`` of a text, ``pixel_values`` of images, or all.

        Args:
            text: a str or several; images may take its place as the only argument.
            images: what the image processor takes.
            kwargs: options of the tokenizer if there is text, else of the image processor.

        Raises:
            ValueError: neither text nor images, and as the two do.
        """
        if images is None and _is_images(text):
            text, images = None, text
        if text is None and images is None:
            raise ValueError("text, images: expected at least one of them, got neither")
        outputs = BatchFeature({})
        if text is not None:
            outputs.update(self.tokenizer(text, return_tensors=return_tensors, **kwargs))
            kwargs = {}
        if images is not None:
            outputs.update(self.image_processor(images, return_tensors=return_tensors, **kwargs))
        return outputs

    def __getattr__(self, name: str) -> Any:
        parts = (self.__dict__.get("tokenizer"), self.__dict__.get("image_processor"))
        for part in parts:
            if hasattr(part, name):
                return getattr(part, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """Writes the files of both into a folder."""
        self.tokenizer.save_pretrained(save_directory, **kwargs)
        self.image_processor.save_pretrained(save_directory)

    def __repr__(self) -> str:
        return f"Processor(\n{self.image_processor!r}{self.tokenizer!r})"


class AutoProcessor:
    """Loads what a checkpoint has for preparing inputs."""

    def __init__(self) -> None:
        raise OSError("AutoProcessor.from_pretrained(path) makes a processor")

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *args: Any, **kwargs: Any
    ) -> Any:
        """A :class:`Processor` where there are an image processor and a tokenizer, or the one of
        them that is there, as in transformers.

        Raises CheckpointError (an OSError) that names the image processor's file if there is
        neither.
        """
        try:
            image_processor = AutoImageProcessor.from_pretrained(
                pretrained_model_name_or_path, **kwargs
            )
        except CheckpointError as error:
            try:
                return AutoTokenizer.from_pretrained(pretrained_model_name_or_path, **kwargs)
            except CheckpointError:
                raise error from None
        try:
            tokenizer = AutoTokenizer.from_pretrained(pretrained_model_name_or_path, **kwargs)
        except CheckpointError:
            return image_processor
        return Processor(image_processor, tokenizer)


def _is_images(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and _is_images(value[0])
    return isinstance(value, Image.Image) or hasattr(value, "ndim") or arrays.is_torch(value)
