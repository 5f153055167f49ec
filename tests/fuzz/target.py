"""What is fuzzed, and how an input is judged."""

from __future__ import annotations

import traceback
import warnings
from pathlib import Path
from random import Random
from typing import Callable, NamedTuple

from internvl_native._core import InternalError

# What the package documents for bad files and bad arguments; CheckpointError, ImageError and
# Pillow's UnidentifiedImageError are OSError. ImportError is for torch where there is none.
DOCUMENTED = (
    ValueError, TypeError, IndexError, OSError, MemoryError, NotImplementedError, ImportError,
)  # fmt: skip


class Target(NamedTuple):
    """One entry to the package."""

    name: str
    seeds: Callable[[], list[bytes]]
    """Inputs that are all right, to begin with."""
    mutate: Callable[[bytes, Random], bytes]
    run: Callable[[bytes, Path], None]
    """Uses an input; the folder is its own, and stays from input to input."""
    allowed: tuple[type[BaseException], ...] = DOCUMENTED


def outcome(target: Target, data: bytes, folder: Path) -> object:
    """Runs one input. None if all went well, or where a documented error was raised.

    Any other error is a finding and comes out of here; so does UnicodeError, which is a ValueError,
    but never a message for users.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.run(data, folder)
    except (UnicodeError, InternalError):
        raise
    except target.allowed as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return type(error), frame.filename, frame.lineno
    return None


class Campaign:
    """Endless inputs: mutations of the seeds, and of those whose error was new.

    Where an error came from tells how far an input got: that is the only coverage measured.
    """

    def __init__(self, target: Target, folder: Path, seed: str) -> None:
        self.target = target
        self.folder = folder
        self.chance = Random(f"{target.name} {seed}")
        self.pool = target.seeds()
        self.outcomes: set[object] = {None}

    def next_input(self) -> bytes:
        data = self.chance.choice(self.pool)
        for _ in range(self.chance.choice([1, 1, 2, 4])):
            data = self.target.mutate(data, self.chance)
        return data

    def run(self, data: bytes) -> None:
        result = outcome(self.target, data, self.folder)
        if result not in self.outcomes:
            self.outcomes.add(result)
            self.pool.append(data)
