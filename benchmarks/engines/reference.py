"""The published code: OpenGVLab/InternVL's modules on transformers 4.37.2, eager attention.

The environment variable INTERNVL_REPO names a checkout. `chat` is the model's own; a prompt and a
step are the calls that its `generate` makes, the head over the whole prompt included.
"""

from __future__ import annotations

import gc
import os
from functools import cached_property
from typing import Any

import torch
import transformers

from benchmarks.work import NEW_TOKENS

from . import inputs
from .job import Job, Parts, timed
from .torch_model import TorchEngine


class Engine(TorchEngine):
    def __init__(self, job: Job) -> None:
        if "INTERNVL_REPO" not in os.environ:
            raise ImportError("INTERNVL_REPO names no checkout of OpenGVLab/InternVL")
        from tests.reference.torch_reference import TorchReference

        super().__init__(job)  # after the import, which sets torch to one thread
        self.reference = TorchReference()
        self.description = (
            f"OpenGVLab/InternVL on transformers {transformers.__version__} (eager attention) "
            f"and torch {torch.__version__}"
        )
        self.measures["load"] = self.load

    def load_model(self) -> Any:
        return self.reference.load_model(self.job.folder, self.job.dtype)

    @cached_property
    def tokenizer(self) -> Any:
        return self.reference.load_tokenizer(self.job.folder)

    def load(self) -> Parts:
        self.__dict__.pop("model", None)
        gc.collect()
        return timed(lambda: self.model)

    def features(self, pixels: Any) -> Any:
        return self.model.extract_feature(pixels)

    def project(self, shuffled: Any) -> Any:
        return self.model.mlp1(shuffled)

    def run_decoder(self, ids: Any, past: Any) -> Any:
        decoder = self.model.language_model
        return decoder(input_ids=ids, past_key_values=past, use_cache=True).past_key_values

    def answer(self, pixels: Any, second_turn: bool) -> None:
        options = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False}
        question = inputs.SECOND_QUESTION if second_turn else inputs.QUESTION
        history = [(inputs.QUESTION, inputs.ANSWER)] if second_turn else None
        self.model.chat(self.tokenizer, pixels, question, options, history=history)
