"""Each kernel against what cuBLASLt and a device copy reach beside it: needs a GPU.

    python -m benchmarks.cuda_kernels

Shapes are those of the 2B and the 26B model. Kernel and ceilings run in turns; medians count. What
is queued together is recorded first, so that no time of the host is in it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .checkpoint import SHAPES, Shape
from .cuda_results import RESULTS, Gpu, Record, Results, file_name, machine, require_gpu
from .work import PATCH_INPUTS, PATCHES, VISION_TOKENS, Phase

DTYPE = "bfloat16"
ELEMENT_BYTES = 2
FLOAT_BYTES = 4
TILES = 7
PREFILL_ROWS = 1856
STEP_ROWS = (1, 8, 32)  # sequences that decode together
# More than any cache holds: what a decoding step reads is not there from the step before.
DECODE_BYTES = 512 << 20


class Case(NamedTuple):
    """A kernel on one shape.

    Attributes:
        work: of one run.
        make: the operation (`_core.kernels.Operation`) on a `_core.kernels.Backend`.
        runs: queued together, enough to be long beside the waiting for them.
    """

    name: str
    work: Phase
    make: Callable[[Any], Any]
    runs: int


def product(
    name: str, rows: int, out_features: int, in_features: int,
    operation: str = "linear", activation: str = "none",
) -> Case:  # fmt: skip
    """A linear operation; of a step's rows, on as many weights as no cache holds."""
    weights = out_features * in_features * (2 if operation == "gated" else 1)
    few = rows <= max(STEP_ROWS)
    copies = -(-DECODE_BYTES // (ELEMENT_BYTES * weights)) if few else 1
    out_bytes = 2 * FLOAT_BYTES if operation == "add" else ELEMENT_BYTES
    moved = ELEMENT_BYTES * (weights + rows * in_features) + out_bytes * rows * out_features

    def make(backend: Any) -> Any:
        return backend.linear_of(
            rows, out_features, in_features, DTYPE, operation, activation, copies
        )

    return Case(name, Phase(copies * 2 * rows * weights, copies * moved), make, 1 if few else 8)


def vision_attention(shape: Shape, tiles: int) -> Case:
    head_dim = shape.vit_width // shape.vit_heads
    rows = tiles * VISION_TOKENS
    work = Phase(
        4 * rows * VISION_TOKENS * shape.vit_width, ELEMENT_BYTES * 4 * rows * shape.vit_width
    )
    return Case(
        f"attention, {tiles} tiles, {shape.vit_heads} heads of {head_dim}", work,
        lambda on: on.attention_of(tiles, VISION_TOKENS, shape.vit_heads, head_dim, DTYPE), 8,
    )  # fmt: skip


def cached(shape: Shape, operation: str, rows: int, past: int) -> Case:
    """Attention over the cache, or the rotation and storing in front of it, in all layers."""
    head_dim = shape.width // shape.heads
    kv_width = 2 * shape.kv_heads * head_dim
    if operation == "attention":
        keys = past + (rows + 1) / 2  # that a row sees, in the mean
        flops = 4 * rows * keys * shape.width
        moved = float((past + rows) * kv_width + 2 * rows * shape.width)
    else:
        flops = 3 * rows * (shape.width + kv_width / 2)
        moved = rows * (2 * shape.width + 2.5 * kv_width)  # k in place, and both into the cache
    name = f"{operation}, {rows} rows behind {past}, {shape.heads} heads of {head_dim}"
    return Case(
        name, Phase(shape.layers * flops, ELEMENT_BYTES * shape.layers * moved),
        lambda on: on.cached_of(
            operation, rows, past, shape.heads, shape.kv_heads, head_dim, shape.layers, DTYPE
        ), 1,
    )  # fmt: skip


def moving(shape: Shape, tiles: int) -> Iterator[Case]:
    """Kernels that do nothing but read and write."""
    rows, width = tiles * VISION_TOKENS, shape.vit_width
    kind = "rms" if shape.is_6b else "layer"
    yield Case(
        f"{kind} norm, {rows} x {width}",
        Phase(0, (FLOAT_BYTES + ELEMENT_BYTES) * rows * width),
        lambda on: on.norm_of(rows, width, kind, DTYPE), 32,
    )  # fmt: skip
    pixels = tiles * PATCHES * PATCH_INPUTS
    yield Case(
        f"patchify, {tiles} tiles", Phase(0, 2 * ELEMENT_BYTES * pixels),
        lambda on: on.patchify_of(tiles, 448, 14, DTYPE), 32,
    )  # fmt: skip
    yield Case(
        f"pixel shuffle, {tiles} tiles of {width}",
        Phase(0, 2 * FLOAT_BYTES * tiles * PATCHES * width),
        lambda on: on.pixel_shuffle_of(tiles, 32, width), 32,
    )  # fmt: skip
    yield Case(
        f"argmax of {shape.vocab}", Phase(0, FLOAT_BYTES * shape.vocab),
        lambda on: on.argmax_of(1, shape.vocab), 32,
    )  # fmt: skip


def cases(shape: Shape, tiles: int = TILES, prompt: int = PREFILL_ROWS) -> Iterator[Case]:
    """The kernels of the vision transformer, of a prompt, and of decoding."""
    rows, vit, inner = tiles * VISION_TOKENS, shape.vit_width, shape.vit_inner
    yield product(f"qkv, {rows} rows", rows, 3 * vit, vit)
    yield product(f"fc1 and GELU, {rows} rows", rows, inner, vit, activation="gelu")
    yield product(f"fc2 and residual, {rows} rows", rows, vit, inner, "add")
    yield vision_attention(shape, tiles)
    yield from moving(shape, tiles)
    head_dim = shape.width // shape.heads
    qkv = (shape.heads + 2 * shape.kv_heads) * head_dim
    for count in (prompt, *STEP_ROWS):
        of = f"{count} rows" if count > 1 else "1 row"
        yield product(f"wqkv, {of}", count, qkv, shape.width)
        yield product(f"gate and up, {of}", count, shape.inner, shape.width, "gated", "silu")
        yield product(f"down and residual, {of}", count, shape.width, shape.inner, "add")
    yield product("head, 1 row", 1, shape.vocab, shape.width)
    for operation in ("rope", "attention"):
        yield cached(shape, operation, prompt, 0)
        yield cached(shape, operation, 1, prompt)


def measure(case: Case, gpu: Gpu, rounds: int, results: Results, label: str) -> None:
    """Runs a case and the ceilings in turns."""
    operation = case.make(gpu.operations)
    record = Record(f"{label}: {case.name}", "internvl-native", [], [])
    for _ in range(rounds):
        ceilings = gpu.ceilings()
        (seconds,) = operation.seconds(case.runs, 1)
        results.ceilings.append(ceilings)
        record.seconds.append(seconds)
        record.floors.append(case.work.floor(*ceilings))
    last = results.ceilings[-1]
    multiplies = case.work.flops / last.flops > case.work.bytes / last.bytes
    rate = (case.work.flops / 1e12 if multiplies else case.work.bytes / 1e9) / record.median
    record.rate = f"{rate:.0f} {'TFLOP/s' if multiplies else 'GB/s'}"
    results.records.append(record)
    print(f"{record.name:56} {record.rate:>14} {record.fraction:6.1%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", type=int, default=0, metavar="N", help="which GPU")
    parser.add_argument("--shapes", nargs="+", choices=sorted(SHAPES), default=["2b", "26b"])
    parser.add_argument("--rounds", type=int, default=7, help="kernel and ceilings in turns")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    require_gpu("benchmarks.cuda_kernels")
    gpu = Gpu(options.device)
    results = Results(f"CUDA kernels, {DTYPE}", machine(options.device))
    for label in options.shapes:
        for case in cases(SHAPES[label]):
            measure(case, gpu, options.rounds, results, label)
    for path in results.save(options.output, file_name("cuda-kernels", results.machine)):
        print(path)


if __name__ == "__main__":
    main()
