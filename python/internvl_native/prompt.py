"""From questions and histories to prompts with image tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from internvl_native import arguments
from internvl_native.conversation import Conversation

IMAGE_TAG = "<image>"


@dataclass(frozen=True)
class ImageTokens:
    """What an image becomes in a prompt: start, ``tokens_per_tile`` context tokens a tile, end."""

    start: str
    end: str
    context: str
    tokens_per_tile: int

    def fill(self, prompt: str, counts: Sequence[int]) -> str:
        """The prompt with its first ``len(counts)`` tags replaced by images of as many tiles."""
        for tiles in counts:
            image = self.start + self.context * self.tokens_per_tile * tiles + self.end
            prompt = prompt.replace(IMAGE_TAG, image, 1)
        return prompt

    def shorten(self, prompt: str) -> str:
        """The prompt as the reference prints it: a tag for each image."""
        return prompt.replace(self.context, "").replace(f"{self.start}{self.end}", IMAGE_TAG)


class Turn(NamedTuple):
    """A question as it enters the history, and the whole prompt with its tags."""

    question: str | None
    prompt: str


def open_turn(
    template: Conversation, question: str | None, history: Sequence[Any] | None, *, images: bool
) -> Turn:
    """Adds a history and a question to a conversation.

    Without history, a question about images that has no tag gets one in front, as in the
    reference. Raises TypeError for a question that is no str; None is an empty message, but only
    without images.
    """
    if question is not None or images:
        question = arguments.question_text(question)
        if history is None and images and IMAGE_TAG not in question:
            question = f"{IMAGE_TAG}\n{question}"
    for turn in history or ():
        template.append_message(template.roles[0], turn[0])
        template.append_message(template.roles[1], turn[1])
    template.append_message(template.roles[0], question)
    template.append_message(template.roles[1], None)
    return Turn(question, template.get_prompt())
