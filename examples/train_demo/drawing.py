"""Pictures: scenes of shapes, lines of text, receipts, tables, charts and pages, drawn by Pillow.

A `Canvas` also notes what it draws and where, so that the vision model can be taught from it."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from typing import NamedTuple

from examples.train_demo.words import COLOURS
from PIL import Image, ImageDraw, ImageFont

LATIN = (
    "truetype/dejavu/DejaVuSans.ttf",
    "truetype/dejavu/DejaVuSerif.ttf",
    "truetype/dejavu/DejaVuSans-Bold.ttf",
    "truetype/liberation/LiberationSans-Regular.ttf",
    "truetype/liberation/LiberationSerif-Regular.ttf",
)
CJK = (
    "truetype/wqy/wqy-zenhei.ttc",
    "opentype/noto/NotoSansCJK-Regular.ttc",
    "opentype/noto/NotoSerifCJK-Regular.ttc",
)
PACKAGES = "fonts-dejavu-core fonts-liberation fonts-wqy-zenhei fonts-noto-cjk"
Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]
INKS: list[Colour] = [(0, 0, 0), (20, 20, 20), (15, 25, 70), (70, 10, 10), (40, 40, 40)]


@cache
def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    path = f"/usr/share/fonts/{name}"
    try:
        return ImageFont.truetype(path, size)
    except OSError as error:
        raise FileNotFoundError(f"{path}: expected a font; apt-get install {PACKAGES}") from error


@cache
def advance(font: ImageFont.FreeTypeFont, character: str) -> float:
    return font.getlength(character)


def typeface(rng: random.Random, language: str) -> str:
    return rng.choice(LATIN if language == "en" else CJK)


def paper(rng: random.Random) -> Colour:
    shade = rng.randint(232, 255)
    return (shade, rng.randint(shade - 8, shade), rng.randint(shade - 12, shade))


def ink(rng: random.Random) -> Colour:
    return rng.choice(INKS)


@dataclass
class Thing:
    """A drawn shape; its corners and its box (x1, y1, x2, y2) are in pixels."""

    colour: str
    shape: str
    cell: tuple[int, int]
    corners: list[tuple[float, float]]

    @property
    def box(self) -> Box:
        xs, ys = [x for x, _ in self.corners], [y for _, y in self.corners]
        return (min(xs), min(ys), max(xs), max(ys))


class Glyph(NamedTuple):
    """A written character, its centre and the size of its font in pixels."""

    character: str
    x: float
    y: float
    size: float


@dataclass
class Canvas:
    image: Image.Image
    things: list[Thing] = field(default_factory=list)
    glyphs: list[Glyph] = field(default_factory=list)

    @classmethod
    def blank(cls, rng: random.Random, width: int, height: int) -> Canvas:
        return cls(Image.new("RGB", (width, height), paper(rng)))

    def __post_init__(self) -> None:
        self.draw = ImageDraw.Draw(self.image)

    def write(
        self, x: float, y: float, text: str, font: ImageFont.FreeTypeFont, colour: Colour,
        align: str = "l",
    ) -> float:  # fmt: skip
        """Writes a line centred on height y, from x on ("l"), around it ("m") or up to it ("r");
        returns where the line ends."""
        ends = list(accumulate(advance(font, character) for character in text))
        width = ends[-1] if ends else 0.0
        x -= {"l": 0.0, "m": width / 2, "r": width}[align]
        self.draw.text((x, y), text, font=font, fill=colour, anchor="lm")
        for character, begin, end in zip(text, [0.0, *ends], ends):
            if character != " ":
                self.glyphs.append(Glyph(character, x + (begin + end) / 2, y, font.size))
        return x + width

    def thousandths(self, box: Box) -> list[int]:
        """A box as grounding answers write it."""
        width, height = self.image.size
        return [round(v * 1000 / s) for v, s in zip(box, (width, height, width, height))]


def outline(shape: str, x: float, y: float, r: float) -> list[tuple[float, float]]:
    if shape == "square":
        return [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)]
    if shape == "triangle":
        return [(x, y - r), (x + r, y + r), (x - r, y + r)]
    if shape == "diamond":
        return [(x, y - r), (x + r * 0.75, y), (x, y + r), (x - r * 0.75, y)]
    if shape == "cross":
        a = r / 3
        signs = [
            (-a, -r), (a, -r), (a, -a), (r, -a), (r, a), (a, a),
            (a, r), (-a, r), (-a, a), (-r, a), (-r, -a), (-a, -a),
        ]  # fmt: skip
        return [(x + dx, y + dy) for dx, dy in signs]
    if shape == "circle":
        turns = [math.pi * i / 32 for i in range(64)]
        return [(x + r * math.sin(t), y - r * math.cos(t)) for t in turns]
    lengths = [r if i % 2 == 0 else r * 0.42 for i in range(10)]
    turns = [math.pi * i / 5 for i in range(10)]
    return [(x + s * math.sin(t), y - s * math.cos(t)) for s, t in zip(lengths, turns)]


def add_thing(
    canvas: Canvas, rng: random.Random, colour: str, shape: str, cell: tuple[int, int], cells: int
) -> None:
    width, height = canvas.image.size
    cw, ch = width / cells, height / cells
    r = min(cw, ch) * rng.uniform(0.28, 0.42)
    x = cw * (cell[0] + 0.5) + rng.uniform(-1, 1) * (cw / 2 - r) * 0.8
    y = ch * (cell[1] + 0.5) + rng.uniform(-1, 1) * (ch / 2 - r) * 0.8
    red, green, blue = (max(0, min(255, c + rng.randint(-12, 12))) for c in COLOURS[colour][1])
    corners = outline(shape, x, y, r)
    canvas.draw.polygon(corners, fill=(red, green, blue))
    canvas.things.append(Thing(colour, shape, cell, corners))


def scene(
    rng: random.Random, side: int, things: list[tuple[str, str, tuple[int, int]]], cells: int
) -> Canvas:
    """Shapes in some cells of a square grid."""
    canvas = Canvas.blank(rng, side, side)
    for colour, shape, cell in things:
        add_thing(canvas, rng, colour, shape, cell, cells)
    return canvas


def text_lines(rng: random.Random, lines: list[str], language: str, size: int, side: int) -> Canvas:
    """Lines anywhere in a square picture, one below the other, in type that fits."""
    canvas = Canvas.blank(rng, side, side)
    face = typeface(rng, language)
    size = min(size, int(side / len(lines) / 1.1))
    while max(font(face, size).getlength(line) for line in lines) > side - 4 and size > 12:
        size -= 1
    f, colour = font(face, size), ink(rng)
    step = rng.uniform(size * 1.1, side / len(lines))
    y = rng.uniform(step / 2, side - step * (len(lines) - 0.5))
    x = rng.uniform(2, max(2.0, side - 2 - max(f.getlength(line) for line in lines)))
    for line in lines:
        canvas.write(x, y, line, f, colour)
        y += step
    return canvas


def page(
    rng: random.Random, title: str, lines: list[tuple[str, str]], language: str, size: int,
    width: int, height: int, columns: bool,
) -> Canvas:  # fmt: skip
    """A title, and lines of a label and a value, in columns (as on a receipt) or behind a colon."""
    canvas = Canvas.blank(rng, width, height)
    face, colour = typeface(rng, language), ink(rng)
    f, big = font(face, size), font(face, int(size * rng.uniform(1.1, 1.4)))
    canvas.write(width / 2, size * 1.2, title, big, colour, "m")
    top = size * 2
    step = (height - top) / len(lines)
    longest = max(f.getlength(a) + f.getlength(b) for a, b in lines) + size * 2
    indent = rng.uniform(0.1, 0.9) * max(8.0, width - longest)
    column = indent + max(f.getlength(a) for a, _ in lines) + size * rng.uniform(1.0, 2.5)
    for i, (label, value) in enumerate(lines):
        y = top + step * (i + 0.5) + rng.uniform(-0.2, 0.2) * (step - size)
        if columns:
            canvas.write(indent, y, label, f, colour)
            canvas.write(column, y, value, f, colour)
        else:
            x = indent * (1 if rng.random() < 0.5 else rng.uniform(0.3, 1))
            end = canvas.write(x, y, f"{label}:", f, colour)
            canvas.write(end + size * 0.5, y, value, f, colour)
        if rng.random() < 0.15:
            under = y + size * 0.75
            canvas.draw.line((indent, under, width - indent, under), fill=(170, 170, 170))
    return canvas


def table(
    rng: random.Random, header: list[str], body: list[list[str]], language: str, size: int,
    width: int, height: int,
) -> Canvas:  # fmt: skip
    canvas = Canvas.blank(rng, width, height)
    f, colour = font(typeface(rng, language), size), ink(rng)
    lines = [header, *body]
    cw, ch = (width - 8) / len(header), (height - 8) / len(lines)
    for r, line in enumerate(lines):
        for c, text in enumerate(line):
            x, y = 4 + cw * c, 4 + ch * r
            canvas.draw.rectangle((x, y, x + cw, y + ch), outline=(150, 150, 150))
            canvas.write(x + cw / 2, y + ch / 2, text, f, colour, "m")
    return canvas


def chart(
    rng: random.Random, names: list[str], values: list[int], language: str, size: int, width: int,
    height: int,
) -> Canvas:  # fmt: skip
    """Bars with their names below and their values above."""
    canvas = Canvas.blank(rng, width, height)
    f = font(typeface(rng, language), size)
    bottom, top = height - size * 1.8, size * 2.2
    step = (width - 8) / len(names)
    fill = COLOURS[rng.choice(list(COLOURS))][1]
    for i, (name, value) in enumerate(zip(names, values)):
        x = 4 + step * (i + 0.5)
        y = bottom - (bottom - top) * value / max(values)
        canvas.draw.rectangle((x - step * 0.3, y, x + step * 0.3, bottom), fill=fill)
        canvas.write(x, bottom + size * 0.8, name, f, (0, 0, 0), "m")
        canvas.write(x, y - size * 0.7, str(value), f, (0, 0, 0), "m")
    canvas.draw.line((4, bottom, width - 4, bottom), fill=(0, 0, 0))
    return canvas
