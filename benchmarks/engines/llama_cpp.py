"""llama.cpp on the same decoder, by llama-cpp-python with its default settings."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import llama_cpp

from benchmarks.checkpoint import SHAPES

from . import gguf_file, inputs
from .job import Job, Parts, timed

CONTEXT = 2048
FILE_TYPES = {"Q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0}


class Engine:
    def __init__(self, job: Job) -> None:
        self.job = job
        self.sizes = SHAPES[job.shape]
        self.context = 0  # tokens of the last prompt
        self.description = f"llama.cpp by llama-cpp-python {llama_cpp.__version__}, {job.variant}"
        self.measures = {"prefill": self.prefill, "decode": self.decode}

    def _file(self, name: str) -> Path:
        return self.job.folder / f"decoder-{name}.gguf"

    def _converted(self) -> Path:
        """The file of the job's kind of weights; one that was interrupted has another name."""
        bfloat16 = self._file("BF16")
        if not bfloat16.exists():
            unfinished = self._file("unfinished")
            gguf_file.write(unfinished, self.job.folder, self.sizes)
            unfinished.rename(bfloat16)
        path = self._file(self.job.variant)
        if not path.exists():
            unfinished = self._file("unfinished")
            settings = llama_cpp.llama_model_quantize_default_params()
            settings.ftype = FILE_TYPES[self.job.variant]
            settings.nthread = self.job.threads
            failed = llama_cpp.llama_model_quantize(
                str(bfloat16).encode(), str(unfinished).encode(), settings
            )
            if failed:
                raise OSError(f"{bfloat16}: llama_model_quantize returned {failed}")
            unfinished.rename(path)
        return path

    @cached_property
    def model(self) -> Any:
        return llama_cpp.Llama(
            str(self._converted()),
            n_ctx=CONTEXT,
            n_threads=self.job.threads,
            n_threads_batch=self.job.threads,
            verbose=False,
        )

    def prefill(self, tokens: int) -> Parts:
        ids = inputs.token_ids(1, tokens, self.sizes.vocab)[0].tolist()
        model = self.model
        model.reset()
        seconds = timed(lambda: model.eval(ids))
        self.context = tokens
        return seconds

    def decode(self, context: int) -> Parts:
        if self.context != context:
            self.prefill(context)
        model = self.model

        def step() -> None:
            model.n_tokens = context  # drops the token of the step before
            model.eval([5])

        return timed(step, inputs.DECODE_STEPS)
