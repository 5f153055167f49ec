"""`internvl-native tiles`: the tiles that an image is cut into."""

from __future__ import annotations

import argparse

from internvl_native import show_tiles
from internvl_native.cli.images import read_rgb
from internvl_native.cli.loading import read_config
from internvl_native.cli.options import add_max_num
from internvl_native.core_config import num_image_token, tile_size
from internvl_native.image_processing import tile_grid
from internvl_native.tile_picture import describe_tiles

EXAMPLES = """\
examples:
  internvl-native tiles photo.jpg
  internvl-native tiles photo.jpg --max-num 24 -o grid.png
  internvl-native tiles photo.jpg --model path/to/checkpoint
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options and help."""
    parser.usage = "%(prog)s [options] IMAGE"
    parser.description = "Shows the tiles that an image is cut into, and the tokens they become."
    parser.epilog = EXAMPLES
    parser.add_argument("image", metavar="IMAGE", help="file or URL")
    add_max_num(parser)
    parser.add_argument("-o", "--output", metavar="FILE", help="draw the tiles into an image file")
    parser.add_argument(
        "--model",
        help="checkpoint whose tile size and tokens to use (default: those of the published ones)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints the grid, and draws it where `--output` says so."""
    side, tokens = 448, 256
    if arguments.model:
        config = read_config(arguments.model)
        side, tokens = tile_size(config), num_image_token(config)
    image = read_rgb(arguments.image)
    grid = tile_grid(image.size, 1, arguments.max_num, side, use_thumbnail=True)
    print(f"{arguments.image}: {image.width} x {image.height} pixels")
    print(f"{describe_tiles(grid, tokens)}\n")
    width = len(str(grid.tiles)) + 2
    for row in range(grid.rows):
        first = row * grid.columns + 1
        print("".join(f"{first + column:{width}}" for column in range(grid.columns)))
    if grid.tiles > grid.columns * grid.rows:
        print(f"\n{grid.tiles:{width}}  the thumbnail")
    if arguments.output:
        picture = show_tiles(image, arguments.max_num, input_size=side, num_image_token=tokens)
        picture.save(arguments.output)
    return 0
