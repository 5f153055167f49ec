"""This package, by the calls that its users make; and the machine's ceilings."""

from __future__ import annotations

import gc
import itertools
from functools import cached_property
from typing import Any

import numpy as np

import internvl_native
from benchmarks.work import NEW_TOKENS, TEXT_TOKENS
from internvl_native import AutoModel, AutoTokenizer, _core, load_image
from internvl_native.decoder_inputs import DecoderInputs, generation_positions
from internvl_native.image_source import JpegFile

from . import inputs
from .job import MODEL_KINDS, Job, Parts, measures_of, timed

# Memory that no cache holds, on few pages and on many.
STREAM_BYTES = (128 << 20, 512 << 20)
# Beside those of every model.
KINDS = ("ceilings", "load", "decode_jpeg", "preprocess", "load_image", "first_token")


class Engine:
    """Every call has inputs that no earlier call had, so that nothing is reused between calls but
    the first turn in `second_turn`."""

    def __init__(self, job: Job) -> None:
        internvl_native.set_num_threads(job.threads)
        self.job = job
        self.backend = _core.kernels.Backend(_core.cpu_backend())
        self.description = f"internvl-native {internvl_native.__version__} ({self.backend.name})"
        self.measures = measures_of(self, [*MODEL_KINDS, *KINDS])
        self.sessions: dict[tuple[int, int], _core.ChatSession] = {}  # the last one, for decoding
        self.first_turns: dict[int, Any] = {}  # pixel values by number of tiles
        self.seeds = itertools.count(1)

    @cached_property
    def model(self) -> Any:
        """The model, with the settings that it is measured with."""
        return AutoModel.from_pretrained(self.job.folder, torch_dtype=self.job.dtype)

    @cached_property
    def tokenizer(self) -> Any:
        return AutoTokenizer.from_pretrained(self.job.folder)

    @cached_property
    def streams(self) -> list[Any]:
        return [_core.kernels.Stream(bytes=size) for size in STREAM_BYTES]

    def ceilings(self) -> Parts:
        """Not seconds: operations a second, and bytes a second of the best pattern."""
        activations = self.backend.activation_dtype(self.job.dtype)
        return {
            "peak": _core.kernels.peak_flops(dtype=activations),
            "stream": max(stream.bandwidth() for stream in self.streams),
        }

    def load(self) -> Parts:
        self.__dict__.pop("model", None)
        self.sessions.clear()
        gc.collect()
        return timed(lambda: self.model)

    def decode_jpeg(self, width: int, height: int) -> Parts:
        return timed(JpegFile(inputs.jpeg(width, height), (width, height), "jpeg").pixels)

    def preprocess(self, width: int, height: int) -> Parts:
        pixels = inputs.rgb(width, height)
        return timed(lambda: load_image(pixels, max_num=12, return_tensors="np"))

    def load_image(self, width: int, height: int) -> Parts:
        data = inputs.jpeg(width, height)
        return timed(lambda: load_image(data, max_num=12, return_tensors="np"))

    def vision(self, tiles: int) -> Parts:
        pixels = inputs.pixel_values(tiles, next(self.seeds))
        model = self.model
        return timed(lambda: model.extract_feature(pixels))

    def projector(self, tiles: int) -> Parts:
        mlp1 = self.model.mlp1
        rows = tiles * self.model.num_image_token
        shuffled = np.ones((rows, mlp1[0].weight.shape[0]), np.float32)
        return timed(lambda: mlp1(shuffled))

    def prefill(self, tokens: int, sequences: int = 1) -> Parts:
        config = self.model.config.llm_config
        ids = inputs.token_ids(sequences, tokens, config.vocab_size)
        mask = np.ones(ids.shape, np.uint8)
        self.sessions.clear()
        session = DecoderInputs.from_ids(ids, config).session(
            self.model._core, mask, generation_positions(mask), []
        )
        seconds = timed(session.prefill)
        self.sessions[tokens, sequences] = session
        return seconds

    def decode(self, context: int, sequences: int = 1) -> Parts:
        """The context grows by the steps; those of the peers stay."""
        if (context, sequences) not in self.sessions:
            self.prefill(context, sequences)
        session = self.sessions[context, sequences]
        token = np.full(sequences, 5, np.int32)
        return timed(lambda: session.step(token), inputs.DECODE_STEPS)

    def chat(self, tiles: int) -> Parts:
        pixels = inputs.pixel_values(tiles, next(self.seeds))
        return timed(lambda: self._chat(pixels, inputs.QUESTION, None))

    def second_turn(self, tiles: int) -> Parts:
        if tiles not in self.first_turns:
            self.first_turns[tiles] = inputs.pixel_values(tiles, next(self.seeds))
            self._chat(self.first_turns[tiles], inputs.QUESTION, None)
        pixels = self.first_turns[tiles]
        question = f"{next(self.seeds)}. {inputs.SECOND_QUESTION}"
        return timed(lambda: self._chat(pixels, question, [(inputs.QUESTION, inputs.ANSWER)]))

    def _chat(self, pixels: Any, question: str, history: list[Any] | None) -> None:
        options = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False}
        self.model.chat(self.tokenizer, pixels, question, options, history=history)

    def first_token(self, width: int, height: int) -> Parts:
        data, model = inputs.jpeg(width, height), self.model
        made: dict[str, Any] = {}

        def image() -> None:
            made["pixels"] = load_image(data, max_num=12, return_tensors="np")

        def vision() -> None:
            made["features"] = model.extract_feature(made["pixels"])

        def prefill() -> None:
            model.generate(
                pixel_values=made["pixels"], visual_features=made["features"],
                input_ids=prompt, max_new_tokens=1, do_sample=False,
            )  # fmt: skip

        seconds = {"image": timed(image)["seconds"], "vision": timed(vision)["seconds"]}
        model.img_context_token_id = self.tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
        prompt = inputs.image_prompt(
            len(made["pixels"]),
            model.img_context_token_id,
            model.config.llm_config.vocab_size,
            next(self.seeds),
            TEXT_TOKENS,
        )
        return {**seconds, "prefill": timed(prefill)["seconds"]}
