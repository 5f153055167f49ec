"""Questions and answers about drawn pictures, in English and Chinese. A task is a function of a
random generator and a language; its name is the row of the accuracy table."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, TypeVar

from examples.train_demo import drawing
from examples.train_demo.drawing import Canvas, Thing
from examples.train_demo.words import (
    CHINESE,
    COLOURS,
    ENGLISH,
    FIELDS,
    ITEMS,
    MONTHS,
    PLACES,
    SHAPES,
    SYLLABLES,
)
from PIL import Image

TILE = 112
ORDINALS = ("first", "second", "third", "fourth")
T = TypeVar("T")
Turn = tuple[str, str]  # a question and its answer


@dataclass
class Sample:
    task: str
    language: str
    pictures: list[Canvas]
    """What the model sees."""
    turns: list[Turn]
    max_num: int = 1

    @property
    def images(self) -> list[Image.Image]:
        return [picture.image for picture in self.pictures]


Task = Callable[..., Sample]
"""Draws a sample from a random generator, of a language and at most a number of turns (or one)."""


def article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


class Speaker:
    """Words of one language."""

    def __init__(self, rng: random.Random, language: str) -> None:
        self.rng, self.language, self.english = rng, language, language == "en"

    def say(self, english: str, chinese: str) -> str:
        """One of the ways to say it; they are separated by |."""
        return self.rng.choice((english if self.english else chinese).split("|"))

    def colour(self, colour: str) -> str:
        return colour if self.english else COLOURS[colour][0]

    def shape(self, shape: str) -> str:
        return shape if self.english else SHAPES[shape]

    def place(self, cell: tuple[int, int]) -> str:
        return PLACES[cell][0 if self.english else 1]

    def thing(self, thing: Thing) -> str:
        joint = " " if self.english else "的"
        return f"{self.colour(thing.colour)}{joint}{self.shape(thing.shape)}"

    def name_of(self, english: str, names: dict[str, str]) -> str:
        return english if self.english else names[english]

    def word(self) -> str:
        """A word of the lists, or one that was never seen before."""
        if self.rng.random() < 0.6:
            return self.rng.choice(ENGLISH if self.english else CHINESE)
        if self.english:
            return "".join(self.rng.choices(SYLLABLES, k=self.rng.randint(2, 3)))
        return self.rng.choice(CHINESE)[:1] + self.rng.choice(CHINESE)[1:]

    def digits(self, low: int = 2, high: int = 4) -> str:
        length = self.rng.randint(low, high)
        return str(self.rng.randint(10 ** (length - 1), 10**length - 1))

    def value(self) -> str:
        return self.digits() if self.rng.random() < 0.5 else self.word()

    def describe(self, canvas: Canvas) -> str:
        ordered = sorted(canvas.things, key=lambda t: (t.cell[1], t.cell[0]))
        if self.english:
            parts = [
                f"{article(t.colour)} {t.colour} {t.shape} at the {self.place(t.cell)}"
                for t in ordered
            ]
            return ", ".join(parts) + "."
        parts = [f"{self.place(t.cell)}有一个{self.thing(t)}" for t in ordered]
        return "，".join(parts) + "。"  # noqa: RUF001


def shapes(rng: random.Random, number: int) -> Canvas:
    """A picture of some shapes, each in a quarter and colour of its own."""
    cells = rng.sample([(x, y) for x in range(2) for y in range(2)], number)
    things = list(zip(rng.sample(list(COLOURS), number), rng.sample(list(SHAPES), number), cells))
    return drawing.scene(rng, rng.choice([TILE, 168, 224]), things, 2)


def tiles(rng: random.Random) -> int:
    """Most scenes are seen as one tile, some as up to four and the thumbnail."""
    return rng.choice([1, 1, 4])


Ask = Callable[[Speaker, Canvas], Turn]


def ask_colour(s: Speaker, picture: Canvas) -> Turn:
    thing = s.rng.choice(picture.things)
    name = s.shape(thing.shape)
    question = s.say(
        f"What colour is the {name}?|Tell me the colour of the {name}.",
        f"{name}是什么颜色?|请问{name}的颜色是什么?",
    )
    return question, s.colour(thing.colour)


def ask_shape(s: Speaker, picture: Canvas) -> Turn:
    thing = s.rng.choice(picture.things)
    name = s.colour(thing.colour)
    question = s.say(
        f"What shape is {name}?|Which shape is {name}?",
        f"什么形状是{name}的?|{name}的是什么形状?",
    )
    return question, s.shape(thing.shape)


def ask_position(s: Speaker, picture: Canvas) -> Turn:
    thing = s.rng.choice(picture.things)
    question = s.say(f"Where is the {s.thing(thing)}?", f"{s.thing(thing)}在哪里?")
    return question, s.place(thing.cell)


def ask_caption(s: Speaker, picture: Canvas) -> Turn:
    question = s.say(
        "Please describe the image.|Describe the picture.", "请描述这张图片。|图里有什么?"
    )
    return question, s.describe(picture)


def ask_grounding(s: Speaker, picture: Canvas) -> Turn:
    thing = s.rng.choice(picture.things)
    name = f"<ref>{s.thing(thing)}</ref>"
    question = s.say(
        "Please provide the bounding box coordinates of the region this sentence describes: "
        + name,
        f"请给出{name}的边界框。",
    )
    return question, f"{name}<box>[{picture.thousandths(thing.box)}]</box>"


def about_shapes(name: str, ask: Ask) -> Task:
    """The task of one such question; further turns ask any."""

    def task(rng: random.Random, language: str, turns: int = 1) -> Sample:
        s, picture = Speaker(rng, language), shapes(rng, rng.randint(2, 4))
        asked = dict(a(s, picture) for a in (ask, *rng.choices(FURTHER, k=turns - 1)))
        return Sample(name, language, [picture], list(asked.items()), tiles(rng))

    task.__name__ = name
    return task


FURTHER = [ask_colour, ask_shape, ask_position, ask_grounding]
colour, shape, position, grounding, caption = (
    about_shapes(ask.__name__[4:], ask) for ask in (*FURTHER, ask_caption)
)


def count(rng: random.Random, language: str, turns: int = 1) -> Sample:
    s = Speaker(rng, language)
    number = rng.randint(1, 6)
    cells = rng.sample([(x, y) for x in range(3) for y in range(3)], number)
    kind, colours = rng.choice(list(SHAPES)), list(COLOURS)
    things = [(rng.choice(colours), kind, cell) for cell in cells]
    picture = drawing.scene(rng, rng.choice([TILE, 168, 224]), things, 3)
    question = s.say(
        "How many shapes are there?|Count the shapes.", "有几个形状?|图中一共有几个形状?"
    )
    turn = (question, str(number))
    return Sample("count", language, [picture], [turn], tiles(rng))


def several_images(rng: random.Random, language: str, turns: int = 1) -> Sample:
    s, pictures = Speaker(rng, language), [shapes(rng, 1) for _ in range(2)]
    asked = []
    for i in rng.sample(range(2), min(turns, 2)):
        thing = pictures[i].things[0]
        question = s.say(f"What is in Image-{i + 1}?", f"Image-{i + 1}里有什么?")
        answer = s.say(f"{article(thing.colour)} {s.thing(thing)}", f"一个{s.thing(thing)}")
        asked.append((question, answer))
    asked[0] = ("Image-1: <image>\nImage-2: <image>\n" + asked[0][0], asked[0][1])
    return Sample("several images", language, pictures, asked, tiles(rng))


def conversation(rng: random.Random, language: str, turns: int = 1) -> Sample:
    """Two turns about one picture; `it` is the shape of the first answer."""
    s, picture = Speaker(rng, language), shapes(rng, rng.randint(2, 4))
    thing = rng.choice(picture.things)
    name = s.colour(thing.colour)
    asked = [
        (s.say(f"What shape is {name}?", f"什么形状是{name}的?"), s.shape(thing.shape)),
        (s.say("Where is it?", "它在哪里?"), s.place(thing.cell)),
    ]
    return Sample("conversation", language, [picture], asked, tiles(rng))


def some(rng: random.Random, things: Sequence[T], turns: int) -> list[T]:
    """Different ones, one a turn."""
    return rng.sample(things, min(turns, len(things)))


def reading(rng: random.Random, language: str, turns: int = 1) -> Sample:
    """Some lines that one tile can show; no turns ask for all of them."""
    s = Speaker(rng, language)
    lines = [s.value() for _ in range(rng.randint(1, 4))]
    picture = drawing.text_lines(rng, lines, language, rng.randint(17, 30), TILE)
    asked = []
    for i in some(rng, range(-1, len(lines)), turns) if turns and len(lines) > 1 else [-1]:
        if i < 0:
            question = s.say("What does the text say?|Read the text.", "上面写着什么?|请读出文字。")
            asked.append((question, "\n".join(lines)))
        else:
            ordinal = s.say(ORDINALS[i], f"第{i + 1}行")
            question = s.say(f"Read the {ordinal} line.", f"{ordinal}写着什么?")
            asked.append((question, lines[i]))
    return Sample("reading", language, [picture], asked, 1)


class Page:
    """A title and lines of a label and a value in small type."""

    def __init__(
        self, rng: random.Random, language: str, width: int, height: int, number: int
    ) -> None:
        self.rng, self.s = rng, Speaker(rng, language)
        labels = rng.sample(list(FIELDS), number)
        self.lines = [(self.s.name_of(label, FIELDS), self.s.value()) for label in labels]
        self.title = self.s.word()
        size, columns = rng.randint(17, 22), rng.random() < 0.3
        self.picture = drawing.page(
            rng, self.title, self.lines, language, size, width, height, columns
        )

    def sample(self, task: str, asked: list[Turn], max_num: int) -> Sample:
        return Sample(task, self.s.language, [self.picture], asked, max_num)

    def values(self, turns: int = 1) -> list[Turn]:
        """Questions about different values; the title is one."""
        asked = []
        for label, value in some(self.rng, [("", self.title), *self.lines], turns):
            question = self.s.say("What is the title?", "标题是什么?")
            if label:
                question = self.s.say(f"What is the {label}?|{label}?", f"{label}是什么?|{label}?")
            asked.append((question, value))
        return asked

    def several_values(self) -> Turn:
        """A question about some of the values, in any order, answered by lines."""
        chosen = self.rng.sample(self.lines, self.rng.randint(1, len(self.lines)))
        question = self.s.say(
            "Read the document. Answer with these lines and nothing else:",
            "读出文件中的内容。只回答这些行:",
        )
        for label, _ in chosen:
            question += f"\n{label}: ..."
        return question, "\n".join(f"{label}: {value}" for label, value in chosen)


def large_page(rng: random.Random, language: str, limit: int = 12) -> tuple[Page, int]:
    """A page that one tile cannot show, and the number of tiles that can."""
    grids = [(i, j) for i in range(2, 5) for j in range(1, 5) if i * j <= limit]
    columns, rows = rng.choice(grids)
    width = round(columns * TILE * rng.uniform(0.85, 1.1))
    height = round(rows * TILE * rng.uniform(0.85, 1.1))
    page = Page(rng, language, width, height, rng.randint(2, min(6, 1 + 2 * rows)))
    return page, columns * rows


def small_text(rng: random.Random, language: str, turns: int = 1) -> Sample:
    page, tiles = large_page(rng, language)
    return page.sample("small text", page.values(turns), tiles)


def document(rng: random.Random, language: str, turns: int = 1) -> Sample:
    page, tiles = large_page(rng, language)
    return page.sample("document", [page.several_values()], tiles)


def receipt(rng: random.Random, language: str, turns: int = 1) -> Sample:
    s = Speaker(rng, language)
    items = rng.sample(list(ITEMS), rng.randint(2, 4))
    prices = [rng.randint(1, 99) for _ in items]
    lines = [(s.name_of(i, ITEMS), str(p)) for i, p in zip(items, prices)]
    lines.append((s.say("Total", "合计"), str(sum(prices))))
    shop = s.say("SHOP", "商店")
    size = rng.randint(18, 24)
    picture = drawing.page(rng, shop, lines, language, size, 224, 224, True)
    asked = [
        (s.say(f"How much is the {name}?", f"{name}多少钱?"), price)
        for name, price in some(rng, lines, turns)
    ]
    return Sample("receipt", language, [picture], asked, max_num=4)


def table(rng: random.Random, language: str, turns: int = 1) -> Sample:
    s = Speaker(rng, language)
    header = [s.name_of(h, FIELDS) for h in rng.sample(list(FIELDS), 2)]
    names = [s.name_of(n, ITEMS) for n in rng.sample(list(ITEMS), rng.randint(2, 4))]
    body = [[n, s.digits(1, 3), s.digits(1, 3)] for n in names]
    size, height = rng.randint(16, 20), rng.choice([TILE, 224]) if len(names) < 3 else 224
    picture = drawing.table(rng, ["", *header], body, language, size, 224, height)
    asked = [
        (s.say(f"What is in the row of {row[0]}?", f"{row[0]}这一行是什么?"), ", ".join(row[1:]))
        for row in some(rng, body, turns)
    ]
    return Sample("table", language, [picture], asked, max_num=4)


def chart(rng: random.Random, language: str, turns: int = 1) -> Sample:
    s = Speaker(rng, language)
    number = rng.randint(3, 5)
    start = rng.randint(0, len(MONTHS) - number)
    names = [s.name_of(m, MONTHS) for m in list(MONTHS)[start : start + number]]
    values = rng.sample(range(5, 100), number)
    size, height = rng.randint(16, 18), rng.choice([TILE, 224])
    picture = drawing.chart(rng, names, values, language, size, 224, height)
    highest = s.say("Which bar is the highest?", "哪一根柱子最高?")
    possible = [(highest, names[values.index(max(values))])]
    for name, value in zip(names, values):
        question = s.say(f"What is the value of {name}?", f"{name}的数值是多少?")
        possible.append((question, str(value)))
    return Sample("chart", language, [picture], some(rng, possible, turns), max_num=4)


# How often each is drawn: more often what is learned more slowly.
SCENES: dict[Task, float] = {
    colour: 0.5, shape: 0.5, count: 4, position: 0.5, caption: 0.5, grounding: 3,
    several_images: 0.5, conversation: 0.5,
}  # fmt: skip
TEXT: dict[Task, float] = {
    reading: 1.5, small_text: 2, document: 1, receipt: 0.5, table: 3, chart: 0.5,
}  # fmt: skip


def transcript(rng: random.Random, language: str, turns: int = 1) -> Sample:
    """Everything that a tile shows: to begin with."""
    if rng.random() < 0.4:
        return caption(rng, language)
    return reading(rng, language, turns=0)


def draw(rng: random.Random, text_share: float, turns: int = 1) -> Sample:
    """Of a random task; no turns mean a transcript."""
    tasks = TEXT if rng.random() < text_share else SCENES
    task = rng.choices(list(tasks), list(tasks.values()))[0] if turns else transcript
    return task(rng, rng.choice(["en", "zh"]), turns)
