"""What is shown on a terminal: styles, and text that came from a model."""

from __future__ import annotations

import os
from typing import TextIO

# Control characters that an answer may hold; a terminal would act on them.
_VISIBLE = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"
}


def printable(text: str) -> str:
    """The text with control characters, except line feed and tab, spelt out."""
    return text.translate(_VISIBLE)


class Style:
    """ANSI styles for one stream: none unless it is a terminal, or with NO_COLOR."""

    def __init__(self, stream: TextIO) -> None:
        self.enabled = (
            stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        )

    def dim(self, text: str) -> str:
        """For what is beside the point."""
        return self._wrap("2", text)

    def bold(self, text: str) -> str:
        """For what the eye should find."""
        return self._wrap("1", text)

    def red(self, text: str) -> str:
        """For errors."""
        return self._wrap("31", text)

    def prompt(self, text: str) -> str:
        """For readline, which has to know the characters that take no room."""
        return f"\001\033[1;36m\002{text}\001\033[0m\002" if self.enabled else text

    def _wrap(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.enabled else text
