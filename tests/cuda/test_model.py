"""A model on the CUDA backend's own code computes what the CPU computes: with emulated kernels in
every run, and on the GPU of this machine with ``pytest -m cuda``."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from tests.support.goldens import DATA

from internvl_native import _core, devices

from .models import MIB, TOLERANCE, answer, counter, emulated, on_gpu, tiles_of


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_features(load: Any, dtype: str) -> None:
    expected, actual = (
        model.extract_feature(tiles_of(model, 1))
        for model in (load("cpu", dtype), load("cuda:0", dtype))
    )
    assert np.abs(actual - expected).max() <= TOLERANCE[dtype] * np.abs(expected).max()


@pytest.mark.parametrize("checkpoint", ["ckpt_rmsnorm"], indirect=True)
def test_chat(load: Any, tokenizer: Any) -> None:
    assert answer(load("cuda:0"), tokenizer) == answer(load("cpu"), tokenizer)


@emulated
@pytest.mark.parametrize("checkpoint", ["ckpt_rmsnorm"], indirect=True)
def test_kernels_of_a_vision_layer(cuda: Any, load: Any) -> None:
    queued = counter(cuda, "standin_queued_kernels")
    model = load("cuda:0")
    counts = []
    for layers in (1, 2, 3):
        before = queued()
        model.vision_model._core.vision_forward(tiles_of(model, 1), "float32", layers, [])
        counts.append(queued() - before)
    # Norm of q and k, attention, residual and norm, activation, residual and norm.
    assert np.diff(counts).tolist() == [5, 5]


def test_a_missing_library_says_how_to_get_it(cuda: Any, tmp_path: Path) -> None:
    (tmp_path / "libcublasLt.so.13").write_bytes(b"no library")
    with pytest.raises(
        _core.DeviceError, match=r"libcublasLt.so.13: .*pip install 'internvl-native\[cuda\]'"
    ):
        cuda.open_libraries([str(tmp_path)])


@pytest.mark.parametrize("checkpoint", ["ckpt_rmsnorm"], indirect=True)
def test_a_model_survives_when_memory_runs_out(
    cuda: Any, load: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def backend(device: str) -> _core.Backend:
        if device == "cpu":
            return _core.cpu_backend()
        return cuda.backend(0, devices.library_folders(), budget=64 * MIB)  # type: ignore[no-any-return]

    monkeypatch.setattr(devices, "backend", backend)
    expected = answer(load("cpu"), tokenizer)
    model = load("cuda:0")
    assert answer(model, tokenizer) == expected
    with pytest.raises(RuntimeError, match=r"CUDA out of memory on cuda:0 \(the budget is spent\)"):
        answer(model, tokenizer, tiles=200)
    assert answer(model, tokenizer) == expected


@on_gpu
def test_another_gpu_has_no_context(load: Any) -> None:
    """In a process of its own, which uses cuda:1 alone."""
    code = (
        "import subprocess, sys, os, internvl_native; "
        f"model = internvl_native.AutoModel.from_pretrained({str(DATA / 'ckpt_rmsnorm')!r}, "
        "device_map='cuda:1'); "
        "print(subprocess.run(['nvidia-smi', '--id=0', '--query-compute-apps=pid', "
        "'--format=csv,noheader'], capture_output=True, text=True).stdout.split(), os.getpid())"
    )
    if devices.missing() is not None or _count_gpus() < 2:
        pytest.skip("needs two GPUs")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    users, pid = done.stdout.rsplit(maxsplit=1)
    assert repr(pid) not in users


def _count_gpus() -> int:
    import internvl_native._cuda as module

    return module.device_count()


def in_threads(bodies: list[Callable[[], Any]]) -> list[Any]:
    results: list[Any] = [None] * len(bodies)

    def run(index: int) -> None:
        results[index] = bodies[index]()

    threads = [Thread(target=run, args=(index,)) for index in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@on_gpu
def test_two_threads_and_two_models(load: Any, tokenizer: Any) -> None:
    models = [load("cuda:0"), load("cuda:0")]
    cases = [(model, seed) for model in models for seed in range(4)]

    def body(model: Any, seed: int) -> Callable[[], Any]:
        return lambda: answer(model, tokenizer, seed=seed, max_new_tokens=64)

    alone = [body(*case)() for case in cases]
    for _ in range(3):
        assert in_threads([body(*case) for case in cases]) == alone


@on_gpu
def test_memory_goes_back_to_the_gpu(cuda: Any, load: Any, tokenizer: Any) -> None:
    answer(load("cuda:0"), tokenizer)  # the context, and kernels that are loaded now
    gc.collect()
    free = cuda.memory(0)[0]
    for _ in range(3):
        answer(load("cuda:0"), tokenizer)
    gc.collect()
    assert cuda.memory(0)[0] >= free - 4 * MIB


@on_gpu
def test_forty_tiles(load: Any, tokenizer: Any) -> None:
    """In parts and at once: a tile's features do not depend on those beside it, within rounding."""
    model = load("cuda:0", "bfloat16")
    pixels = tiles_of(model, 40)
    whole = model.extract_feature(pixels)
    parts = np.concatenate([model.extract_feature(pixels[i : i + 1]) for i in range(40)])
    assert np.abs(whole - parts).max() <= TOLERANCE["bfloat16"] * np.abs(parts).max()
    assert isinstance(answer(model, tokenizer, tiles=40), str)
