"""`internvl-native tiles` and `show_tiles`: the tiles that the model gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.support.command_line import run
from tests.support.goldens import DATA

import internvl_native
from internvl_native import dynamic_preprocess

IMAGES = DATA / "images"


def test_grid() -> None:
    done = run("tiles", IMAGES / "land.jpg", "--max-num", 6)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"{IMAGES / 'land.jpg'}: 603 x 445 pixels\n"
        "3 x 2 tiles + thumbnail = 7 tiles, 1792 tokens\n\n"
        "  1  2  3\n  4  5  6\n\n  7  the thumbnail\n"
    )


def test_one_tile() -> None:
    done = run("tiles", IMAGES / "square448.jpg", "--max-num", 1)
    assert done.stdout.endswith("448 x 448 pixels\n1 tile, 256 tokens\n\n  1\n")


def test_tokens_of_a_checkpoint() -> None:
    done = run("tiles", IMAGES / "square448.jpg", "--model", DATA / "ckpt_rmsnorm")
    assert done.returncode == 0
    assert "3 x 3 tiles + thumbnail = 10 tiles, 160 tokens" in done.stdout


def test_picture(tmp_path: Path) -> None:
    output = tmp_path / "grid.png"
    done = run("tiles", IMAGES / "port.jpg", "-o", output)
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(output) as saved:
        shown = internvl_native.show_tiles(IMAGES / "port.jpg")
        assert np.array_equal(np.asarray(saved), np.asarray(shown))


def test_pictures_of_unknown_formats(tmp_path: Path) -> None:
    done = run("tiles", IMAGES / "port.jpg", "-o", tmp_path / "grid.xyz")
    assert done.returncode == 1
    assert done.stderr == "internvl-native tiles: unknown file extension: .xyz\n"


def test_what_is_drawn_are_the_tiles() -> None:
    """A picture whose tiles have one colour each shows these colours in their places."""
    colours = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]]], np.uint8)
    image = Image.fromarray(colours.repeat(448, 0).repeat(448, 1))
    picture = np.asarray(internvl_native.show_tiles(image, max_num=4))
    tiles = dynamic_preprocess(image, max_num=4, use_thumbnail=True)
    assert len(tiles) == 5
    step = 204  # a tile of 200 pixels and a gap
    for number, tile in enumerate(tiles[:4]):
        row, column = divmod(number, 2)
        centre = picture[16 + 100 + row * step, 16 + 100 + column * step]
        assert np.array_equal(centre, np.asarray(tile)[224, 224])


@pytest.mark.parametrize("max_num", [1, 12, 40, 1024])
@pytest.mark.parametrize("name", ["land.jpg", "one_wide.png", "tower.jpg"])
def test_the_picture_is_of_a_handy_size(name: str, max_num: int) -> None:
    picture = internvl_native.show_tiles(IMAGES / name, max_num, input_size=28)
    assert picture.mode == "RGB"
    assert picture.width >= 200


@pytest.mark.parametrize(
    "arguments", [{"max_num": 0}, {"input_size": 0}, {"min_num": 5, "max_num": 2}]
)
def test_arguments_out_of_range(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        internvl_native.show_tiles(IMAGES / "land.jpg", **arguments)  # type: ignore[arg-type]


def test_no_image() -> None:
    with pytest.raises(FileNotFoundError):
        internvl_native.show_tiles("none.jpg")
