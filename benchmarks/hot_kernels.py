"""The hot kernels on fixed shapes, as benchmarks/instructions.py runs them under callgrind.

python -m benchmarks.hot_kernels LIBRARY    # LIBRARY: benchmarks/callgrind_requests.c, compiled
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from internvl_native import _core

ISA = "avx2"  # the best that valgrind knows: it has no AVX-512
REPEATS = (1, 3)
Run = Callable[[int], Any]


def _random(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def _linear(backend: Any, operation: str, dtype: str, rows: int) -> Run:
    """512 outputs and 1024 inputs."""
    matrix = _random(512, 1024)
    if operation == "gated":
        weight = backend.prepare_gated([matrix], [matrix], dtype=dtype)
        activation = "silu"
    else:
        weight = backend.prepare_linear([matrix], dtype=dtype)
        activation = "gelu" if operation == "linear" else "none"
    return lambda repeats: backend.time_linear([weight], rows, operation, activation, repeats)


def _repeated(call: Callable[[], Any]) -> Run:
    def run(repeats: int) -> None:
        for _ in range(repeats):
            call()

    return run


def _attention(backend: Any) -> Run:
    """Four heads of 64 on 257 tokens, as in the vision transformer."""
    qkv = _random(257, 3 * 256)
    return _repeated(lambda: backend.attention(qkv, 257, 4, 0.125, "float32"))


def _attention_cached(backend: Any, rows: int, past: int) -> Run:
    """Four heads of 64 in two groups."""
    pages = _core.kernels.KvPages(backend, 1, 2, 64, "float32", past + rows)
    table = _random(past + rows, 64)
    qkv = _random(past + rows, 8 * 64)
    backend.rope_store_kv(qkv, table, 4, 0, [(0, past + rows, 0, pages, True, 0.125)])
    segment = [(0, rows, past, pages, True, 0.125)]
    return _repeated(lambda: backend.attention_cached(qkv[:rows], 4, 0, segment))


def _pixel_values() -> Run:
    """A picture of 800 x 600 into 2 x 1 tiles and a thumbnail."""
    pixels = np.random.default_rng(0).integers(0, 256, (600, 800, 3), np.uint8)
    grid = _core.TileGrid(2, 1, 448, True)
    norm = _core.Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return _repeated(lambda: _core.cut_pixel_values(pixels, grid, norm))


def cases() -> dict[str, Run]:
    """What is counted, by name."""
    backend = _core.kernels.Backend(_core.cpu_backend(ISA))
    runs = {
        f"{operation} {dtype}, {rows} rows": _linear(backend, operation, dtype, rows)
        for operation, dtype, rows in (
            ("linear", "float32", 48), ("linear", "bfloat16", 48), ("gated", "bfloat16", 48),
            ("add", "bfloat16", 48), ("linear", "bfloat16", 1), ("gated", "bfloat16", 4),
        )
    }  # fmt: skip
    runs["attention, 257 tokens"] = _attention(backend)
    runs["causal attention, 128 tokens"] = _attention_cached(backend, 128, 0)
    runs["attention of 1 token, 511 before"] = _attention_cached(backend, 1, 511)
    runs["pixel values, 800 x 600"] = _pixel_values()
    return runs


def main() -> None:
    requests = ctypes.CDLL(sys.argv[1])
    _core.set_num_threads(1)
    for name, run in cases().items():
        run(1)  # workspaces and tables
        for repeats in REPEATS:
            requests.start()
            run(repeats)
            requests.stop(f"{repeats} {name}".encode())


if __name__ == "__main__":
    main()
