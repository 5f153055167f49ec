"""Loading against what the system asks for the memory alone.

    python -m benchmarks.loading                  # 2B shape, bfloat16, random weights
    python -m benchmarks.loading --checkpoint FOLDER --threads 1 2

Fresh memory for the weights has to be cleared by the kernel, and where the machine is a virtual one
perhaps first to be found by its host: that is most of a load, and differs between rounds by how
lately the memory was in use. Reading the checkpoint's pages is the least that loading a cache of
packed weights would take, if the engine computed on a file that is mapped.
"""

from __future__ import annotations

import argparse
import gc
import mmap
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from internvl_native import AutoModel, num_threads, set_num_threads

from . import checkpoint

CHUNK = 64 << 20


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _fill(memory: mmap.mmap) -> None:
    array = np.frombuffer(memory, np.uint8)
    for start in range(0, len(array), CHUNK):
        array[start : start + CHUNK] = 1


def _read(memory: mmap.mmap) -> None:
    """A sum of 64-bit numbers: all pages are touched, at the speed of memory."""
    array = np.frombuffer(memory, np.int64, count=len(memory) // 8)
    for start in range(0, len(array), CHUNK):
        array[start : start + CHUNK].sum()


def _fresh_memory(size: int, huge: bool) -> dict[str, float]:
    name = "huge pages" if huge else "small pages"
    with mmap.mmap(-1, size) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE if huge else mmap.MADV_NOHUGEPAGE)
        seconds = {f"fresh memory, {name}, 1 thread": _seconds(lambda: _fill(memory))}
        if huge:
            seconds["the same memory once more"] = _seconds(lambda: _fill(memory))
        return seconds


def _checkpoint_pages(path: pathlib.Path, size: int) -> dict[str, float]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ) as memory:
        return {"reading the checkpoint's pages, 1 thread": _seconds(lambda: _read(memory))}


def _load(folder: pathlib.Path, threads: int) -> dict[str, float]:
    set_num_threads(threads)
    loaded: list[Any] = []
    seconds = _seconds(
        lambda: loaded.append(AutoModel.from_pretrained(folder, torch_dtype="bfloat16"))
    )
    loaded.clear()
    gc.collect()
    return {f"`from_pretrained`, {threads} thread{'s' * (threads > 1)}": seconds}


def measure(folder: pathlib.Path, threads: list[int], rounds: int) -> dict[str, list[float]]:
    """Seconds of each round by what took them, all in turns."""
    weights = folder / "model.safetensors"
    size = weights.stat().st_size // mmap.PAGESIZE * mmap.PAGESIZE
    seconds: dict[str, list[float]] = {}
    for _ in range(rounds):
        parts = [_checkpoint_pages(weights, size)]
        parts += [_fresh_memory(size, huge) for huge in (False, True)]
        parts += [_load(folder, count) for count in threads]
        for part in parts:
            for name, value in part.items():
                seconds.setdefault(name, []).append(value)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--shape", choices=sorted(checkpoint.SHAPES), default="2b")
    parser.add_argument("--threads", type=int, nargs="+", default=[num_threads()], metavar="N")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with checkpoint.written(arguments.checkpoint, arguments.shape) as folder:
        seconds = measure(folder, arguments.threads, arguments.rounds)
    print("| | best | median | worst |\n| --- | --- | --- | --- |")
    for name, values in seconds.items():
        shown = (min(values), statistics.median(values), max(values))
        print(f"| {name} | " + " | ".join(f"{value:.2f} s" for value in shown) + " |")


if __name__ == "__main__":
    main()
