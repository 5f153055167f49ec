"""A picture of the tiles that an image becomes."""

from __future__ import annotations

from typing import Union

from PIL import Image, ImageDraw, ImageFont

from internvl_native._core import TileGrid
from internvl_native.image_processing import dynamic_preprocess, tile_grid
from internvl_native.image_source import ImageSource, open_rgb

_Font = Union[ImageFont.FreeTypeFont, ImageFont.ImageFont]

# In pixels of the picture.
_WIDTH = 900  # that the columns share
_LARGEST_TILE = 200
_SMALLEST_TILE = 24
_MARGIN, _GAP, _GUTTER = 16, 4, 24
_CAPTION_HEIGHT = 40
_FONT_SIZE = 16

_PAPER, _INK = "white", "#1f2328"


def show_tiles(
    image_file: ImageSource,
    max_num: int = 12,
    *,
    min_num: int = 1,
    input_size: int = 448,
    use_thumbnail: bool = True,
    num_image_token: int | None = None,
) -> Image.Image:
    """Draws what the model sees of an image: its tiles, numbered in their order.

    A notebook's cell that ends with the call shows the picture. `image_file`, `max_num`, `min_num`,
    `input_size` (pixels) and `use_thumbnail` are those of `load_image`; the thumbnail is the last
    tile, to the right. `num_image_token` is the number of tokens that a tile becomes,
    `model.num_image_token`; left out, it is that of the published models, whose tokens are squares
    of 28 pixels.

    Returns an RGB PIL image, whose caption counts tiles and tokens. Raises ValueError, TypeError
    and OSError as `load_image` does.
    """
    image = open_rgb(image_file)
    grid = tile_grid(image.size, min_num, max_num, input_size, use_thumbnail)
    tiles = dynamic_preprocess(image, min_num, max_num, input_size, use_thumbnail)
    if num_image_token is None:
        num_image_token = (input_size // 28) ** 2
    size = f"{image.width} x {image.height} pixels"
    return _draw(tiles, grid, f"{size}: {describe_tiles(grid, num_image_token)}")


def describe_tiles(grid: TileGrid, num_image_token: int) -> str:
    """One line, such as "4 x 3 tiles + thumbnail = 13 tiles, 3328 tokens"."""
    cells = grid.columns * grid.rows
    text = f"{grid.columns} x {grid.rows} tiles" if cells > 1 else "1 tile"
    if grid.tiles > cells:
        text += f" + thumbnail = {grid.tiles} tiles"
    return f"{text}, {grid.tiles * num_image_token} tokens"


def _draw(tiles: list[Image.Image], grid: TileGrid, caption: str) -> Image.Image:
    """The grid, the thumbnail to its right, and the caption below."""
    columns, rows = grid.columns, grid.rows
    has_thumbnail = len(tiles) > columns * rows
    side = (_WIDTH - 2 * _MARGIN) // (columns + has_thumbnail) - _GAP
    side = max(_SMALLEST_TILE, min(_LARGEST_TILE, side))
    step = side + _GAP
    corners = [
        (_MARGIN + column * step, _MARGIN + row * step)
        for row in range(rows)
        for column in range(columns)
    ]
    if has_thumbnail:
        corners.append((_MARGIN + columns * step + _GUTTER, _MARGIN))

    font = _font(_FONT_SIZE)
    width = corners[-1][0] + side if has_thumbnail else _MARGIN + columns * step - _GAP
    width = max(width, _MARGIN + round(font.getlength(caption)))
    height = _MARGIN + rows * step + _CAPTION_HEIGHT
    picture = Image.new("RGB", (width + _MARGIN, height), _PAPER)
    draw = ImageDraw.Draw(picture)
    for number, (tile, (x, y)) in enumerate(zip(tiles, corners), 1):
        picture.paste(tile.resize((side, side), Image.Resampling.LANCZOS), (x, y))
        _label(draw, (x, y), str(number), font)
    draw.text((_MARGIN, height - _CAPTION_HEIGHT + 4), caption, fill=_INK, font=font)
    return picture


def _label(draw: ImageDraw.ImageDraw, corner: tuple[int, int], text: str, font: _Font) -> None:
    """White on dark, so that it can be read on any image."""
    x, y = corner
    _, _, right, bottom = draw.textbbox((x + 6, y + 4), text, font=font)
    draw.rectangle((x, y, right + 6, bottom + 4), fill=_INK)
    draw.text((x + 6, y + 4), text, fill=_PAPER, font=font)


def _font(size: int) -> _Font:
    """Pillow's own font; releases before 10.1 have it in one small size only."""
    try:
        return ImageFont.load_default(size)
    except TypeError:
        return ImageFont.load_default()
