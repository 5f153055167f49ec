"""Boxes of answers: parsing, drawing, and the tokens that hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples import grounding
from PIL import Image, ImageChops
from tests.examples.test_examples import IMAGES, SMALL, run_example
from tests.support.goldens import DATA

from internvl_native import AutoTokenizer
from internvl_native.demo import CHECKPOINT, PICTURES


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("<ref>the cup</ref><box>[[0, 250, 500, 1000]]</box>", [("the cup", (0, 0.25, 0.5, 1))]),
        (
            "Sure: <ref> a\nb </ref>\n<box>[[1,2,3,4]]</box>.",
            [("a\nb", (0.001, 0.002, 0.003, 0.004))],
        ),
        (
            "<ref>cats</ref><box>[[0,0,10,10],[990, 990, 1000, 1000]]</box> and "
            "<ref>dog</ref><box>[[500,500,600.5,700]]</box>",
            [
                ("cats", (0, 0, 0.01, 0.01)),
                ("cats", (0.99, 0.99, 1, 1)),
                ("dog", (0.5, 0.5, 0.6005, 0.7)),
            ],
        ),
        ("<ref>turned</ref><box>[[900, 800, 100, 200]]</box>", [("turned", (0.1, 0.2, 0.9, 0.8))]),
        ("<ref>outside</ref><box>[[-5, 0, 1200, 10]]</box>", [("outside", (0, 0, 1, 0.01))]),
        ("<ref>three numbers</ref><box>[[1, 2, 3]]</box>", []),
        ("<ref>cut off</ref><box>[[1, 2, 3, 4]]", []),
        ("No cup here.", []),
    ],
)
def test_parse_boxes(answer: str, expected: list[tuple[str, tuple[float, ...]]]) -> None:
    boxes = grounding.parse_boxes(answer)
    assert [box.label for box in boxes] == [label for label, _ in expected]
    for box, (_, corners) in zip(boxes, expected):
        assert box.corners == pytest.approx(corners)


def test_draw_boxes() -> None:
    image = Image.new("L", (200, 100), 255)
    answer = (
        "<ref>a</ref><box>[[100, 200, 300, 800], [500, 200, 600, 800]]</box>"
        "<ref>b</ref><box>[[700, 200, 900, 800]]</box>"
    )
    drawn = grounding.draw_boxes(image, grounding.parse_boxes(answer))
    assert drawn.size == image.size
    red, lime = (255, 0, 0), (0, 255, 0)
    corners = {(20, 20): red, (60, 80): red, (100, 50): red, (140, 50): lime, (180, 80): lime}
    assert {pixel: drawn.getpixel(pixel) for pixel in corners} == corners
    assert drawn.getpixel((40, 50)) == drawn.getpixel((5, 5)) == (255, 255, 255)
    assert image.getpixel((20, 20)) == 255


@pytest.fixture
def answer_ids() -> tuple[Any, list[int]]:
    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    text = "<ref>the cup</ref><box>[[0, 250, 500, 1000]]</box><|im_end|>"
    return tokenizer, tokenizer(text, add_special_tokens=False)["input_ids"]


def test_grounding_tokens_are_kept(answer_ids: tuple[Any, list[int]]) -> None:
    tokenizer, ids = answer_ids
    assert "<box>" not in tokenizer.decode(ids, skip_special_tokens=True)
    grounding.keep_grounding_tokens(tokenizer)
    text = tokenizer.decode(ids, skip_special_tokens=True)
    assert [box.label for box in grounding.parse_boxes(text)] == ["the cup"]


def test_a_box_is_drawn(tmp_path: Path) -> None:
    """Around the blue star, which is at the top right."""
    output = tmp_path / "boxes.png"
    printed = run_example("grounding.py", "--output", output)
    label, numbers = printed.splitlines()[-1].split(": ")
    left, top, right, bottom = json.loads(numbers)
    assert label == "blue star"
    with Image.open(output) as drawn, Image.open(PICTURES / "shapes.png") as original:
        assert original.width / 2 <= left < right <= original.width
        assert 0 <= top < bottom <= original.height / 2
        different = ImageChops.difference(drawn, original.convert("RGB")).getbbox()
    assert different is not None
    assert np.abs(np.array(different) - (left, top, right, bottom)).max() < 20


def test_noise_holds_no_boxes(tmp_path: Path) -> None:
    output, image = tmp_path / "boxes.png", IMAGES / "land.jpg"
    noise = ("--checkpoint", DATA / "ckpt_layernorm")
    assert run_example("grounding.py", image, "--output", output, *noise, *SMALL)
    with Image.open(output) as drawn, Image.open(image) as original:
        assert drawn.tobytes() == original.convert("RGB").tobytes()
