"""Asks where something is and draws the boxes of the answer onto the image.

python examples/grounding.py coffee.jpg --object "the cup" --output boxes.png

The model answers `<ref>the cup</ref><box>[[x1, y1, x2, y2], ...]</box>` with coordinates from 0 to
1000, whatever the size of the image.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from internvl_native import AutoModel, AutoTokenizer, load_image
from internvl_native.demo import CHECKPOINT, PICTURES

GROUNDING_TOKENS = ("<ref>", "</ref>", "<box>", "</box>")
COLORS = ("red", "lime", "blue", "yellow", "magenta", "cyan")

_OBJECT = re.compile(r"<ref>(.*?)</ref>\s*<box>(.*?)</box>", re.DOTALL)
_NUMBER = r"\s*(-?\d+(?:\.\d+)?)\s*"
_BOX = re.compile(rf"\[{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}\]")


@dataclass(frozen=True)
class Box:
    """A labelled rectangle; left, top, right and bottom as fractions of the image's sides."""

    label: str
    corners: tuple[float, float, float, float]

    def in_pixels(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """The corners on an image of (width, height)."""
        left, top, right, bottom = self.corners
        return left * size[0], top * size[1], right * size[0], bottom * size[1]


def parse_boxes(answer: str) -> list[Box]:
    """The boxes of an answer in its order, each inside the image and with its corners in order."""
    boxes = []
    for label, coordinates in _OBJECT.findall(answer):
        for box in _BOX.findall(coordinates):
            x1, y1, x2, y2 = (min(max(float(value) / 1000, 0.0), 1.0) for value in box)
            corners = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
            boxes.append(Box(label.strip(), corners))
    return boxes


def draw_boxes(image: Image.Image, boxes: list[Box]) -> Image.Image:
    """A copy of the image with the boxes; those of one label have one colour."""
    drawn = image.convert("RGB")
    draw = ImageDraw.Draw(drawn)
    labels = list(dict.fromkeys(box.label for box in boxes))
    for box in boxes:
        color = COLORS[labels.index(box.label) % len(COLORS)]
        left, top, right, bottom = box.in_pixels(image.size)
        draw.rectangle((left, top, right, bottom), outline=color, width=3)
        draw.text((left + 5, top + 5), box.label, fill=color)
    return drawn


def keep_grounding_tokens(tokenizer: Any) -> None:
    """chat drops special tokens from its answers: those of boxes must no longer be special."""
    tokenizer.additional_special_tokens = [
        token for token in tokenizer.additional_special_tokens if token not in GROUNDING_TOKENS
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("image", nargs="?", type=Path, default=PICTURES / "shapes.png")
    parser.add_argument("--object", default="blue star")
    parser.add_argument("--output", type=Path, default=Path("boxes.png"))
    parser.add_argument("--checkpoint", default=CHECKPOINT)
    parser.add_argument("--max-num", type=int, default=12, help="tiles the image may become")
    parser.add_argument("--max-new-tokens", type=int, default=128)
    arguments = parser.parse_args()

    model = AutoModel.from_pretrained(arguments.checkpoint, torch_dtype="bfloat16").eval()
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    keep_grounding_tokens(tokenizer)
    pixel_values = load_image(
        arguments.image, model.config.force_image_size, arguments.max_num, return_tensors="np"
    )
    question = (
        "<image>\nPlease provide the bounding box coordinate of the region this sentence "
        f"describes: <ref>{arguments.object}</ref>"
    )
    answer = model.chat(
        tokenizer,
        pixel_values,
        question,
        {"max_new_tokens": arguments.max_new_tokens, "do_sample": False},
    )
    print(answer)
    boxes = parse_boxes(answer)
    with Image.open(arguments.image) as image:
        for box in boxes:
            print(f"{box.label}: {[round(pixel) for pixel in box.in_pixels(image.size)]}")
        draw_boxes(image, boxes).save(arguments.output)


if __name__ == "__main__":
    main()
