"""A small trained checkpoint that comes with the package, and pictures to ask it about.

    model = AutoModel.from_pretrained("internvl-native/demo")

It knows drawings and documents such as those of `PICTURES`, in English and Chinese, and nothing
else: no photographs, no knowledge of the world. `examples/train_demo` in the repository trains it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

CHECKPOINT = "internvl-native/demo"
"""The name by which `from_pretrained` and the command line find the checkpoint."""

CHECKPOINT_FOLDER = Path(__file__).parent / "checkpoint"
"""Where the checkpoint's files are."""

PICTURES = Path(__file__).parent / "pictures"
"""The folder of the pictures."""


class Question(NamedTuple):
    """A question about a picture that was not seen in training, and the right answer."""

    picture: Path
    language: str
    """"en" or "zh"."""
    question: str
    answer: str


def questions() -> list[Question]:
    """Ten questions, in both languages."""
    entries = json.loads((Path(__file__).parent / "questions.json").read_text(encoding="utf-8"))
    return [Question(**{**entry, "picture": PICTURES / entry["picture"]}) for entry in entries]
