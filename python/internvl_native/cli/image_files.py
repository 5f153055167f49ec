"""The images that names on the command line stand for."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from internvl_native.cli.images import is_url
from internvl_native.video import IMAGE_SUFFIXES, natural_order


def image_files(names: Iterable[str]) -> list[str]:
    """Files and URLs, folders with all below them, and patterns that the shell left alone.

    Each once, in this order, those of a folder or pattern sorted. A file need not exist. Raises
    ValueError for a folder without images and a pattern that fits nothing.
    """
    return list(dict.fromkeys(file for name in names for file in _files(name)))


def _files(name: str) -> list[str]:
    if is_url(name):
        return [name]
    if os.path.isdir(name):
        files = sorted(_below(name), key=natural_order)
        if not files:
            raise ValueError(f"{name}: expected images, got a folder without any")
        return files
    if os.path.exists(name) or not glob.has_magic(name):
        return [name]
    files = sorted(filter(os.path.isfile, glob.iglob(name, recursive=True)), key=natural_order)
    if not files:
        raise ValueError(f"{name}: no file fits this pattern")
    return files


def _below(folder: str) -> Iterator[str]:
    for path, _, files in os.walk(folder):
        for file in files:
            if Path(file).suffix.lower() in IMAGE_SUFFIXES and not file.startswith("."):
                yield os.path.join(path, file)
