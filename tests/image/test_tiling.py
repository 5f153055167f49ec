"""The choice of the grid, against the reference's own choices: tests/data/tiling.npz."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from internvl_native.image_processing import dynamic_preprocess, load_image
from internvl_native.tiling import (
    MAX_TILES,
    candidate_grids,
    choose_grid,
    find_closest_aspect_ratio,
)


@pytest.fixture(scope="module")
def goldens() -> dict[str, NDArray[np.integer]]:
    with np.load(Path(__file__).resolve().parents[1] / "data" / "tiling.npz") as archive:
        return dict(archive)


def test_candidates_and_their_order(goldens: dict[str, NDArray[np.integer]]) -> None:
    offsets = goldens["candidate_offsets"]
    for i, (low, high) in enumerate(goldens["candidate_sets"].tolist()):
        expected = goldens["candidates"][offsets[i] : offsets[i + 1]]
        assert candidate_grids(low, high) == tuple(map(tuple, expected.tolist())), (low, high)


@pytest.mark.parametrize("min_num", [1, 7, 60])
def test_candidates_beyond_the_goldens(min_num: int) -> None:
    # The reference's loops, in the order in which they fill their set.
    grids = {
        (i, j)
        for n in range(min_num, 101)
        for i in range(1, n + 1)
        for j in range(1, n + 1)
        if min_num <= i * j <= 100
    }
    assert candidate_grids(min_num, 100) == tuple(sorted(grids, key=lambda g: g[0] * g[1]))


def test_choices_at_448(goldens: dict[str, NDArray[np.integer]]) -> None:
    sizes = goldens["query_wh"].tolist()
    for (low, high), chosen in zip(goldens["query_sets"].tolist(), goldens["chosen_448"]):
        ours = [choose_grid(size, low, high, 448) for size in sizes]
        np.testing.assert_array_equal(ours, chosen, err_msg=f"{low}..{high}")


def test_choices_at_other_tile_sizes(goldens: dict[str, NDArray[np.integer]]) -> None:
    sizes = goldens["query_wh"][goldens["other_query_index"]].tolist()
    for s, tile_size in enumerate(goldens["other_sizes"].tolist()):
        for k, (low, high) in enumerate(goldens["other_sets"].tolist()):
            ours = [choose_grid(size, low, high, tile_size) for size in sizes]
            np.testing.assert_array_equal(ours, goldens["chosen_other"][s, k])


def test_midpoints_between_ratios(goldens: dict[str, NDArray[np.integer]]) -> None:
    for low, high, width, height, columns, rows in goldens["midpoint_rows"].tolist():
        assert choose_grid((width, height), low, high, 448) == (columns, rows)


def test_find_closest_aspect_ratio_takes_the_later_of_two_for_large_images() -> None:
    ratios = [(1, 1), (2, 2), (1, 2)]
    assert find_closest_aspect_ratio(1.0, ratios, 100, 100, 448) == (1, 1)
    assert find_closest_aspect_ratio(1.0, ratios, 800, 800, 448) == (2, 2)
    assert find_closest_aspect_ratio(0.5, ratios, 1, 2, 448) == (1, 2)
    assert find_closest_aspect_ratio(3.0, [], 3, 1, 448) == (1, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_num": 0}, "min_num: expected at least 1, got 0"),
        ({"max_num": 0}, "max_num: expected 1"),
        ({"min_num": 7, "max_num": 6}, r"max_num: expected 7 \(min_num\)"),
        ({"max_num": 10**12}, f"to {MAX_TILES}, got 1000000000000"),
        ({"image_size": 0}, "(image|input)_size: expected 1 to 65536 pixels, got 0"),
        (
            {"image_size": 2**30, "max_num": 4},
            "(image|input)_size: expected 1 to 65536 pixels, got 1073741824",
        ),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any], message: str) -> None:
    image = Image.new("RGB", (30, 20))
    with pytest.raises(ValueError, match=message):
        dynamic_preprocess(image, **arguments)
    if "image_size" in arguments:
        arguments = {**arguments, "input_size": arguments["image_size"]}
        del arguments["image_size"]
    with pytest.raises(ValueError, match=message):
        load_image(image, **arguments)


def test_most_tiles() -> None:
    tiles = dynamic_preprocess(Image.new("RGB", (64, 64)), MAX_TILES, MAX_TILES, 4, True)
    assert len(tiles) == MAX_TILES + 1


@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "1", "LA", "CMYK"])
def test_tiles_keep_the_mode_of_the_image(mode: str) -> None:
    image = Image.effect_noise((90, 50), 80).convert(mode)
    tiles = dynamic_preprocess(image, 2, 6, 32, True)
    resized = image.resize((64, 32))
    assert [tile.mode for tile in tiles] == [mode] * 3
    assert tiles[0].tobytes() == resized.crop((0, 0, 32, 32)).tobytes()
    assert tiles[1].tobytes() == resized.crop((32, 0, 64, 32)).tobytes()
    assert tiles[2].tobytes() == image.resize((32, 32)).tobytes()


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_tiles_keep_what_the_image_says_about_itself(mode: str) -> None:
    """Resolution, colour profile and the like, each tile its own."""
    image = Image.effect_noise((90, 50), 80).convert(mode)
    image.info = {"dpi": (72, 72)}
    tiles = dynamic_preprocess(image, 2, 6, 32, True)
    del tiles[0].info["dpi"]
    assert [tile.info for tile in tiles] == [{}, {"dpi": (72, 72)}, {"dpi": (72, 72)}]
