"""A conversation about a growing number of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from internvl_native import InternVLChatModel
from internvl_native.cli.images import TiledImage
from internvl_native.cli.streaming import AnswerStreamer
from internvl_native.tokenization import PreTrainedTokenizer


class Dialogue:
    """Images and turns, and the model that answers.

    Attributes:
        images: all of them, in the order in which they were added.
        history: the (question, answer) pairs so far.
    """

    def __init__(
        self,
        model: InternVLChatModel,
        tokenizer: PreTrainedTokenizer,
        generation_config: dict[str, Any],
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.generation_config = generation_config
        self.reset()

    def reset(self) -> None:
        """Forgets turns and images."""
        self.images: list[TiledImage] = []
        self.history: list[tuple[str, str]] = []
        self._seen = 0

    def streamer(self, out: Any) -> AnswerStreamer | None:
        """One that shows an answer on `out`; None with beam search, which cannot be streamed."""
        if self.generation_config.get("num_beams", 1) > 1:
            return None
        return AnswerStreamer(self.tokenizer, out)

    def ask(self, question: str, streamer: AnswerStreamer | None = None) -> str:
        """The answer. An answer that Ctrl-C stops stays in the history as far as it came.

        Raises ValueError if the question has `<image>`, but not one for each new image.
        """
        question = self._with_images(question)
        tiles = [image.pixel_values for image in self.images]
        try:
            answer, _ = self.model.chat(
                self.tokenizer,
                np.concatenate(tiles) if tiles else None,
                question,
                dict(self.generation_config, streamer=streamer),
                num_patches_list=[image.tiles for image in self.images],
                history=self.history,
                return_history=True,
            )
        except KeyboardInterrupt:
            if streamer is not None and streamer.text:
                self.history.append((question, streamer.text.strip()))
                self._seen = len(self.images)
            raise
        self._seen = len(self.images)
        return answer

    def _with_images(self, question: str) -> str:
        """The question with an `<image>` for each image that no question had yet."""
        new = range(self._seen + 1, len(self.images) + 1)
        given = question.count("<image>")
        if given == len(new):
            return question
        if given:
            raise ValueError(
                f"question: expected an <image> for each new image, {len(new)} in all, got {given}"
            )
        if len(self.images) == 1:
            return f"<image>\n{question}"
        return "".join(f"Image-{number}: <image>\n" for number in new) + question
