"""What the process of an engine is told, and what its engine offers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

# Seconds of each part; a measurement without parts has one.
Parts = dict[str, float]


@dataclass(frozen=True)
class Job:
    """Attributes:
    checkpoint: a folder of benchmarks/checkpoint.py; engines keep converted files beside it.
    shape: its name in SHAPES.
    """

    checkpoint: str
    shape: str
    dtype: str
    threads: int
    variant: str

    @property
    def folder(self) -> Path:
        return Path(self.checkpoint)

    def dumps(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> Job:
        return cls(**json.loads(text))


class Measurable(Protocol):
    """Attributes:
    description: name, version and settings.
    measures: by kind of stage, what runs it once and returns what it took. Preparations are
        not in the time.
    """

    description: str
    measures: Mapping[str, Callable[..., Parts]]


# What whole models are measured with.
MODEL_KINDS = ("vision", "projector", "prefill", "decode", "chat", "second_turn")


def measures_of(engine: object, kinds: Iterable[str]) -> dict[str, Callable[..., Parts]]:
    """An engine's methods by kind; `decode_batch` is `decode` with a number of sequences."""
    measures = {kind: getattr(engine, kind) for kind in kinds}
    return {**measures, "decode_batch": measures["decode"]}


def timed(run: Callable[[], Any], repeats: int = 1) -> Parts:
    """Seconds of one of `repeats` calls."""
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return {"seconds": (time.perf_counter() - start) / repeats}
