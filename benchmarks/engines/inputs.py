"""What every engine is given: the same pixels, tokens, pictures and questions."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.work import IMAGE_TOKENS

PHOTOGRAPH = Path(__file__).parents[2] / "tests" / "data" / "images" / "big.jpg"
QUESTION = "<image>\nPlease describe the image shortly."
ANSWER = "A cup of coffee on a table."
SECOND_QUESTION = "What is on the table?"
DECODE_STEPS = 4  # timed together


def pixel_values(tiles: int, seed: int = 0) -> NDArray[np.float32]:
    """(tiles, 3, 448, 448)."""
    values = np.random.default_rng(seed).standard_normal((3, 448, 448), dtype=np.float32)
    return np.stack([np.roll(values, 7 * tile, axis=2) for tile in range(tiles)])


def token_ids(sequences: int, tokens: int, vocab: int, seed: int = 0) -> NDArray[np.int64]:
    """(sequences, tokens) without the special ids."""
    return np.random.default_rng(seed).integers(10, vocab - 20, (sequences, tokens))


def image_prompt(tiles: int, image_token: int, vocab: int, seed: int, text: int) -> NDArray[Any]:
    """(1, tokens): random text in front of the image tokens."""
    images = np.full((1, tiles * IMAGE_TOKENS), image_token)
    return np.concatenate([token_ids(1, text, vocab, seed), images], axis=1)


@cache
def jpeg(width: int, height: int) -> bytes:
    """A photograph in that size, with a sensor's noise, as cameras store it."""
    with Image.open(PHOTOGRAPH) as image:
        pixels = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    noise = np.random.default_rng(0).normal(0, 4, (height, width, 1))
    noisy = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, "JPEG", quality=90)
    return file.getvalue()


@cache
def rgb(width: int, height: int) -> NDArray[np.uint8]:
    """The decoded pixels of the same, (height, width, 3)."""
    with Image.open(io.BytesIO(jpeg(width, height))) as image:
        return np.asarray(image.convert("RGB"))
