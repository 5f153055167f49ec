"""The native resize against Pillow's."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import PIL
import pytest
from PIL import Image

from internvl_native import _core

# Earlier releases never start with the height, which shows in the last bit.
HEIGHT_FIRST = int(PIL.__version__.split(".")[0]) >= 13


def starts_with_width(source: tuple[int, int], target: tuple[int, int]) -> bool:
    saved = source[0] - target[0], source[1] - target[1]
    return 0 in saved or saved[1] <= max(0, 2 * saved[0])


def check(rng: np.random.Generator, source: tuple[int, int], target: tuple[int, int]) -> None:
    if not HEIGHT_FIRST and not starts_with_width(source, target):
        return
    pixels = rng.integers(0, 256, (source[1], source[0], 3), dtype=np.uint8)
    if rng.random() < 0.3:  # overshoot at hard edges meets the clipping
        pixels = np.where(pixels < 128, np.uint8(0), np.uint8(255))
    expected = np.asarray(Image.fromarray(pixels).resize(target))
    np.testing.assert_array_equal(
        _core.resize_bicubic(pixels, target), expected, err_msg=f"{source} to {target}"
    )


def test_random_sizes() -> None:
    rng = np.random.default_rng(3)
    for _ in range(500):
        width, height, new_width, new_height = np.exp(rng.uniform(0, 6.2, 4)).astype(int).tolist()
        check(rng, (width, height), (new_width, new_height))


@pytest.mark.parametrize("seed", range(4))
def test_photograph_sizes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    width, height = rng.integers(300, 2500, 2).tolist()
    columns, rows = rng.integers(1, 5, 2).tolist()
    check(rng, (width, height), (448 * columns, 448 * rows))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((1, 1), (448, 448)),
        ((1, 20000), (448, 5376)),
        ((20000, 1), (5376, 448)),
        ((20000, 3), (3, 448)),
        ((3, 20000), (448, 3)),
        ((448, 448), (448, 448)),
        ((448, 31), (448, 448)),
        ((31, 448), (448, 448)),
        ((5000, 448), (448, 448)),
        ((1, 60000), (1, 1)),
    ],
)
def test_extreme_sizes(source: tuple[int, int], target: tuple[int, int]) -> None:
    check(np.random.default_rng(5), source, target)


def test_one_thread_gives_the_same() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (333, 257, 3), dtype=np.uint8)
    before = _core.num_threads()
    results = []
    for threads in (1, 3):
        _core.set_num_threads(threads)
        results.append(_core.resize_bicubic(pixels, (448, 896)))
    _core.set_num_threads(before)
    np.testing.assert_array_equal(results[0], results[1])


HASHES = """
import hashlib
import numpy as np
from internvl_native import _core
rng = np.random.default_rng(7)
for _ in range(60):
    width, height, new_width, new_height = np.exp(rng.uniform(0, 5.5, 4)).astype(int).tolist()
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    resized = _core.resize_bicubic(pixels, (new_width, new_height))
    print(hashlib.sha256(resized.tobytes()).hexdigest())
"""


def test_every_instruction_set_gives_the_same() -> None:
    """What is not `generic` cuts the weights into digits, each in its own way."""
    printed = {
        isa: subprocess.run(
            [sys.executable, "-c", HASHES], env={**os.environ, "INTERNVL_NATIVE_ISA": isa},
            check=True, capture_output=True, text=True,
        ).stdout
        for isa in _core.cpu_isas()
    }  # fmt: skip
    assert len(printed["generic"].split()) == 60
    assert len(set(printed.values())) == 1


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3), (5, 5, 4), (5, 5)])
def test_wrong_pixels(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        _core.resize_bicubic(np.zeros(shape, np.uint8), (4, 4))


@pytest.mark.parametrize("size", [(0, 4), (4, 0), (-1, 4)])
def test_wrong_size(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="size: expected at least 1 x 1"):
        _core.resize_bicubic(np.zeros((5, 5, 3), np.uint8), size)
