"""Benchmarks of a GPU as far as they go without one: operations and engines on the CPU, tables,
arguments, and the peer's shapes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import checkpoint, cuda_kernels, cuda_models, transformers_model
from benchmarks.checkpoint import SHAPES, Shape
from benchmarks.cuda_results import Ceilings, Record, Results, document, duration, file_name
from benchmarks.random_weights import random_checkpoint, random_model
from benchmarks.work import decoder_weights, vision_weights

from internvl_native import _core, devices

TINY = Shape(1, 64, 2, 128, 1, 128, 2, 1, 256, vocab=512)
TINY_6B = Shape(1, 3200, 25, 64, 1, 128, 2, 1, 256, vocab=512)
CEILINGS = Ceilings(100e12, 1e12)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Shape:
    monkeypatch.setitem(SHAPES, "tiny", TINY)
    return TINY


class CpuAsGpu:
    """The ceilings of cuda_results.Gpu, and the CPU's operations."""

    name = "cpu"

    def __init__(self) -> None:
        self.operations: Any = _core.kernels.Backend(_core.cpu_backend())

    def ceilings(self) -> Ceilings:
        return CEILINGS


@pytest.fixture
def results() -> Results:
    return Results("A title", {"GPU": "NVIDIA X-1 80GB", "driver": "580.1"})


def test_every_kernel_runs(monkeypatch: pytest.MonkeyPatch, results: Results) -> None:
    monkeypatch.setattr(cuda_kernels, "DECODE_BYTES", 1 << 16)
    gpu: Any = CpuAsGpu()
    cases = list(cuda_kernels.cases(TINY, tiles=1, prompt=20))
    for case in cases:
        cuda_kernels.measure(case._replace(runs=1), gpu, 2, results, "tiny")
    assert len({record.name for record in results.records}) == len(cases) > 15
    for record in results.records:
        assert len(record.seconds) == len(record.floors) == 2
        assert min(record.seconds + record.floors) > 0
        assert record.rate.endswith(("TFLOP/s", "GB/s"))


def test_few_rows_read_more_than_a_cache_holds() -> None:
    weights = 2 * 2 * 8192 * 2048  # bytes of gate and up
    case = cuda_kernels.product("gate", 1, 8192, 2048, "gated", "silu")
    assert case.work.bytes >= cuda_kernels.DECODE_BYTES
    assert case.work.bytes < cuda_kernels.DECODE_BYTES + 2 * weights
    many = cuda_kernels.product("gate", 1856, 8192, 2048, "gated", "silu")
    assert many.work.flops == 2 * 1856 * 2 * 8192 * 2048


def test_operations_refuse_what_they_do_not_know() -> None:
    backend: Any = CpuAsGpu().operations
    with pytest.raises(ValueError, match="operation: expected 'linear', 'gated' or 'add', got 'x'"):
        backend.linear_of(1, 8, 8, "float32", "x")
    with pytest.raises(ValueError, match="operation: expected 'attention' or 'rope', got 'x'"):
        backend.cached_of("x", 1, 0, 2, 1, 64, 1, "float32")
    with pytest.raises(ValueError, match="runs, repeats: expected at least 1, got 0 and 1"):
        backend.copy_of(64).seconds(0, 1)


def test_random_weights(tiny: Shape) -> None:
    tensors = random_checkpoint("tiny").tensors
    assert {name: tensor.shape for name, tensor in tensors.items()} == dict(
        checkpoint.tensors("tiny")
    )
    norm = tensors["language_model.model.norm.weight"].read()
    weight = tensors["language_model.output.weight"].read()
    widened = [(bits.astype(np.uint32) << 16).view(np.float32) for bits in (norm, weight)]
    assert widened[0].mean() == pytest.approx(1.0, abs=0.05)
    assert widened[1].std() == pytest.approx(0.02, rel=0.05)


def test_models_and_their_stages(
    tiny: Shape, monkeypatch: pytest.MonkeyPatch, results: Results
) -> None:
    monkeypatch.setattr(cuda_models, "NEW_TOKENS", 3)
    engine = cuda_models.Native("tiny", "cpu")
    cuda_models.run(engine, "tiny", [1], CpuAsGpu().ceilings, 1, results)
    names = [record.name for record in results.records]
    assert names == [f"tiny, 1 tile: {what}" for what in ("vision", "first token", "a token more")]
    assert (len(results.ceilings), results.absent) == (3, {})
    engine.close()


@pytest.mark.parametrize("shape", [TINY, TINY_6B], ids=["300m", "6b"])
def test_random_models_answer(shape: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES, "tiny", shape)
    model = random_model("tiny", "bfloat16", "cpu")
    features = model.extract_feature(np.ones((1, 3, 56, 56), np.float32))
    assert features.shape == (1, 4, shape.width)
    assert np.isfinite(features).all()


def test_what_fails_is_absent_and_the_rest_goes_on(tiny: Shape, results: Results) -> None:
    class Engine:
        name, image_token = "another", 5

        def pixels(self, values: Any) -> Any:
            return values

        def vision(self, pixels: Any) -> None:
            if len(pixels) > 1:
                raise RuntimeError("CUDA out of memory.\nadvice")

        def generate(self, pixels: Any, ids: Any, new_tokens: int) -> None:
            assert ids.shape == (1, 256 * len(pixels) + 64)
            assert (ids == self.image_token).sum() == 256 * len(pixels)

        def close(self) -> None: ...

    cuda_models.run(Engine(), "tiny", [2, 1], CpuAsGpu().ceilings, 1, results)
    assert results.absent == {"another, tiny, 2 tiles": "CUDA out of memory."}
    assert len(results.records) == 3


def test_the_table(results: Results, tmp_path: Path) -> None:
    results.ceilings += [CEILINGS, Ceilings(300e12, 3e12)]
    results.records.append(Record("a kernel", "ours", [4e-3, 2e-3, 1e-3], [1e-3] * 3, "12 GB/s"))
    results.absent["transformers, 2b"] = "No module named 'transformers'"
    text = document(results)
    assert "| a kernel | ours | 2 ms | 12 GB/s | 50% |\n" in text
    assert "200 (100 to 300) TFLOP/s" in text
    assert "GPU NVIDIA X-1 80GB, driver 580.1.\n" in text
    assert "- absent: transformers, 2b: No module named 'transformers'\n" in text
    name = file_name("cuda-models", results.machine)
    assert name == "cuda-models-nvidia-x-1-80gb"
    paths = results.save(tmp_path, name)
    content = json.loads(paths[0].read_text())
    assert content["ceilings"] == [[100e12, 1e12], [300e12, 3e12]]
    assert content["records"][0]["floors"] == [1e-3] * 3
    assert paths[1].read_text() == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.234, "1.23 s"), (0.0801, "80.1 ms"), (4.56e-6, "4.56 us")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("shape", ["2b", "26b"])
def test_the_peer_has_the_same_shapes(shape: str) -> None:
    """As many numbers in its matrices as ours has, counted by transformers' names."""
    sizes = SHAPES[shape]
    vision, text = transformers_model.vision_values(sizes), transformers_model.text_values(sizes)
    width, inner = vision["hidden_size"], vision["intermediate_size"]
    layer = 4 * width**2 + 2 * width * inner
    assert vision["num_hidden_layers"] * layer == vision_weights(SHAPES[shape])
    width, heads = text["hidden_size"], text["num_attention_heads"]
    kv_width = text["num_key_value_heads"] * width // heads
    layer = 2 * width**2 + 2 * width * kv_width + 3 * width * text["intermediate_size"]
    assert text["num_hidden_layers"] * layer == decoder_weights(SHAPES[shape])
    assert vision["use_qk_norm"] == (vision["norm_type"] == "rms_norm") == (shape == "26b")
    assert math.isclose(width / heads, 128)


@pytest.mark.skipif(devices.missing() is None, reason="this machine has a GPU")
@pytest.mark.parametrize("program", ["cuda_kernels", "cuda_models"])
def test_without_a_gpu_one_line_says_what_is_missing(program: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"benchmarks.{program}", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"benchmarks.{program}: no GPU to measure: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("program", ["cuda_kernels", "cuda_models"])
def test_unknown_shapes_are_refused(program: str) -> None:
    command = [sys.executable, "-m", f"benchmarks.{program}", "--shapes", "3b"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "invalid choice: '3b'" in done.stderr
