"""What is drawn in each small part of a tile: what the two halves of the model learn from alone.

A tile has 8 x 32 slots of 14 x 3.5 pixels. A slot's label is the character whose centre it holds,
or the shape and colour that cover its centre, or nothing."""

from __future__ import annotations

import math
import random

import numpy as np
from examples.train_demo import drawing
from examples.train_demo.drawing import Canvas
from examples.train_demo.tasks import TILE, Speaker
from examples.train_demo.words import CHARACTERS, COLOURS, FIELDS, SHAPES
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from internvl_native.tiling import choose_grid

ROWS, COLUMNS = 8, 32
CHARACTER_LABEL = {c: 1 + i for i, c in enumerate(CHARACTERS)}
SHAPE_LABEL = {
    (c, s): 1 + len(CHARACTERS) + i
    for i, (c, s) in enumerate((c, s) for c in COLOURS for s in SHAPES)
}
SMALLEST = 7.5  # size of type in pixels that can be read
LABELS = 1 + len(CHARACTERS) + len(SHAPE_LABEL)
LATIN = [c for c in CHARACTERS if c < "\x7f"]
CHINESE = [c for c in CHARACTERS if c > "\x7f"]


def label_names() -> list[list[str]]:
    """Of each label, what it is called in both languages."""
    shapes = [[c, COLOURS[c][0], s, SHAPES[s], f" {c}", f" {s}"] for c, s in SHAPE_LABEL]
    return [[], *([character] for character in CHARACTERS), *shapes]


def slots(canvas: Canvas, box: drawing.Box) -> NDArray[np.int64]:
    """The labels (8, 32) of a tile that shows this part of a canvas."""
    labels = np.zeros((ROWS, COLUMNS), np.int64)
    left, top, right, bottom = box
    width, height = (right - left) / COLUMNS, (bottom - top) / ROWS
    if canvas.things:
        mask = Image.new("I", canvas.image.size)
        draw = ImageDraw.Draw(mask)
        for t in canvas.things:
            draw.polygon(t.corners, fill=SHAPE_LABEL[t.colour, t.shape])
        xs = left + (np.arange(COLUMNS) + 0.5) * width
        ys = top + (np.arange(ROWS) + 0.5) * height
        labels = np.asarray(mask)[np.ix_(ys.astype(int), xs.astype(int))].astype(np.int64)
    for character, x, y, size in canvas.glyphs:
        row, column = math.floor((y - top) / height), math.floor((x - left) / width)
        readable = size * TILE / ROWS / height >= SMALLEST
        if readable and 0 <= row < ROWS and 0 <= column < COLUMNS:
            labels[row, column] = CHARACTER_LABEL[character]
    return labels


def tile_slots(canvas: Canvas, max_num: int) -> NDArray[np.int64]:
    """The labels (tiles, 8, 32) of the tiles that a canvas is cut into, the thumbnail last."""
    width, height = canvas.image.size
    columns, rows = choose_grid((width, height), 1, max_num, TILE)
    w, h = width / columns, height / rows
    boxes = [(w * c, h * r, w * (c + 1), h * (r + 1)) for r in range(rows) for c in range(columns)]
    if len(boxes) > 1:
        boxes.append((0, 0, width, height))
    return np.stack([slots(canvas, box) for box in boxes])


def tile(rng: random.Random) -> tuple[Image.Image, NDArray[np.int64]]:
    """A tile and the labels of its slots, (8, 32)."""
    canvas = written(rng) if rng.random() < 0.8 else shapes(rng)
    labels = slots(canvas, (0, 0, *canvas.image.size))
    return canvas.image.resize((TILE, TILE), Image.Resampling.BICUBIC), labels


def shapes(rng: random.Random) -> Canvas:
    cells = rng.choice([1, 2, 2, 3])
    places = [(x, y) for x in range(cells) for y in range(cells)]
    things = [
        (rng.choice(list(COLOURS)), rng.choice(list(SHAPES)), place)
        for place in rng.sample(places, rng.randint(1, len(places)))
    ]
    return drawing.scene(rng, rng.choice([TILE, 168, 224]), things, cells)


def written(rng: random.Random) -> Canvas:
    """Lines of words, numbers and single characters that run over the edges of the tile."""
    language = rng.choice(["en", "zh"])
    side = rng.choice([TILE, TILE, TILE, 96, 128, 160, 80])
    canvas = Canvas.blank(rng, side, side)
    size = rng.randint(16, 24) if rng.random() < 0.8 else rng.randint(11, 32)
    size = max(size, side * 11 // TILE)
    f = drawing.font(drawing.typeface(rng, language), size)
    s = Speaker(rng, language)
    colour = drawing.ink(rng)
    y = rng.uniform(-0.4, 1.0) * size
    gap = rng.uniform(1.15, 2.5)
    while y < side + size / 2:
        x = rng.uniform(-3, 3) * size
        while x < side:
            x = canvas.write(x, y, phrase(rng, s), f, colour) + rng.uniform(0.4, 2) * size
        y += size * gap
    if rng.random() < 0.2:
        y = rng.uniform(0, side)
        canvas.draw.line((0, y, side, y), fill=(160, 160, 160))
    if rng.random() < 0.2:
        x = rng.uniform(0, side)
        canvas.draw.line((x, 0, x, side), fill=(160, 160, 160))
    return canvas


def phrase(rng: random.Random, s: Speaker) -> str:
    kind = rng.random()
    if kind < 0.3:
        return s.word()
    if kind < 0.5:
        return s.digits(1, 5)
    if kind < 0.65:
        return s.name_of(rng.choice(list(FIELDS)), FIELDS) + rng.choice(["", ":"])
    if s.english:
        return "".join(rng.choices(LATIN, k=rng.randint(1, 5)))
    return "".join(rng.choices(CHINESE, k=rng.randint(1, 4)))
