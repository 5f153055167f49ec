"""Whole models on a GPU against their floors, and beside transformers: needs a GPU.

    python -m benchmarks.cuda_models                      # 2B and 26B, 1, 7, 13 and 41 tiles
    python -m benchmarks.cuda_models --shapes 2b --tiles 1 7 --no-peer

Weights are random and in no file. Three stages: `extract_feature`, `generate` of one token (from
pixels to the token), and a token of `generate` behind that. Ceilings are measured beside every run
of every engine. The engines come one after the other: two models of 26B do not fit into one GPU.
Pixels are torch.cuda tensors where torch is installed, as in scripts, else numpy arrays.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

import internvl_native

from .checkpoint import SHAPES
from .cuda_peer import Peer
from .cuda_results import RESULTS, Ceilings, Gpu, Record, Results, file_name, machine, require_gpu
from .random_weights import random_model
from .work import IMAGE_TOKENS, TEXT_TOKENS, Phase, chat, decode, prompt_tokens, vision

DTYPE = "bfloat16"
ELEMENT_BYTES = 2
NEW_TOKENS = 33  # the first, and as many as a sentence has


class Engine(Protocol):
    """What is measured. Calls return when the GPU is done."""

    name: str
    image_token: int

    def pixels(self, values: npt.NDArray[np.float32]) -> Any: ...
    def vision(self, pixels: Any) -> None: ...
    def generate(self, pixels: Any, ids: npt.NDArray[np.int64], new_tokens: int) -> None: ...
    def close(self) -> None: ...


class Native:
    """The engine. Nothing is reused between calls."""

    image_token = 5

    def __init__(self, shape: str, device: str) -> None:
        self.name = f"internvl-native {internvl_native.__version__}"
        self.device = device
        self.model: Any = random_model(shape, DTYPE, device)
        self.model.prefix_cache.max_bytes = 0
        self.model.img_context_token_id = self.image_token

    def pixels(self, values: npt.NDArray[np.float32]) -> Any:
        if self.device == "cpu" or importlib.util.find_spec("torch") is None:
            return values
        import torch

        if not torch.cuda.is_available():
            return values
        return torch.from_numpy(values).to(self.device, torch.bfloat16)

    def vision(self, pixels: Any) -> None:
        self.model.extract_feature(pixels)

    def generate(self, pixels: Any, ids: npt.NDArray[np.int64], new_tokens: int) -> None:
        # No token ends the answer.
        self.model.generate(
            pixel_values=pixels, input_ids=ids, do_sample=False,
            max_new_tokens=new_tokens, eos_token_id=-1,
        )  # fmt: skip

    def close(self) -> None:
        del self.model
        gc.collect()


class Stage(NamedTuple):
    """Attributes:
    seconds: of one run.
    phases: what a run has to do at least.
    """

    name: str
    seconds: Callable[[], float]
    phases: list[Phase]

    def floor(self, ceilings: Ceilings) -> float:
        return sum(phase.floor(*ceilings) for phase in self.phases)


def timed(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def image_prompt(tiles: int, image_token: int, vocab: int) -> npt.NDArray[np.int64]:
    """(1, tokens): images, then text that holds no image token."""
    text = np.random.default_rng(0).integers(image_token + 1, vocab, TEXT_TOKENS)
    return np.concatenate([np.full(tiles * IMAGE_TOKENS, image_token), text])[None].astype(np.int64)


def stages(engine: Engine, shape: str, tiles: int) -> list[Stage]:
    """What is measured with so many tiles."""
    sizes = SHAPES[shape]
    random = np.random.default_rng(0)
    pixels = engine.pixels(random.standard_normal((tiles, 3, 448, 448), dtype=np.float32))
    ids = image_prompt(tiles, engine.image_token, sizes.vocab)

    def answer(new_tokens: int) -> float:
        return timed(lambda: engine.generate(pixels, ids, new_tokens))

    def token() -> float:
        return (answer(NEW_TOKENS) - answer(1)) / (NEW_TOKENS - 1)

    context = prompt_tokens(tiles) + NEW_TOKENS // 2
    label = f"{shape}, {tiles} tile{'s' * (tiles > 1)}"
    return [
        Stage(
            f"{label}: vision", lambda: timed(lambda: engine.vision(pixels)),
            [vision(sizes, tiles, ELEMENT_BYTES)],
        ),
        Stage(
            f"{label}: first token", lambda: answer(1),
            chat(sizes, tiles, ELEMENT_BYTES, new_tokens=1),
        ),
        Stage(f"{label}: a token more", token, [decode(sizes, context, 1, ELEMENT_BYTES)]),
    ]  # fmt: skip


def measure(
    stage: Stage, engine: str, ceilings: Callable[[], Ceilings], rounds: int, results: Results
) -> None:
    """Runs a stage, once for nothing, and the ceilings in turns."""
    record = Record(stage.name, engine, [], [])
    stage.seconds()
    for _ in range(rounds):
        beside = ceilings()
        results.ceilings.append(beside)
        record.seconds.append(stage.seconds())
        record.floors.append(stage.floor(beside))
    results.records.append(record)
    print(f"{record.name:28} {engine:32} {record.median * 1e3:9.2f} ms {record.fraction:6.1%}",
          flush=True)  # fmt: skip


def run(
    engine: Engine, shape: str, all_tiles: list[int], ceilings: Callable[[], Ceilings],
    rounds: int, results: Results,
) -> None:  # fmt: skip
    """All stages of one engine; what fails for lack of memory is absent, and the rest goes on."""
    for tiles in all_tiles:
        try:
            for stage in stages(engine, shape, tiles):
                measure(stage, engine.name, ceilings, rounds, results)
        except RuntimeError as error:  # DeviceError, and torch's OutOfMemoryError
            results.absent[f"{engine.name}, {shape}, {tiles} tiles"] = first_line(error)


def first_line(error: Exception) -> str:
    """torch's errors end in advice about its settings."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def measure_engine(
    make: Callable[[], Engine], name: str, shape: str, options: argparse.Namespace,
    results: Results,
) -> None:  # fmt: skip
    """One engine, alone on the GPU: when this returns, all memory is given back."""
    gpu = Gpu(options.device)
    try:
        engine = make()
    except (AttributeError, ImportError, RuntimeError) as error:
        results.absent[f"{name}, {shape}"] = first_line(error)
        return
    run(engine, shape, options.tiles, gpu.ceilings, options.rounds, results)
    engine.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", type=int, default=0, metavar="N", help="which GPU")
    parser.add_argument("--shapes", nargs="+", choices=sorted(SHAPES), default=["2b", "26b"])
    parser.add_argument("--tiles", type=int, nargs="+", default=[1, 7, 13, 41])
    parser.add_argument("--rounds", type=int, default=3, help="stage and ceilings in turns")
    parser.add_argument("--no-peer", action="store_true", help="leave transformers out")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    require_gpu("benchmarks.cuda_models")
    results = Results(f"Models on a GPU, {DTYPE}", machine(options.device))
    device = f"cuda:{options.device}"
    for shape in options.shapes:
        native, peer = partial(Native, shape, device), partial(Peer, shape, options.device)
        measure_engine(native, "internvl-native", shape, options, results)
        if not options.no_peer:
            measure_engine(peer, "transformers", shape, options, results)
    for path in results.save(options.output, file_name("cuda-models", results.machine)):
        print(path)


if __name__ == "__main__":
    main()
