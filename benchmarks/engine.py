"""The engine's stages against the machine's ceilings, measured in the same run.

    python -m benchmarks.engine                    # 2B shape, bfloat16, random weights
    python -m benchmarks.engine --shape 2b-slice --dtype float32 --json out.json

Multiplication is compared with the peak of a register-only loop, decoding with a streaming read of
memory, loading with the size of the packed weights. Medians; every stage is interleaved with its
ceiling, so that a noisy machine lowers both.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import time
from functools import partial
from typing import Any, Callable

import numpy as np

from internvl_native import AutoModel, _core
from internvl_native.decoder_inputs import DecoderInputs, generation_positions

from . import checkpoint
from .kernels import processor


def status_bytes(field: str) -> int:
    """A field of /proc/self/status, as VmHWM, in bytes."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(field)


def vit_flops(config: Any, tokens: int) -> float:
    """Multiplications and additions of one tile, projector included."""
    vision, width = config.vision_config, config.vision_config.hidden_size
    layer = 2 * tokens * (4 * width**2 + 2 * width * vision.intermediate_size)
    attention = 4 * tokens**2 * width
    patches = 2 * tokens * width * 3 * vision.patch_size**2
    hidden = config.llm_config.hidden_size
    projector = 2 * (tokens // 4) * (4 * width * hidden + hidden**2)
    return float(vision.num_hidden_layers * (layer + attention) + patches + projector)


def decoder_weights(config: Any) -> int:
    """Weights that one token multiplies, without the head."""
    llm = config.llm_config
    head_dim = llm.hidden_size // llm.num_attention_heads
    qkv = llm.hidden_size * (llm.num_attention_heads + 2 * llm.num_key_value_heads) * head_dim
    mlp = 3 * llm.hidden_size * llm.intermediate_size
    return int(llm.num_hidden_layers * (qkv + llm.hidden_size**2 + mlp))


def prefill_flops(config: Any, tokens: int) -> float:
    llm = config.llm_config
    attention = 2 * tokens**2 * llm.hidden_size * llm.num_hidden_layers  # causal: half of 4 n^2 L
    head = 2 * llm.vocab_size * llm.hidden_size
    return float(2 * tokens * decoder_weights(config) + attention + head)


def decode_bytes(config: Any, tokens: int, element: int) -> float:
    llm = config.llm_config
    head_dim = llm.hidden_size // llm.num_attention_heads
    cache = 2 * tokens * llm.num_key_value_heads * head_dim * llm.num_hidden_layers
    return float(element * (decoder_weights(config) + llm.vocab_size * llm.hidden_size + cache))


def interleaved(
    stage: Callable[[], float], ceiling: Callable[[], float], runs: int
) -> tuple[float, float]:
    """Median rates of a stage and of its ceiling, taken in turns."""
    rates, ceilings = [], []
    for _ in range(runs):
        ceilings.append(ceiling())
        rates.append(stage())
    return statistics.median(rates), statistics.median(ceilings)


def timed(work: float, run: Callable[[], Any]) -> float:
    """work per second of one call, in units of 1e9."""
    start = time.perf_counter()
    run()
    return work / (time.perf_counter() - start) / 1e9


def measure(folder: pathlib.Path, dtype: str, runs: int) -> dict[str, Any]:
    before = status_bytes("VmRSS")
    start = time.perf_counter()
    model = AutoModel.from_pretrained(folder, torch_dtype=dtype)
    seconds = time.perf_counter() - start
    packed = status_bytes("VmRSS") - before
    peak = status_bytes("VmHWM") - before
    config, core = model.config, model._core
    element = 4 if dtype == "float32" else 2
    random = np.random.default_rng(0)

    # Weights of other dtypes than the activations' are widened: the activations' peak is the bound.
    activation = _core.kernels.Backend(_core.cpu_backend()).activation_dtype(dtype)
    stream = _core.kernels.Stream()

    def flop_ceiling() -> float:
        return float(_core.kernels.peak_flops(dtype=activation)) / 1e9

    def stream_ceiling() -> float:
        return float(stream.bandwidth()) / 1e9

    pixels = random.standard_normal((1, 3, 448, 448), dtype=np.float32)
    vocab = config.llm_config.vocab_size

    def session(tokens: int) -> Any:
        inputs = DecoderInputs.from_ids(random.integers(3, vocab, (1, tokens)), config.llm_config)
        mask = np.ones(inputs.shape, np.uint8)
        return inputs.session(core, mask, generation_positions(mask), [])

    stages: dict[str, dict[str, Any]] = {}

    def report(name: str, unit: str, rates: tuple[float, float]) -> None:
        stages[name] = {
            "rate": rates[0],
            "ceiling": rates[1],
            "unit": unit,
            "fraction": rates[0] / rates[1],
        }
        print(f"{name:24s} {rates[0]:8.1f} of {rates[1]:8.1f} {unit:7s} {rates[0] / rates[1]:6.1%}")

    print(f"{model.backend}, {dtype}, {_core.num_threads()} threads, {processor()}")
    print(f"load: {seconds:.1f} s, weights {packed / 1e9:.2f} GB, peak {peak / packed:.3f} x that")
    core.extract_feature(pixels, "float32")  # first touch of workspaces
    flops = vit_flops(config, 1025)
    report(
        "extract_feature, 1 tile",
        "GFLOP/s",
        interleaved(
            lambda: timed(flops, lambda: core.extract_feature(pixels, "float32")),
            flop_ceiling,
            runs,
        ),
    )

    def prefill_rate(tokens: int) -> float:
        prompt = session(tokens)
        return timed(prefill_flops(config, tokens), prompt.prefill)

    for tokens in (320, 1856):
        rates = interleaved(partial(prefill_rate, tokens), flop_ceiling, runs)
        report(f"prefill, {tokens} tokens", "GFLOP/s", rates)
    decoding = session(320)
    decoding.prefill()
    token = np.array([5], np.int32)
    report(
        "decode, 1 sequence",
        "GB/s",
        interleaved(
            lambda: timed(decode_bytes(config, 330, element), lambda: decoding.step(token)),
            stream_ceiling,
            4 * runs,
        ),
    )
    return {
        "backend": model.backend,
        "dtype": dtype,
        "threads": _core.num_threads(),
        "processor": processor(),
        "load": {"seconds": seconds, "packed_bytes": packed, "peak_over_packed": peak / packed},
        "stages": stages,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
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
    result["shape"] = arguments.shape
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
