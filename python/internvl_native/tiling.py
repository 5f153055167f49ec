"""Which grid of tiles an image is cut into. Reference: internvl/train/dataset.py."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TypeVar

from internvl_native.arguments import integer

# 1024 tiles are 262144 tokens, eight times the context of the published models; the reference
# itself, whose search grows with the cube of max_num, hangs from about here on.
MAX_TILES = 1024
MAX_SIDE = 2**16  # of a tile, in pixels

Ratio = TypeVar("Ratio", bound="tuple[int, int]")


def find_closest_aspect_ratio(
    aspect_ratio: float,
    target_ratios: Iterable[Ratio],
    width: int,
    height: int,
    image_size: int,
) -> Ratio | tuple[int, int]:
    """The (columns, rows) of `target_ratios` closest to `aspect_ratio`, in Python floats.

    Of two that are equally close the later one wins if the image's area (`width` * `height`
    pixels) is more than half of the area of its tiles, `image_size` pixels wide each.
    """
    area = width * height
    best: Ratio | tuple[int, int] = (1, 1)
    smallest = float("inf")
    for ratio in target_ratios:
        columns, rows = ratio
        difference = abs(aspect_ratio - columns / rows)
        if difference < smallest or (
            difference == smallest and area > 0.5 * image_size * image_size * columns * rows
        ):
            best, smallest = ratio, difference
    return best


def choose_grid(
    size: tuple[int, int], min_num: int, max_num: int, image_size: int
) -> tuple[int, int]:
    """The (columns, rows) that `dynamic_preprocess` cuts an image of this (width, height) into.

    Raises ValueError unless 1 <= min_num <= max_num <= MAX_TILES and 1 <= image_size <= MAX_SIDE.
    """
    width, height = size
    min_num, max_num = integer("min_num", min_num), integer("max_num", max_num)
    if min_num < 1:
        raise ValueError(f"min_num: expected at least 1, got {min_num}")
    if not min_num <= max_num <= MAX_TILES:
        raise ValueError(f"max_num: expected {min_num} (min_num) to {MAX_TILES}, got {max_num}")
    check_side("image_size", image_size)
    if width < 1 or height < 1:
        raise ValueError(f"image: expected at least one pixel, got size {width} x {height}")
    candidates = candidate_grids(min_num, max_num)
    return find_closest_aspect_ratio(width / height, candidates, width, height, image_size)


def check_side(name: str, value: int) -> None:
    """TypeError or ValueError for what is no length of a tile's side."""
    if not 1 <= integer(name, value) <= MAX_SIDE:
        raise ValueError(f"{name}: expected 1 to {MAX_SIDE} pixels, got {value}")


@lru_cache(maxsize=64)
def candidate_grids(min_num: int, max_num: int) -> tuple[tuple[int, int], ...]:
    """All (columns, rows) with min_num to max_num tiles, ascending by tiles.

    Ties are decided by the order of candidates, and the reference's order inside one area is the
    iteration order of a set. That order follows from the hashes and from the order of insertion,
    so the grids enter a set here too, in the order in which the reference's three nested loops
    first meet them: by the longer side, the first shell holding all up to min_num.
    """
    grids: set[tuple[int, int]] = set()
    for longest in range(min_num, max_num + 1):
        for columns in range(1, longest + 1):
            complete = longest == min_num or columns == longest
            for rows in range(1 if complete else longest, min(longest, max_num // columns) + 1):
                if columns * rows >= min_num:
                    grids.add((columns, rows))
    return tuple(sorted(grids, key=lambda grid: grid[0] * grid[1]))
