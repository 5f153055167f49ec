"""Editing, recalling and completing lines of input."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable

try:
    import readline
except ImportError:  # a Python built without it: input() works, without editing
    readline = None  # type: ignore[assignment]


def enable(commands: Iterable[str]) -> None:
    """Tab completes the commands at the beginning of a line, and file names after them."""
    if readline is None:
        return
    names = list(commands)

    def complete(text: str, state: int) -> str | None:
        begin = readline.get_begidx()
        matches = _files(text) if begin else [f"{n} " for n in names if n.startswith(text)]
        return matches[state] if state < len(matches) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" \t\n")
    readline.parse_and_bind("tab: complete")


def _files(text: str) -> list[str]:
    pattern = glob.escape(os.path.expanduser(text)) + "*"
    return [name + "/" * os.path.isdir(name) for name in sorted(glob.glob(pattern))]
