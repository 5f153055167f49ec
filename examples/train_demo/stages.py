"""What is learned from what, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

VISION, PROJECTOR, LANGUAGE = "model.vision_model.", "model.mlp1.", "model.language_model."
NAMING, TELLING = "naming.", "telling."  # what only the lessons need


@dataclass
class Stage:
    name: str
    lesson: str
    """naming: single tiles -> what their slots show; telling: slots told instead of seen
    and a question -> the answer; matching: single tiles -> what telling makes of them;
    answering: tiles and a question -> the answer"""
    learns: tuple[str, ...]
    steps: int
    batch: int
    rate: float
    text_share: float = 0.65
    max_num: int = 12
    turns: int = 6
    """at most, about a picture; none: a transcript of what it shows"""
    enlarged: float = 0
    """share of pages that are cut into more tiles than they need"""


EVERYTHING = (VISION, PROJECTOR, LANGUAGE)
STAGES = [
    Stage("vision alone", "naming", (VISION, NAMING), 2500, 64, 2e-3),
    Stage("reading aloud", "telling", (LANGUAGE, TELLING), 500, 96, 2e-3, 0, 1, 0),
    Stage("language alone, 1 tile", "telling", (LANGUAGE, TELLING), 300, 96, 2e-3, 0.4, 1),
    Stage("language alone, 1 to 12 tiles", "telling", (LANGUAGE, TELLING), 500, 48, 2e-3),
    Stage("projector and vision", "matching", (VISION, PROJECTOR), 1000, 64, 1e-3),
    Stage("everything, reading aloud", "answering", EVERYTHING, 600, 96, 1e-3, 0, 1, 0),
    Stage("everything, 1 to 4 tiles", "answering", EVERYTHING, 900, 48, 1e-3, 0.6, 4),
    Stage("everything, 1 tile", "answering", EVERYTHING, 600, 64, 1e-3, 0.3, 1),
    Stage("everything, 1 to 12 tiles", "answering", EVERYTHING, 3000, 48, 1e-3, 0.7),
    Stage("everything, 1 to 40 tiles", "answering", EVERYTHING, 250, 48, 5e-4, 0.7, 40, 6, 0.35),
]
