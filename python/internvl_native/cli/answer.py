"""Shows the answer to one question."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TextIO

from internvl_native.cli.dialogue import Dialogue
from internvl_native.cli.terminal import Style, printable


@dataclass(frozen=True)
class AnswerStyle:
    """How answers appear on stdout.

    Attributes:
        stream: as they come, if stdout is a terminal.
        stats: where a line about tokens and seconds follows, if that is a terminal.
    """

    stream: bool
    stats: TextIO | None


def show_answer(dialogue: Dialogue, question: str, style: AnswerStyle) -> None:
    """Asks, and writes the answer to stdout."""
    at_terminal = sys.stdout.isatty()
    streamer = dialogue.streamer(sys.stdout if style.stream and at_terminal else None)
    answer = dialogue.ask(question, streamer)
    if streamer is not None and streamer.out is not None:
        print()
    else:
        print(printable(answer) if at_terminal else answer)
    if streamer is not None and style.stats is not None and style.stats.isatty():
        print(Style(style.stats).dim(streamer.summary()), file=style.stats)
