"""Preprocessing as the model card's program does it, with numpy in torchvision's place."""

from __future__ import annotations

import io

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, features

from . import inputs
from .job import Job, Parts, timed

SIDE = 448
MEAN = np.array((0.485, 0.456, 0.406), np.float32).reshape(3, 1, 1)
STD = np.array((0.229, 0.224, 0.225), np.float32).reshape(3, 1, 1)


def grid_of(width: int, height: int, max_num: int) -> tuple[int, int]:
    """(columns, rows): the nearest aspect ratio; of equal ones the largest that the image's area
    fills by more than half."""
    cells = [
        (columns, rows)
        for columns in range(1, max_num + 1)
        for rows in range(1, max_num + 1)
        if columns * rows <= max_num
    ]
    cells.sort(key=lambda cell: cell[0] * cell[1])
    best, best_difference = (1, 1), float("inf")
    for columns, rows in cells:
        difference = abs(width / height - columns / rows)
        fills = width * height > 0.5 * SIDE**2 * columns * rows
        if difference < best_difference or (difference == best_difference and fills):
            best, best_difference = (columns, rows), difference
    return best


def pixel_values(image: Image.Image, max_num: int) -> NDArray[np.float32]:
    """(tiles, 3, 448, 448), the thumbnail last."""
    columns, rows = grid_of(*image.size, max_num)
    resized = image.resize((columns * SIDE, rows * SIDE), Image.Resampling.BICUBIC)
    tiles = [
        resized.crop((x * SIDE, y * SIDE, (x + 1) * SIDE, (y + 1) * SIDE))
        for y in range(rows)
        for x in range(columns)
    ]
    if len(tiles) > 1:
        tiles.append(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return np.stack([_normalised(tile) for tile in tiles])


def _normalised(tile: Image.Image) -> NDArray[np.float32]:
    scaled = np.ascontiguousarray(np.asarray(tile).transpose(2, 0, 1)).astype(np.float32) / 255
    return ((scaled - MEAN) / STD).astype(np.float32, copy=False)


class Engine:
    def __init__(self, job: Job) -> None:
        pillow = f"Pillow {PIL.__version__} (libjpeg-turbo {features.version('libjpeg_turbo')})"
        self.description = f"{pillow} and numpy {np.__version__}, one thread"
        self.measures = {
            "decode_jpeg": self.decode_jpeg,
            "preprocess": self.preprocess,
            "load_image": self.load_image,
        }

    def decode_jpeg(self, width: int, height: int) -> Parts:
        data = inputs.jpeg(width, height)
        return timed(lambda: Image.open(io.BytesIO(data)).convert("RGB"))

    def preprocess(self, width: int, height: int) -> Parts:
        image = Image.fromarray(inputs.rgb(width, height))
        return timed(lambda: pixel_values(image, 12))

    def load_image(self, width: int, height: int) -> Parts:
        data = inputs.jpeg(width, height)
        return timed(lambda: pixel_values(Image.open(io.BytesIO(data)).convert("RGB"), 12))
