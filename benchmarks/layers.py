"""Where the time of a layer goes: each operation of one layer of the 2B model against its floor.

    python -m benchmarks.layers [--isa NAME] [--dtype NAME] [--threads N] [--write]

The vision transformer is measured on one tile, the decoder on prompts of 320 and of 1856 tokens
(--prompts). Operations run alone, in turns with a loop of multiply-adds on registers; the best of
each counts. The floor is the arithmetic of the products at that loop's speed: norms and the
rotation of queries and keys have none, what they take is lost. --write keeps the pass in
benchmarks/results/layers.json beside those of other settings, and renews layers.md from it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from internvl_native import _core

from .checkpoint import SHAPES
from .machine import processor
from .work import PATCHES

kernels: Any = _core.kernels

RESULTS = Path(__file__).resolve().parent / "results"
SHAPE = SHAPES["2b"]
Make = Callable[[Any, str, str], Any]


class Part(NamedTuple):
    """An operation of a layer.

    Attributes:
        repeats: how often a layer has it.
        flops: of one run.
        make: from a `_core.kernels.Backend`, the dtype of weights and that of activations.
    """

    name: str
    repeats: int
    flops: float
    make: Make


@dataclass
class Record:
    """`repeats` runs of one part of a layer: seconds at the peak, and measured."""

    layer: str
    part: str
    repeats: int
    floor: float
    seconds: float


def linear(
    name: str, rows: int, outputs: int, inputs: int, operation: str, activation: str
) -> Part:
    weights = outputs * inputs * (2 if operation == "gated" else 1)
    return Part(
        f"{name}, {operation} ({outputs}, {inputs})"
        + f" with {activation}" * (activation != "none"),
        1, 2.0 * rows * weights,
        lambda on, dtype, _: on.linear_of(rows, outputs, inputs, dtype, operation, activation),
    )  # fmt: skip


def norms(rows: int, width: int, kind: str) -> Part:
    return Part(f"{kind} norm", 2, 0.0, lambda on, _, values: on.norm_of(rows, width, kind, values))


def vision_layer() -> list[Part]:
    width, heads, inner = SHAPE.vit_width, SHAPE.vit_heads, SHAPE.vit_inner
    head_dim = width // heads
    return [
        norms(PATCHES, width, "layer"),
        linear("qkv", PATCHES, 3 * width, width, "linear", "none"),
        Part(
            f"attention, {heads} heads of {head_dim}", 1, 4.0 * PATCHES**2 * width,
            lambda on, _, values: on.attention_of(1, PATCHES, heads, head_dim, values),
        ),
        linear("proj", PATCHES, width, width, "add", "none"),
        linear("fc1", PATCHES, inner, width, "linear", "gelu"),
        linear("fc2", PATCHES, width, inner, "add", "none"),
    ]  # fmt: skip


def decoder_layer(tokens: int) -> list[Part]:
    width, heads, kv_heads = SHAPE.width, SHAPE.heads, SHAPE.kv_heads
    head_dim = width // heads

    def cached(operation: str) -> Make:
        return lambda on, _, values: on.cached_of(
            operation, tokens, 0, heads, kv_heads, head_dim, 1, values
        )

    return [
        norms(tokens, width, "rms"),
        linear("wqkv", tokens, (heads + 2 * kv_heads) * head_dim, width, "linear", "none"),
        Part("rotation, keys and values stored", 1, 0.0, cached("rope")),
        Part(
            f"attention, {heads} heads of {head_dim}", 1, 2.0 * tokens**2 * width,
            cached("attention"),
        ),
        linear("wo", tokens, width, width, "add", "none"),
        linear("w1 and w3", tokens, SHAPE.inner, width, "gated", "silu"),
        linear("w2", tokens, width, SHAPE.inner, "add", "none"),
    ]  # fmt: skip


def layers(prompts: list[int]) -> dict[str, list[Part]]:
    vision = {f"vision transformer, {PATCHES} tokens": vision_layer()}
    return {**vision, **{f"decoder, {tokens} tokens": decoder_layer(tokens) for tokens in prompts}}


def measure(isa: str, dtype: str, prompts: list[int], rounds: int) -> list[Record]:
    """Every part of every layer, with the highest peak that was seen beside any of them."""
    backend = kernels.Backend(_core.cpu_backend(isa))
    values = backend.activation_dtype(dtype)
    times: list[tuple[str, Part, float]] = []
    peak = 0.0
    for layer, parts in layers(prompts).items():
        for part in parts:
            operation = part.make(backend, dtype, values)
            seconds = float("inf")
            for _ in range(rounds):
                peak = max(peak, kernels.peak_flops(isa, values))
                seconds = min(seconds, *operation.seconds(1, 2))
            times.append((layer, part, seconds))
    return [
        Record(
            layer, part.name, part.repeats, part.repeats * part.flops / peak, part.repeats * seconds
        )
        for layer, part, seconds in times
    ]


def table(records: list[Record]) -> str:
    """The parts of one layer, and their sum."""
    floor, seconds = (sum(getattr(r, name) for r in records) for name in ("floor", "seconds"))
    rows = [*records, Record("", "sum", 1, floor, seconds)]
    lines = [
        "| operation | floor | measured | of the peak | share of the loss |",
        "| --- | --- | --- | --- | --- |",
    ]
    for r in rows:
        reached = f"{r.floor / r.seconds:.0%}" if r.floor else ""
        name = f"{r.repeats} x {r.part}" if r.repeats > 1 else r.part
        times = f"{r.floor * 1e3:.2f} ms | {r.seconds * 1e3:.2f} ms"
        loss = (r.seconds - r.floor) / (seconds - floor)
        lines.append(f"| {name} | {times} | {reached} | {loss:.0%} |")
    return "\n".join(lines)


def document(report: dict[str, Any]) -> str:
    blocks = ["# One layer of the 2B model, operation by operation", report["machine"] + "."]
    for setting, records in report["passes"].items():
        blocks.append(f"## {setting}")
        by_layer: dict[str, list[Record]] = {}
        for record in (Record(**r) for r in records):
            by_layer.setdefault(record.layer, []).append(record)
        for layer, parts in by_layer.items():
            blocks += [f"A layer of the {layer}:", table(parts)]
    blocks.append("Measured by `python -m benchmarks.layers --write` with the settings named.")
    return "\n\n".join(blocks) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--isa", default=_core.cpu_isas()[-1], choices=_core.cpu_isas())
    parser.add_argument("--dtype", default="bfloat16", choices=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=_core.num_threads())
    parser.add_argument("--prompts", type=int, nargs="*", default=[320, 1856], help="tokens")
    parser.add_argument("--rounds", type=int, default=5, help="operation and peak in turns")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    _core.set_num_threads(options.threads)
    setting = f"--isa {options.isa} --dtype {options.dtype} --threads {options.threads}"
    records = [
        asdict(r) for r in measure(options.isa, options.dtype, options.prompts, options.rounds)
    ]
    report = {"machine": processor(), "passes": {setting: records}}
    print(document(report))
    if options.write:
        path = RESULTS / "layers.json"
        if path.exists():
            known = json.loads(path.read_text(encoding="utf-8"))
            if known["machine"] == report["machine"]:
                report["passes"] = {**known["passes"], setting: records}
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        path.with_suffix(".md").write_text(document(report), encoding="utf-8")


if __name__ == "__main__":
    main()
