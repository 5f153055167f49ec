"""What the two engines on torch share: the stages by the calls that transformers' `generate` makes.

Subclasses have `features`, `prompt_logits`, `step` and `answer` for their classes.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import torch

from benchmarks.checkpoint import SHAPES
from benchmarks.work import IMAGE_TOKENS

from . import inputs
from .job import MODEL_KINDS, Job, Parts, measures_of, timed


class TorchEngine(ABC):
    """Attributes:
    past: keys and values of the last prompt, for decoding.
    """

    description: str

    def __init__(self, job: Job) -> None:
        torch.set_num_threads(job.threads)
        torch.set_grad_enabled(False)
        self.job = job
        self.sizes = SHAPES[job.shape]
        self.dtype: Any = getattr(torch, job.dtype)
        self.past: dict[tuple[int, int], Any] = {}
        self.seeds = itertools.count(1)
        self.measures = measures_of(self, MODEL_KINDS)

    @cached_property
    def model(self) -> Any:
        return self.load_model()

    @abstractmethod
    def load_model(self) -> Any:
        """The model in `self.dtype`, ready for inference."""

    @abstractmethod
    def features(self, pixels: Any) -> Any:
        """Image features of (tiles, 3, 448, 448)."""

    @abstractmethod
    def project(self, shuffled: Any) -> Any:
        """The projector alone on (rows, 4 widths)."""

    @abstractmethod
    def run_decoder(self, ids: Any, past: Any) -> Any:
        """Keys and values of the tokens after `past` (None for a prompt), logits computed, too."""

    @abstractmethod
    def answer(self, pixels: Any, second_turn: bool) -> None:
        """Generates NEW_TOKENS tokens in answer to a question about the tiles."""

    def pixels(self, tiles: int) -> Any:
        return torch.from_numpy(inputs.pixel_values(tiles, next(self.seeds))).to(self.dtype)

    def vision(self, tiles: int) -> Parts:
        pixels, _ = self.pixels(tiles), self.model
        return timed(lambda: self.features(pixels))

    def projector(self, tiles: int) -> Parts:
        rows = torch.ones(tiles * IMAGE_TOKENS, 4 * self.sizes.vit_width, dtype=self.dtype)
        _ = self.model
        return timed(lambda: self.project(rows))

    def prefill(self, tokens: int, sequences: int = 1) -> Parts:
        ids = torch.from_numpy(inputs.token_ids(sequences, tokens, self.sizes.vocab))
        self.past.clear()
        _ = self.model

        def run() -> None:
            self.past[tokens, sequences] = self.run_decoder(ids, None)

        return timed(run)

    def decode(self, context: int, sequences: int = 1) -> Parts:
        if (context, sequences) not in self.past:
            self.prefill(context, sequences)
        past = self.past[context, sequences]
        token = torch.full((sequences, 1), 5)
        return timed(lambda: self.run_decoder(token, past), inputs.DECODE_STEPS)

    def chat(self, tiles: int) -> Parts:
        pixels, _ = self.pixels(tiles), self.model
        return timed(lambda: self.answer(pixels, False))

    def second_turn(self, tiles: int) -> Parts:
        pixels, _ = self.pixels(tiles), self.model
        return timed(lambda: self.answer(pixels, True))
