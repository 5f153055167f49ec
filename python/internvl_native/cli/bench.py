"""`internvl-native bench`: how fast a checkpoint is on this machine."""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from internvl_native import (
    AutoModel,
    AutoTokenizer,
    InternVLChatConfig,
    InternVLChatModel,
    load_image,
    num_threads,
    set_num_threads,
)
from internvl_native.cli.loading import read_config
from internvl_native.cli.options import add_max_num, add_model, integer
from internvl_native.core_config import tile_size
from internvl_native.streamers import BaseStreamer
from internvl_native.units import plural, rate

EXAMPLES = """\
examples:
  internvl-native bench MODEL
  internvl-native bench MODEL --dtype float32 --threads 8 --runs 5 --json

The picture and the prompt are random: speed does not depend on them.
"""
_PICTURE = (1600, 1200)
_STAGES = 5


@dataclass(frozen=True)
class Speeds:
    """Medians over the runs."""

    load_seconds: float
    preprocessing_seconds_per_tile: float
    vision_seconds_per_tile: float
    prefill_tokens_per_second: float
    decoding_tokens_per_second: float

    def answer_seconds(self, tiles: int, prompt: int, answer: int) -> float:
        """What a question about an image of `tiles` takes; `prompt` and `answer` in tokens."""
        per_tile = self.preprocessing_seconds_per_tile + self.vision_seconds_per_tile
        prefill = prompt / self.prefill_tokens_per_second
        return tiles * per_tile + prefill + answer / self.decoding_tokens_per_second


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options and help."""
    parser.usage = "%(prog)s [options] MODEL"
    parser.description = "Measures each stage of an answer with a checkpoint on this machine."
    parser.epilog = EXAMPLES
    add_model(parser)
    add_max_num(parser)
    parser.add_argument("--runs", type=integer(1), default=3, metavar="N", help="default: 3")
    parser.add_argument(
        "--prompt-tokens", type=integer(1), default=512, metavar="N",
        help="length of the prompt (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--new-tokens", type=integer(2), default=32, metavar="N",
        help="length of the answer (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """Measures, and prints the table."""
    config = read_config(arguments.model)
    if arguments.threads is not None:
        set_num_threads(arguments.threads)
    with tqdm(total=arguments.runs * _STAGES, unit="stage", disable=None, leave=False) as bar:
        benchmark = _Benchmark(arguments, config, bar)
        runs = [benchmark.run() for _ in range(arguments.runs)]
    speeds = Speeds(*map(statistics.median, zip(*runs)))
    machine = {
        "model": arguments.model,
        "dtype": benchmark.model._core.dtype,
        "backend": benchmark.model.backend,
        "threads": num_threads(),
        "runs": arguments.runs,
    }
    if arguments.json:
        print(json.dumps({**machine, **asdict(speeds)}, indent=2))
    else:
        print(_text(machine, speeds, benchmark))
    return 0


class _Benchmark:
    """One checkpoint, loaded again in each run."""

    def __init__(
        self, arguments: argparse.Namespace, config: InternVLChatConfig, bar: tqdm[Any]
    ) -> None:
        self.arguments = arguments
        self.side = tile_size(config)
        self.bar = bar
        random = np.random.default_rng(0)
        self.prompt = random.integers(3, config.llm_config.vocab_size, arguments.prompt_tokens)
        self.jpeg = _jpeg(random)
        self.model: InternVLChatModel
        self.tiles = 0

    def run(self) -> tuple[float, ...]:
        """The fields of Speeds, of one run."""
        arguments = self.arguments
        start = time.perf_counter()
        self.model = AutoModel.from_pretrained(
            arguments.model, torch_dtype=arguments.dtype, adapters=arguments.adapter
        )
        self.model.prefix_cache.max_bytes = 0  # a known prompt costs nothing
        tokenizer = AutoTokenizer.from_pretrained(arguments.model)
        load_seconds = self._since(start)
        self.model.img_context_token_id = tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>")
        start = time.perf_counter()
        pixel_values = load_image(
            self.jpeg, self.side, max_num=arguments.max_num, return_tensors="np"
        )
        preprocessing_seconds = self._since(start)
        self.tiles = len(pixel_values)
        start = time.perf_counter()
        self.model.extract_feature(pixel_values)
        vision_seconds = self._since(start)
        start = time.perf_counter()
        self._generate(1)
        prefill_seconds = self._since(start)
        times = self._generate(arguments.new_tokens)
        self.bar.update()
        return (
            load_seconds,
            preprocessing_seconds / self.tiles,
            vision_seconds / self.tiles,
            arguments.prompt_tokens / prefill_seconds,
            (len(times) - 1) / (times[-1] - times[0]),
        )

    def _since(self, start: float) -> float:
        seconds = time.perf_counter() - start
        self.bar.update()
        return seconds

    def _generate(self, tokens: int) -> list[float]:
        """The times at which this many tokens came."""
        clock = _Clock()
        self.model.generate(
            input_ids=self.prompt[None], streamer=clock, max_new_tokens=tokens,
            min_new_tokens=tokens, do_sample=False, num_beams=1,
        )  # fmt: skip
        return clock.times[1:]  # the first is the prompt's


class _Clock(BaseStreamer):
    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, value: Any) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """Nothing is left."""


def _jpeg(random: np.random.Generator) -> bytes:
    """A picture with large shapes and fine noise."""
    width, height = _PICTURE
    shapes = Image.fromarray(random.integers(0, 256, (12, 16, 3), np.uint8)).resize(_PICTURE)
    noise = random.integers(-8, 8, (height, width, 1))
    pixels = np.clip(np.asarray(shapes, np.int64) + noise, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def _text(machine: dict[str, Any], speeds: Speeds, benchmark: _Benchmark) -> str:
    arguments = benchmark.arguments
    tiles, new_tokens = benchmark.tiles, 100
    prompt = tiles * benchmark.model.num_image_token + 50
    seconds = speeds.answer_seconds(tiles, prompt, new_tokens)
    width, height = _PICTURE
    tile = plural(tiles, "tile")
    return f"""\
{machine["model"]}: {machine["dtype"]} on {machine["backend"]}, \
{plural(machine["threads"], "thread")}; medians of {plural(machine["runs"], "run")}

load           {rate(speeds.load_seconds):>8} s
preprocessing  {rate(speeds.preprocessing_seconds_per_tile):>8} s/tile    \
a JPEG of {width} x {height}, {tile}
vision         {rate(speeds.vision_seconds_per_tile):>8} s/tile
prefill        {rate(speeds.prefill_tokens_per_second):>8} tokens/s  \
a prompt of {plural(arguments.prompt_tokens, "token")}
decoding       {rate(speeds.decoding_tokens_per_second):>8} tokens/s  \
an answer of {plural(arguments.new_tokens, "token")}

An answer of {new_tokens} tokens about an image of {tile} takes about {rate(seconds)} s."""
