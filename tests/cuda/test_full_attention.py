"""Attention of the vision transformer: our kernel, cuDNN, and the choice between them."""

from __future__ import annotations

import ctypes
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.backend.numerics import ROUNDING, random, rounded

from internvl_native import _core, devices

from . import cudnn
from .models import TOLERANCE, emulated, folders_of, on_gpu, tiles_of


def attention_of(cuda: Any, dtype: str, shape: tuple[int, int, int, int], **settings: Any) -> None:
    """Runs full attention on a backend of these settings, and checks what comes out."""
    sequences, tokens, heads, head_dim = shape
    backend = cuda.backend(0, **{"folders": folders_of(cuda), **settings})
    qkv = rounded(random(sequences * tokens, 3 * heads * head_dim), dtype)
    scale = float(np.float32(head_dim**-0.5))
    on = _core.kernels.Backend(backend, padding=8)
    actual = on.attention(qkv, tokens, heads, scale, dtype)
    q, k, v = (
        part.reshape(shape).astype(np.float64).transpose(0, 2, 1, 3)
        for part in np.split(qkv, 3, axis=1)
    )
    weights = np.exp(scale * q @ k.transpose(0, 1, 3, 2))
    expected = weights @ v / weights.sum(axis=-1, keepdims=True)
    actual = actual.reshape(shape).transpose(0, 2, 1, 3)
    assert np.abs(actual - expected).max() <= 2 * ROUNDING[dtype] * np.abs(v).max()


@pytest.fixture(params=["native", "cudnn", "auto"])
def attention(cuda: Any, request: pytest.FixtureRequest) -> str:
    """Implementations that there are; on this machine's GPU, cuDNN's may be missing."""
    if cuda.__name__ != "_cuda":
        try:
            cuda.backend(0, devices.library_folders(), attention=request.param)
        except _core.DeviceError as error:
            pytest.skip(str(error))
    return str(request.param)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("shape", [(1, 17, 2, 64), (2, 65, 1, 128)])
def test_full_attention(
    cuda: Any, attention: str, dtype: str, shape: tuple[int, int, int, int]
) -> None:
    attention_of(cuda, dtype, shape, attention=attention)


@on_gpu
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("shape", [(3, 1025, 16, 64), (2, 1025, 25, 128)])
def test_full_attention_of_vision_transformers(
    cuda: Any, attention: str, dtype: str, shape: tuple[int, int, int, int]
) -> None:
    attention_of(cuda, dtype, shape, attention=attention)


@pytest.fixture
def cudnn_library(cuda: Any) -> Any:
    """The stand-in of cuDNN; as fast as a kernel of ours afterwards."""
    library = cudnn.stand_in(cuda)
    yield library
    library.standin_set_cudnn_milliseconds(1.0)


@emulated
@pytest.mark.parametrize(
    ("milliseconds", "tokens", "executions", "chosen"),
    [
        (0.5, 5, 14, r"cuDNN \(cuDNN 0.5 ms, native 1 ms\)"),
        (2.0, 6, 13, r"native \(cuDNN 2 ms, native 1 ms\)"),
    ],
)
def test_the_faster_attention_is_kept(
    cuda: Any, cudnn_library: Any, milliseconds: float, tokens: int, executions: int, chosen: str
) -> None:
    before = cudnn_library.standin_cudnn_executions()
    lines: list[str] = []
    cudnn_library.standin_set_cudnn_milliseconds(milliseconds)
    attention_of(cuda, "float16", (1, tokens, 2, 8), log=lines.append)
    assert cudnn_library.standin_cudnn_executions() - before == executions  # to measure, and to use
    assert re.fullmatch(
        rf"attention over {tokens} tokens, 2 heads of 8, float16, on cuda:0: {chosen}", lines.pop()
    )
    # By other models, in other numbers, and whatever they would measure.
    cudnn_library.standin_set_cudnn_milliseconds(1 / milliseconds)
    for sequences in (2, 3):
        attention_of(cuda, "float16", (sequences, tokens, 2, 8), log=lines.append)
    assert lines == []
    used = cudnn_library.standin_cudnn_executions() - before - executions
    assert used == (2 if chosen.startswith("cuDNN") else 0)


@emulated
def test_what_is_left_to_the_own_attention(cuda: Any, cudnn_library: Any) -> None:
    cudnn_library.standin_set_cudnn_milliseconds(0.5)
    set_capability = ctypes.CDLL(cuda.__file__).standin_set_capability
    before = cudnn_library.standin_cudnn_executions()
    lines: list[str] = []
    attention_of(cuda, "float32", (1, 7, 2, 8), log=lines.append)
    attention_of(cuda, "float16", (1, 7, 2, 12), log=lines.append)  # at 8 bytes
    assert lines == []
    attention_of(cuda, "float16", (1, 7, 2, 136), log=lines.append)
    assert lines.pop().endswith("native (cuDNN has no kernel for this attention: 2 proposals)")
    try:
        set_capability(8)
        attention_of(cuda, "float16", (1, 8, 2, 8), log=lines.append)
        with pytest.raises(_core.DeviceError, match="cuda:0 is older than NVIDIA's Hopper"):
            cuda.backend(0, [str(Path(cuda.__file__).parent)], attention="cudnn")
    finally:
        set_capability(9)
    assert (lines, cudnn_library.standin_cudnn_executions()) == ([], before)


@emulated
def test_attention_without_cudnn(cuda: Any, tmp_path: Path) -> None:
    (tmp_path / "libcudnn_graph.so.9").write_bytes(b"no library")
    (tmp_path / "libcublasLt.so.13").symlink_to(Path(cuda.__file__).parent / "libcublasLt.so.13")
    lines: list[str] = []
    for sequences in (1, 2):
        attention_of(
            cuda, "bfloat16", (sequences, 9, 2, 8), folders=[str(tmp_path)], log=lines.append
        )
    (line,) = lines
    missing = r"libcudnn_graph.so.9: .*pip install 'internvl-native\[cuda\]', .*nvidia-cudnn-cu13"
    assert re.search(rf": native \({missing}\)$", line)
    with pytest.raises(_core.DeviceError, match=missing):
        cuda.backend(0, [str(tmp_path)], attention="cudnn")


@emulated
@pytest.mark.parametrize("checkpoint", ["ckpt_rmsnorm"], indirect=True)
def test_a_model_with_cudnn(
    load: Any, cudnn_library: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    variable = "INTERNVL_NATIVE_CUDA_ATTENTION"
    expected = load("cpu", "bfloat16").extract_feature(tiles_of(load("cpu"), 2))
    caplog.set_level(logging.INFO, "internvl_native.devices")
    executions = []
    for attention in ("cudnn", ""):
        monkeypatch.setenv(variable, attention)
        before = cudnn_library.standin_cudnn_executions()
        actual = load("cuda:0", "bfloat16").extract_feature(tiles_of(load("cpu"), 2))
        executions.append(cudnn_library.standin_cudnn_executions() - before)
        assert np.abs(actual - expected).max() <= TOLERANCE["bfloat16"] * np.abs(expected).max()
    assert executions == [3, 13]  # once a layer; and to measure it
    assert caplog.text.count("attention over 65 tokens, 4 heads of 32, bfloat16, on cuda:0") == 1
    monkeypatch.setenv(variable, "flash")
    with pytest.raises(ValueError, match=rf"{variable}\): expected auto, native or cudnn, got 'f"):
        load("cuda:0")
