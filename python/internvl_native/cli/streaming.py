"""Shows an answer while it is generated, and takes the time."""

from __future__ import annotations

import time
from typing import Any, TextIO

from internvl_native import TextStreamer
from internvl_native.cli.terminal import printable
from internvl_native.units import plural


class AnswerStreamer(TextStreamer):
    """Collects an answer and writes it to `out`, where one is given, as it comes.

    Attributes:
        text: the answer so far, without the spaces in front.
        times: seconds of `time.perf_counter` at which the tokens came.
    """

    def __init__(self, tokenizer: Any, out: TextIO | None = None) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self.out = out
        self.text = ""
        self.times: list[float] = []
        self._start = time.perf_counter()

    def put(self, value: Any) -> None:
        """Receives the prompt, then a token at a time."""
        if not self.next_tokens_are_prompt:
            self.times.append(time.perf_counter())
        super().put(value)

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        """Receives each new piece of text."""
        piece = text if self.text else text.lstrip()
        self.text += piece
        if self.out is not None and piece:
            self.out.write(printable(piece))
            self.out.flush()

    def summary(self) -> str:
        """Such as "42 tokens, 14.2 per second, the first after 1.2 s"."""
        if not self.times:
            return "no tokens"
        count, first, last = len(self.times), self.times[0], self.times[-1]
        text = plural(count, "token")
        if count > 1:
            text += f", {(count - 1) / (last - first):.1f} per second"
        return f"{text}, the first after {first - self._start:.1f} s"
