"""Exceptions as one line for the user."""

from __future__ import annotations

import difflib
from pathlib import Path


class UsageError(Exception):
    """Arguments that do not go together, which argparse cannot see."""


def error_line(error: BaseException) -> str:
    """What went wrong in one line; with a file of a similar name, where one does not exist."""
    if isinstance(error, MemoryError):
        return f"out of memory: {error}" if str(error) else "out of memory"
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        name = str(error.filename)
        hint = did_you_mean(name) if isinstance(error, FileNotFoundError) else ""
        return f"{name}: {error.strerror}{hint}"
    return str(error) or type(error).__name__


def did_you_mean(name: str) -> str:
    """ "; did you mean ...?" with a file beside the one that is missing, or nothing."""
    path = Path(name)
    if path.exists() or not path.parent.is_dir():
        return ""
    close = difflib.get_close_matches(path.name, [file.name for file in path.parent.iterdir()], n=1)
    return f"; did you mean {str(path.parent / close[0])!r}?" if close else ""
