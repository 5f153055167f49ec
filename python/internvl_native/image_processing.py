"""From images to pixel values, under the names that the model cards' programs use.

Everything here gives the bytes and floats of the reference (internvl/train/dataset.py with Pillow
13 and torchvision): the work is done in C++, on the package's threads and without the GIL.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from internvl_native import _core
from internvl_native._core import ImageError, Normalization, TileGrid
from internvl_native.arguments import kind
from internvl_native.image_source import ImageSource, JpegFile, open_image, pil_pixels
from internvl_native.tiling import check_side, choose_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CLIP_MEAN = (0.4814546, 0.4578275, 0.40821073)
CLIP_STD = (0.2686295, 0.2613025, 0.2757711)
SIGLIP_MEAN = SIGLIP_STD = (0.5, 0.5, 0.5)

_STATISTICS = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "clip": (CLIP_MEAN, CLIP_STD),
    "siglip": (SIGLIP_MEAN, SIGLIP_STD),
}


def load_image(
    image_file: ImageSource,
    input_size: int = 448,
    max_num: int = 12,
    min_num: int = 1,
    use_thumbnail: bool = True,
    return_tensors: str | None = None,
) -> Any:
    """An image as the model takes it: float32 (tiles, 3, input_size, input_size), normalised.

    `image_file` is a path, the bytes of a file, a binary file object, a uint8 array of shape
    (height, width[, 1, 3 or 4]) or a PIL image. It is cut into `min_num` to `max_num` tiles, and
    `use_thumbnail` adds one of the whole where there is more than one. `return_tensors` is "pt"
    for a torch tensor, "np" for a numpy array, and None for "pt" where torch is installed.

    Raises ValueError for arguments out of range, OSError (ImageError, FileNotFoundError,
    PIL.UnidentifiedImageError) for files that cannot be read, and Pillow's
    DecompressionBombError for images far above PIL.Image.MAX_IMAGE_PIXELS.
    """
    tensors = tensor_kind(return_tensors)
    check_side("input_size", input_size)
    image = open_image(image_file)
    size = image.size if isinstance(image, JpegFile) else (image.shape[1], image.shape[0])
    grid = tile_grid(size, min_num, max_num, input_size, use_thumbnail)
    return as_tensor(_cut_pixel_values(image, grid), tensors)


def dynamic_preprocess(
    image: Image.Image,
    min_num: int = 1,
    max_num: int = 12,
    image_size: int = 448,
    use_thumbnail: bool = False,
) -> list[Image.Image]:
    """Cuts a PIL image into `min_num` to `max_num` square tiles of `image_size` pixels, row by row.

    `use_thumbnail` appends one tile of the whole image if there is more than one. As in the
    reference the tiles keep the image's mode and its `info`; other modes than RGB are resized by
    Pillow.
    """
    _check_pil_image(image)
    grid = tile_grid(image.size, min_num, max_num, image_size, use_thumbnail)
    if image.mode == "RGB":
        tiles = [Image.fromarray(tile) for tile in _core.cut_tiles(pil_pixels(image), grid)]
        for tile in tiles:
            tile.info = image.info.copy()
        return tiles
    columns, rows = range(grid.columns), range(grid.rows)
    resized = image.resize((grid.columns * image_size, grid.rows * image_size))
    corners = [(x * image_size, y * image_size) for y in rows for x in columns]
    tiles = [resized.crop((x, y, x + image_size, y + image_size)) for x, y in corners]
    if grid.tiles > len(tiles):
        tiles.append(image.resize((image_size, image_size)))
    return tiles


def tile_grid(
    size: tuple[int, int], min_num: int, max_num: int, image_size: int, use_thumbnail: bool
) -> TileGrid:
    """The grid of an image of this (width, height); its `tiles` count the thumbnail as well."""
    columns, rows = choose_grid(size, min_num, max_num, image_size)
    return TileGrid(columns, rows, image_size, use_thumbnail)


@dataclass(frozen=True)
class ImageTransform:
    """Turns one PIL image into normalised floats; made by `build_transform`."""

    input_size: int
    pad2square: bool = False
    normalize_type: str = "imagenet"

    def __call__(self, image: Image.Image) -> Any:
        """float32 (3, input_size, input_size): a torch tensor if torch is installed, else numpy."""
        tensors = tensor_kind(None)
        _check_pil_image(image)
        pixels = pil_pixels(image)
        if self.pad2square:
            pixels = _pad_to_square(pixels, _STATISTICS[self.normalize_type][0])
        grid = TileGrid(1, 1, self.input_size, False)
        values = _core.cut_pixel_values(pixels, grid, _normalization(self.normalize_type))
        return as_tensor(values[0], tensors)


def build_transform(*args: Any, **kwargs: Any) -> ImageTransform:
    """`build_transform(input_size)` of the model cards, and the repository's
    `build_transform(is_train, input_size, pad2square=False, normalize_type='imagenet')`.

    The result maps a PIL image to float32 (3, input_size, input_size): RGB, resized without
    regard to its aspect ratio (or padded to a square with the mean colour before), normalised with
    the statistics of "imagenet", "clip" or "siglip". Only inference: `is_train=True` raises.
    """
    if "is_train" not in kwargs and not (args and isinstance(args[0], bool)):
        args = (False, *args)
    return _build_transform(*args, **kwargs)


def _build_transform(
    is_train: bool, input_size: int, pad2square: bool = False, normalize_type: str = "imagenet"
) -> ImageTransform:
    if is_train:
        raise NotImplementedError("build_transform: is_train=True (augmentation) is not supported")
    if normalize_type not in _STATISTICS:
        raise ValueError(
            f"normalize_type: expected one of {', '.join(_STATISTICS)}, got {normalize_type!r}"
        )
    check_side("input_size", input_size)
    return ImageTransform(input_size, pad2square, normalize_type)


def _check_pil_image(image: Any) -> None:
    if not isinstance(image, Image.Image):
        raise TypeError(f"image: expected a PIL image, got {kind(image)}")


def _pad_to_square(
    pixels: NDArray[np.uint8], mean: tuple[float, float, float]
) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.empty((side, side, 3), np.uint8)
    square[:] = [int(x * 255) for x in mean]
    square[top : top + height, left : left + width] = pixels
    return square


@cache
def _normalization(normalize_type: str) -> Normalization:
    return Normalization(*_STATISTICS[normalize_type])


def _cut_pixel_values(image: JpegFile | NDArray[np.uint8], grid: TileGrid) -> NDArray[np.float32]:
    norm = _normalization("imagenet")
    if not isinstance(image, JpegFile):
        return _core.cut_pixel_values(image, grid, norm)
    try:
        return _core.cut_jpeg_pixel_values(image.data, image.size, grid, norm)
    except ImageError:
        return _core.cut_pixel_values(image.pixels_by_pillow(), grid, norm)


def tensor_kind(return_tensors: str | None) -> str:
    """ "np" or "pt"; None is decided by whether torch is installed."""
    if return_tensors is None:
        return "pt" if _torch_is_installed() else "np"
    if return_tensors not in ("np", "pt"):
        raise ValueError(f"return_tensors: expected 'np', 'pt' or None, got {return_tensors!r}")
    if return_tensors == "pt" and not _torch_is_installed():
        raise ImportError("return_tensors='pt' needs torch, which is not installed; use 'np'")
    return return_tensors


def as_tensor(array: NDArray[np.float32], tensors: str) -> Any:
    """The array itself, or a torch tensor of the same memory."""
    if tensors == "np":
        return array
    import torch

    return torch.from_numpy(array)


def _torch_is_installed() -> bool:
    if "torch" in sys.modules:
        return sys.modules["torch"] is not None
    return importlib.util.find_spec("torch") is not None
