"""How far the engine's partition of a stage into tasks scales, on paper.

    python -m benchmarks.scaling                       # 1 to 64 cores, the 2B model's shape
    python -m benchmarks.scaling --cores 8 128 --parts # and what holds each operation back

Nothing is run. Each operation is cut into tasks as csrc/backend/cpu cuts it, a task takes the
longer of its arithmetic and its share of the memory traffic, threads take tasks in ascending order
as csrc/core/thread_pool.cpp hands them out, and between operations all wait for the last. A core
has the peak and the bandwidth that are given: by default those of one core of the machine that
benchmarks/results/2b.json is from, which flatters the memory of a large machine and so shows the
partition at its worst.
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Iterator
from typing import NamedTuple

from .checkpoint import SHAPES, Shape
from .work import VISION_TOKENS

# The constants of the sources named beside them.
PANEL_COLUMNS = 64  # linear_impl.h, AVX-512
LINEAR_ROWS = 240  # kernels.h
ROW_TILE, LEAST_ROWS = 6, 48  # cpu_linear.cpp
TASKS_PER_THREAD, MULTIPLICATIONS = 256, 1 << 17
QUERY_ROWS, STORE_TOKENS, BLOCK_KEYS = 96, 32, 512  # cpu_attention.cpp
TASK_ELEMENTS = 16384  # cpu_rows.cpp
VISION_WORKSPACE = 24 << 20  # cpu_backend.h
ELEMENT = 2  # bytes of a bfloat16


class Work(NamedTuple):
    """Of one task."""

    flops: float
    bytes: float


class Operation(NamedTuple):
    """One parallel region, its tasks in the order in which they are handed out."""

    name: str
    tasks: list[Work]


def _up(a: int, b: int) -> int:
    return -(-a // b)


def linear(name: str, rows: int, inputs: int, outputs: int, cores: int) -> Operation:
    """Blocks of rows by runs of panels; a weight is read from memory by the first block."""
    panels = _up(outputs, PANEL_COLUMNS)
    wanted = max(_up(rows, LINEAR_ROWS), min(_up(4 * cores, panels), _up(rows, LEAST_ROWS)))
    block = _up(_up(rows, wanted), ROW_TILE) * ROW_TILE
    blocks = _up(rows, block)
    panel_work = min(block, rows) * inputs * PANEL_COLUMNS
    run = max(_up(panels * blocks, TASKS_PER_THREAD * cores), _up(MULTIPLICATIONS, panel_work))
    tasks = []
    for first in range(0, rows, block):
        for panel in range(0, panels, run):
            weights = min(run, panels - panel) * PANEL_COLUMNS * inputs
            flops = 2 * min(block, rows - first) * weights
            tasks.append(Work(flops, ELEMENT * weights if first == 0 else 0))
    return Operation(name, tasks)


def rowwise(name: str, rows: int, columns: int) -> Operation:
    """A norm: a float32 row in, a bfloat16 row out."""
    size = max(1, TASK_ELEMENTS // columns)
    counts = [min(size, rows - first) for first in range(0, rows, size)]
    return Operation(name, [Work(0, 6 * count * columns) for count in counts])


def vision_attention(tiles: int, tokens: int, heads: int, size: int, cores: int) -> Operation:
    """Every tile and head, split between tasks only as far as the threads need it."""
    pairs = tiles * heads
    splits = min(_up(4 * cores, pairs), _up(tokens, QUERY_ROWS))
    share = _up(tokens, splits)
    rows = [min(share, tokens - first) for first in range(0, tokens, share)]
    work = [Work(4 * r * tokens * size, ELEMENT * size * (2 * r + 2 * tokens)) for r in rows]
    return Operation("attention", work * pairs)


def cached_attention(
    rows: int, past: int, heads: int, kv_heads: int, size: int, cores: int
) -> Iterator[Operation]:
    """Blocks of query rows, the last ones first, each for all query heads of a key-value head; or,
    where these are too few, blocks of keys, and then joining what they gave."""
    group = heads // kv_heads
    tokens = max(1, QUERY_ROWS // group)
    blocks = [(first, min(tokens, rows - first)) for first in range(0, rows, tokens)]

    def work(count: int, keys: float) -> Work:
        return Work(4 * count * group * keys * size, 2 * ELEMENT * keys * size)

    if kv_heads * len(blocks) >= 2 * cores or past + rows <= BLOCK_KEYS:
        tasks = [work(count, past + first + (count + 1) / 2) for first, count in reversed(blocks)]
        yield Operation("attention", [task for task in tasks for _ in range(kv_heads)])
        return
    parts, joins = [], []
    for first, count in blocks:
        keys = past + first + count
        begins = range(0, keys, BLOCK_KEYS)
        parts += [work(count, min(BLOCK_KEYS, keys - begin)) for begin in begins]
        joins.append(Work(0, 4 * len(begins) * count * group * size))
    yield Operation("attention", parts * kv_heads)
    yield Operation("attention", joins * kv_heads)


def rope_store(rows: int, heads: int, kv_heads: int, size: int) -> Operation:
    counts = [min(STORE_TOKENS, rows - first) for first in range(0, rows, STORE_TOKENS)]
    width = (heads + 2 * kv_heads) * size
    return Operation("rope and store", [Work(0, 2 * ELEMENT * count * width) for count in counts])


def tiles_per_pass(s: Shape) -> int:
    """As many as vision_transformer.cpp takes at once."""
    row_bytes = 4 * s.vit_width + ELEMENT * (5 * s.vit_width + s.vit_inner)
    return max(1, VISION_WORKSPACE // (row_bytes * VISION_TOKENS))


def vision(s: Shape, tiles: int, cores: int) -> Iterator[Operation]:
    """The layers of the vision transformer, a few tiles at a time."""
    for first in range(0, tiles, tiles_per_pass(s)):
        yield from vision_pass(s, min(tiles_per_pass(s), tiles - first), cores)


def vision_pass(s: Shape, tiles: int, cores: int) -> Iterator[Operation]:
    rows = tiles * VISION_TOKENS
    width, inner, heads = s.vit_width, s.vit_inner, s.vit_heads
    for _ in range(s.vit_layers):
        yield rowwise("norm", rows, width)
        yield linear("qkv", rows, width, 3 * width, cores)
        yield vision_attention(tiles, VISION_TOKENS, heads, width // heads, cores)
        yield linear("proj", rows, width, width, cores)
        yield rowwise("norm", rows, width)
        yield linear("fc1", rows, width, inner, cores)
        yield linear("fc2", rows, inner, width, cores)


def decoder(s: Shape, rows: int, past: int, cores: int) -> Iterator[Operation]:
    """The layers for new tokens behind others, and the head for the last one."""
    size = s.width // s.heads
    for _ in range(s.layers):
        yield rowwise("norm", rows, s.width)
        yield linear("wqkv", rows, s.width, (s.heads + 2 * s.kv_heads) * size, cores)
        yield rope_store(rows, s.heads, s.kv_heads, size)
        yield from cached_attention(rows, past, s.heads, s.kv_heads, size, cores)
        yield linear("wo", rows, s.width, s.width, cores)
        yield rowwise("norm", rows, s.width)
        yield linear("w1 and w3", rows, s.width, 2 * s.inner, cores)
        yield linear("w2", rows, s.inner, s.width, cores)
    yield linear("output", 1, s.width, s.vocab, cores)


class Machine(NamedTuple):
    peak: float
    """operations a second of one core"""
    bandwidth: float
    """bytes a second of one core"""
    region: float
    """seconds between the end of one parallel region and the beginning of the next"""

    def seconds(self, work: Work) -> float:
        return max(work.flops / self.peak, work.bytes / self.bandwidth)

    def makespan(self, operation: Operation, cores: int) -> float:
        """Until the last thread is done, each taking the next task when it is free."""
        free = [0.0] * cores
        for task in operation.tasks:
            heapq.heapreplace(free, free[0] + self.seconds(task))
        return max(free) + (self.region if cores > 1 and len(operation.tasks) > 1 else 0)

    def total(self, operation: Operation) -> float:
        """On one core."""
        return sum(map(self.seconds, operation.tasks))


def stages(s: Shape, cores: int) -> dict[str, list[Operation]]:
    """The stages of the table, as operations."""
    return {
        "`extract_feature`, 1 tile": list(vision(s, 1, cores)),
        "`extract_feature`, 7 tiles": list(vision(s, 7, cores)),
        "prefill, 320 tokens": list(decoder(s, 320, 0, cores)),
        "prefill, 1856 tokens": list(decoder(s, 1856, 0, cores)),
        "decoding behind 320 tokens": list(decoder(s, 1, 320, cores)),
        "decoding behind 1856 tokens": list(decoder(s, 1, 1856, cores)),
    }


def efficiency(operations: list[Operation], machine: Machine, cores: int) -> float:
    """Time on one core, divided by the cores' time together."""
    alone = sum(map(machine.total, operations))
    return alone / (cores * sum(machine.makespan(o, cores) for o in operations))


def losses(operations: list[Operation], machine: Machine, cores: int) -> dict[str, float]:
    """Shares of the cores' time in which a core waits, by operation, the largest first."""
    waits: dict[str, float] = {}
    time = 0.0
    for operation in operations:
        taken = cores * machine.makespan(operation, cores)
        waits[operation.name] = waits.get(operation.name, 0) + taken - machine.total(operation)
        time += taken
    return {name: w / time for name, w in sorted(waits.items(), key=lambda item: -item[1])}


def table(s: Shape, machine: Machine, counts: list[int], parts: bool) -> str:
    """Markdown: a row for each stage."""
    lines = [
        "| stage | " + " | ".join(f"{cores} cores" for cores in counts) + " |",
        "| --- |" + " --- |" * len(counts),
    ]
    each = {cores: stages(s, cores) for cores in counts}
    for stage in each[counts[0]]:
        cells = []
        for cores in counts:
            operations = each[cores][stage]
            cell = f"{efficiency(operations, machine, cores):.0%}"
            if parts:
                worst = list(losses(operations, machine, cores).items())[:3]
                cell += "".join(f"; {name} {wait:.1%}" for name, wait in worst if wait > 0.005)
            cells.append(cell)
        lines.append(f"| {stage} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--shape", choices=sorted(SHAPES), default="2b")
    parser.add_argument("--cores", type=int, nargs="+", default=[2, 8, 32, 64], metavar="N")
    parser.add_argument("--peak", type=float, default=232, help="GFLOP/s of a core")
    parser.add_argument("--bandwidth", type=float, default=27, help="GB/s of a core")
    parser.add_argument("--region", type=float, default=2, help="microseconds between regions")
    parser.add_argument("--parts", action="store_true", help="name where cores wait most")
    a = parser.parse_args()
    machine = Machine(a.peak * 1e9, a.bandwidth * 1e9, a.region * 1e-6)
    print(table(SHAPES[a.shape], machine, a.cores, a.parts))


if __name__ == "__main__":
    main()
