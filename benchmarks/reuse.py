"""What is not computed again: the second turn of a conversation, and prompt lookup.

    python -m benchmarks.reuse                           # 2B shape, bfloat16, random weights
    python -m benchmarks.reuse --shape 2b-slice --json out.json

A conversation about an image of 7 tiles asks again: the time to the first token of the second
answer, where `model.prefix_cache` knows the conversation and where it does not. An answer that
recites its prompt and one that has nothing of it, with `prompt_lookup_num_tokens` and without;
random weights recite nothing, so a logits processor says what comes. Medians of variants that take
turns.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import time
from typing import Any, Callable

import numpy as np
import numpy.typing as npt

from internvl_native import AutoModel, num_threads

from . import checkpoint

TILES = 7
QUESTION, ANSWER = 48, 64  # tokens
LOOKUP = 4
IMAGE_TOKEN = 3

Ids = npt.NDArray[np.int64]


class Says:
    """A logits processor after which these tokens are the likeliest, one after the other."""

    def __init__(self, tokens: Ids) -> None:
        self.tokens = tokens

    def __call__(self, input_ids: Ids, scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
        scores[0, self.tokens[input_ids.shape[1] - 1]] = scores.max() + 1  # behind `<s>`
        return scores


class Conversations:
    """Random questions and images for a model."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.random = np.random.default_rng(0)
        model.img_context_token_id = IMAGE_TOKEN

    def text(self, tokens: int) -> Ids:
        return self.random.integers(
            IMAGE_TOKEN + 1, self.model.config.llm_config.vocab_size, tokens
        )

    def image(self) -> tuple[npt.NDArray[np.float32], Ids]:
        """Tiles, and the tokens of a question about them."""
        side = self.model.config.force_image_size or self.model.config.vision_config.image_size
        pixel_values = self.random.standard_normal((TILES, 3, side, side), dtype=np.float32)
        image = np.full(TILES * self.model.num_image_token, IMAGE_TOKEN)
        return pixel_values, np.concatenate([image, self.text(QUESTION)])

    def answer(self, pixel_values: Any, ids: Ids, tokens: int, **options: Any) -> tuple[Ids, float]:
        """An answer of so many tokens, and the seconds that it took."""
        start = time.perf_counter()
        output: Ids = self.model.generate(
            pixel_values, ids[None], max_new_tokens=tokens, eos_token_id=-1, **options
        )
        return output[0, 1:], time.perf_counter() - start


def medians(variants: dict[str, Callable[[], float]], runs: int) -> dict[str, float]:
    """Seconds of each variant, taken in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(runs):
        for name, variant in variants.items():
            seconds[name].append(variant())
    return {name: statistics.median(times) for name, times in seconds.items()}


def second_turn(conversations: Conversations, runs: int) -> dict[str, float]:
    """Seconds to the first token of a conversation that is not known, and of one that is."""
    pixel_values, first = conversations.image()
    first_answer, _ = conversations.answer(pixel_values, first, ANSWER)

    def unknown() -> float:
        new_pixels, new = conversations.image()
        ids = np.concatenate([new, conversations.text(ANSWER + QUESTION)])
        return conversations.answer(new_pixels, ids, 1)[1]

    def known() -> float:
        ids = np.concatenate([first, first_answer, conversations.text(QUESTION)])
        return conversations.answer(pixel_values, ids, 1)[1]

    return medians({"computed": unknown, "reused": known}, runs)


def prompt_lookup(conversations: Conversations, recites: bool, runs: int) -> dict[str, float]:
    """Seconds of an answer behind a prompt that is known, by single steps and with lookup."""
    prompt = conversations.text(4 * ANSWER)
    text = prompt[ANSWER : 2 * ANSWER] if recites else conversations.text(ANSWER)

    def answer(tokens: int | None) -> float:
        options = {"logits_processor": [Says(text)], "prompt_lookup_num_tokens": tokens}
        output, seconds = conversations.answer(None, prompt, ANSWER, **options)
        np.testing.assert_array_equal(output, text)
        return seconds

    answer(None)
    return medians({"steps": lambda: answer(None), "lookup": lambda: answer(LOOKUP)}, runs)


def measure(folder: pathlib.Path, dtype: str, runs: int) -> dict[str, Any]:
    """Seconds of everything, and what they were measured on."""
    model = AutoModel.from_pretrained(folder, torch_dtype=dtype)
    model.prefix_cache.max_bytes = 4 << 30
    conversations = Conversations(model)
    results = {
        "second turn": second_turn(conversations, runs),
        "an answer that recites": prompt_lookup(conversations, True, runs),
        "an answer that does not": prompt_lookup(conversations, False, runs),
    }
    for name, result in results.items():
        (without, slow), (mode, fast) = result.items()
        print(f"{name:24s} {without} {slow:7.3f} s, {mode} {fast:7.3f} s: {slow / fast:5.2f} x")
    return {
        "backend": model.backend,
        "dtype": dtype,
        "threads": num_threads(),
        "tiles": TILES,
        "answer_tokens": ANSWER,
        "seconds": results,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reuse",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--shape", choices=sorted(checkpoint.SHAPES), default="2b")
    parser.add_argument("--dtype", choices=("bfloat16", "float32", "float16"), default="bfloat16")
    parser.add_argument(
        "--checkpoint", type=pathlib.Path, help="kept folder; temporary if left out"
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    with checkpoint.written(arguments.checkpoint, arguments.shape) as folder:
        result = measure(folder, arguments.dtype, arguments.runs)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
