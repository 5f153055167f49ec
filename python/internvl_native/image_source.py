"""From whatever holds an image to its pixels, as Pillow's `convert('RGB')` gives them."""

from __future__ import annotations

import contextlib
import io
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Union

import numpy as np
from PIL import Image, UnidentifiedImageError

from internvl_native import _core
from internvl_native._core import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What load_image accepts: a path, the bytes of a file, a binary file object, a uint8 array of shape
# (height, width) or (height, width, 1, 3 or 4 channels), or a PIL image.
ImageSource = Union[
    str, "os.PathLike[str]", bytes, bytearray, memoryview, BinaryIO, "NDArray[Any]", Image.Image
]

# Pillow's decoders raise these for damaged files; OSError is the usual one.
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    EOFError,
    struct.error,
    RuntimeError,
)


@dataclass(frozen=True)
class JpegFile:
    """An undecoded JPEG file: its bytes, the size its header announces, its name in errors."""

    data: bytes
    size: tuple[int, int]
    name: str

    def pixels(self) -> NDArray[np.uint8]:
        """uint8 (height, width, 3). Raises ImageError for what Pillow cannot decode either."""
        try:
            return _core.decode_jpeg(self.data, self.size)
        except ImageError:
            return self.pixels_by_pillow()

    def pixels_by_pillow(self) -> NDArray[np.uint8]:
        """What Pillow makes of a file that the native decoder refused.

        The native decoder is strict. Pillow decides about damaged files: it shows some of them
        in spite of their defects, honours ImageFile.LOAD_TRUNCATED_IMAGES, and brings a newer
        libjpeg than many systems have.
        """
        return _decode(io.BytesIO(self.data), self.name)


def open_image(image_file: ImageSource) -> JpegFile | NDArray[np.uint8]:
    """A JPEG file still to be decoded, or the uint8 (height, width, 3) pixels of anything else.

    The first frame of an animation; alpha is dropped and EXIF orientation not applied, as in the
    reference. Raises ValueError or TypeError for what is no image, PIL.UnidentifiedImageError and
    ImageError (both OSError) for files in no known format or damaged. A decompression bomb gets
    Pillow's warning or error, by PIL.Image.MAX_IMAGE_PIXELS.
    """
    if isinstance(image_file, Image.Image):
        return pil_pixels(image_file)
    if isinstance(image_file, np.ndarray):
        return _array_pixels(image_file)
    data, name = _read(image_file)
    image = _open(io.BytesIO(data), name)
    if image.format in ("JPEG", "MPO"):
        return JpegFile(data, image.size, name)
    return pil_pixels(image, name)


def open_rgb(image_file: ImageSource) -> Image.Image:
    """The same pixels as an RGB PIL image; raises as `open_image` does."""
    image = open_image(image_file)
    return Image.fromarray(image.pixels() if isinstance(image, JpegFile) else image)


def pil_pixels(image: Image.Image, name: str = "image") -> NDArray[np.uint8]:
    """The pixels of a PIL image of any mode, uint8 (height, width, 3)."""
    if 0 in image.size:
        raise ValueError(f"{name}: expected at least one pixel, got size {image.size}")
    try:
        image.load()
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except _DAMAGED as error:
        raise ImageError(f"{name}: {error}") from error


def _open(file: BinaryIO, name: str) -> Image.Image:
    try:
        return Image.open(file)
    except UnidentifiedImageError:
        raise UnidentifiedImageError(f"cannot identify image file {name!r}") from None
    except _DAMAGED as error:
        raise ImageError(f"{name}: {error}") from error


def _decode(file: BinaryIO, name: str) -> NDArray[np.uint8]:
    return pil_pixels(_open(file, name), name)


def _read(image_file: Any) -> tuple[bytes, str]:
    """The bytes of a file and its name."""
    if isinstance(image_file, (bytes, bytearray, memoryview)):
        return bytes(image_file), "<bytes>"
    if isinstance(image_file, (str, os.PathLike)):
        try:
            with open(image_file, "rb") as file:
                return file.read(), os.fspath(image_file)
        except UnicodeEncodeError:
            raise ValueError(f"image_file: no path can be {os.fspath(image_file)!r:.100}") from None
    if hasattr(image_file, "read"):
        name = str(getattr(image_file, "name", type(image_file).__name__))
        # As Image.open does. What cannot seek is read from where it is, and not everything that
        # cannot says so when asked: the members of a streamed tar file have no answer.
        with contextlib.suppress(AttributeError, OSError):
            image_file.seek(0)
        data = image_file.read()
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"image_file: {name} must be opened in binary mode")
        return bytes(data), name
    raise TypeError(
        "image_file: expected a path, bytes, a binary file object, a numpy array or a PIL image, "
        f"got {type(image_file).__name__}"
    )


def _array_pixels(array: NDArray[Any]) -> NDArray[np.uint8]:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise ValueError(
            "image_file: expected a uint8 array of shape (height, width) or (height, width, 1, 3 "
            f"or 4), got {array.dtype} {array.shape}"
        )
    if 0 in array.shape:
        raise ValueError(f"image_file: expected at least one pixel, got shape {array.shape}")
    rgb = array.reshape(*array.shape[:2], channels)[:, :, :3]
    return np.ascontiguousarray(np.broadcast_to(rgb, (*array.shape[:2], 3)))
