"""Linear operations as fractions of what this machine can do at best, measured in the same run.

    python -m benchmarks.kernels [--isa NAME] [--dtype NAME] [--threads N] [--json FILE]

Many rows are judged by a loop of multiply-adds on registers, one to eight rows (decoding)
by a loop that only reads memory. Kernel and ceiling are measured in turns, and the best of each
counts: on a machine that others use, only such a ratio means something. With --threads 1 seconds
are CPU time, which other programs hardly change.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from internvl_native import _core

from .machine import processor

kernels: Any = _core.kernels

# (out_features, in_features, operation, activation): InternViT-300M (wqkv, fc1, fc2) and
# InternLM2-1.8B (wqkv, w1 with w3, w2), the models of InternVL-Chat-V1.5's 2B sibling.
SHAPES = [
    (3072, 1024, "linear", "none"),
    (4096, 1024, "linear", "gelu"),
    (1024, 4096, "add", "none"),
    (4096, 2048, "linear", "none"),
    (8192, 2048, "gated", "silu"),
    (2048, 8192, "add", "none"),
]
# More than any last-level cache: decoding reads every weight from memory.
DECODE_BYTES = 160 << 20
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass
class Result:
    operation: str
    out_features: int
    in_features: int
    rows: int
    unit: str
    reached: float
    ceiling: float

    @property
    def fraction(self) -> float:
        return self.reached / self.ceiling

    def line(self) -> str:
        shape = f"{self.operation:6} ({self.out_features:5}, {self.in_features:4})"
        speed = f"{self.reached:6.1f} of {self.ceiling:6.1f} {self.unit}"
        return f"{shape} rows {self.rows:4}  {speed}  {self.fraction:6.1%}"


def prepare(
    backend: Any, operation: str, out_features: int, in_features: int, dtype: str
) -> tuple[Any, int]:
    """A weight of random numbers, and how many rows it has in all."""
    rng = np.random.default_rng(0)

    def matrix() -> Any:
        return rng.random((out_features, in_features), dtype=np.float32) - np.float32(0.5)

    if operation == "gated":
        return backend.prepare_gated([matrix()], [matrix()], dtype=dtype), 2 * out_features
    return backend.prepare_linear([matrix()], dtype=dtype), out_features


def measure_many_rows(isa: str, dtype: str, rows: int, rounds: int) -> list[Result]:
    backend = kernels.Backend(_core.cpu_backend(isa))
    results = []
    for out_features, in_features, operation, activation in SHAPES:
        weight, columns = prepare(backend, operation, out_features, in_features, dtype)
        seconds, peak = float("inf"), 0.0
        for _ in range(rounds):
            peak = max(peak, kernels.peak_flops(isa, backend.activation_dtype(dtype)))
            times = backend.time_linear([weight], rows, operation, activation, 3)
            seconds = min(seconds, *times)
        reached = 2.0 * rows * columns * in_features / seconds
        results.append(
            Result(operation, out_features, in_features, rows, "GFLOP/s", reached / 1e9, peak / 1e9)
        )
        print(results[-1].line(), flush=True)
    return results


def measure_few_rows(isa: str, dtype: str, all_rows: list[int], rounds: int) -> list[Result]:
    backend = kernels.Backend(_core.cpu_backend(isa))
    stream = kernels.Stream(isa)
    results = []
    for out_features, in_features, operation, activation in SHAPES:
        columns = out_features * (2 if operation == "gated" else 1)
        copies = -(-DECODE_BYTES // (columns * in_features * DTYPE_BYTES[dtype]))
        weights = [
            prepare(backend, operation, out_features, in_features, dtype)[0] for _ in range(copies)
        ]
        size = sum(weight.weight_bytes for weight in weights)
        for rows in all_rows:
            seconds, ceiling = float("inf"), 0.0
            for _ in range(rounds):
                ceiling = max(ceiling, stream.bandwidth())
                seconds = min(seconds, *backend.time_linear(weights, rows, operation, activation))
            results.append(
                Result(
                    operation,
                    out_features,
                    in_features,
                    rows,
                    "GB/s",
                    size / seconds / 1e9,
                    ceiling / 1e9,
                )
            )
            print(results[-1].line(), flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--isa", default=_core.cpu_isas()[-1], choices=_core.cpu_isas())
    parser.add_argument("--dtype", default="bfloat16", choices=list(DTYPE_BYTES))
    parser.add_argument("--threads", type=int, default=_core.num_threads())
    parser.add_argument("--rounds", type=int, default=5, help="kernel and ceiling in turns")
    parser.add_argument("--rows", type=int, nargs="*", default=[256, 1025])
    parser.add_argument("--decode-rows", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--json", type=Path, help="also write the results here")
    options = parser.parse_args()
    _core.set_num_threads(options.threads)
    machine = {
        "processor": processor(),
        "cpus": os.cpu_count(),
        "threads": options.threads,
        "isa": options.isa,
        "dtype": options.dtype,
    }
    print(*(f"{key}: {value}" for key, value in machine.items()), sep=", ")
    results = []
    for rows in options.rows:
        results += measure_many_rows(options.isa, options.dtype, rows, options.rounds)
    if options.decode_rows:
        results += measure_few_rows(options.isa, options.dtype, options.decode_rows, options.rounds)
    if options.json:
        report = {
            "machine": machine,
            "results": [{**asdict(result), "fraction": result.fraction} for result in results],
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
