"""The CUDA backend's own host code on stand-ins of CUDA's libraries: memory, copies, products."""

from __future__ import annotations

import gc
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.backend.numerics import ROUNDING, Array, random, rounded
from tests.support.extension import ROOT, build_module

from internvl_native import _core, devices

from . import cudnn

HOST = Path(__file__).parent / "host"
MIB = 1 << 20
DTYPES = {"float32": 0, "bfloat16": 1, "float16": 2}  # csrc/core/element.h


@pytest.fixture(scope="session")
def module() -> Any:
    return build_module("_cuda_host", HOST)


@pytest.fixture
def cuda(module: Any) -> Iterator[Any]:
    """Two GPUs of 64 MiB each; afterwards nothing is left on them."""
    gc.collect()
    module.set_machine(2, 64 * MIB)
    yield module
    gc.collect()
    module.set_machine(2, 64 * MIB)
    assert module.live_allocations() == 0


def encoded(values: Array, dtype: str) -> Array:
    """float32 values as the bytes of `dtype`, to which they are rounded already."""
    if dtype == "bfloat16":
        return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8).ravel()
    return np.ascontiguousarray(values.astype(dtype)).view(np.uint8).ravel()


def decoded(data: Array, dtype: str, shape: tuple[int, ...]) -> Array:
    if dtype == "bfloat16":
        values = (data.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    else:
        values = data.view(dtype).astype(np.float32)
    return values.reshape(shape)


def on_device(device: Any, values: Array, dtype: str, padding: int = 0) -> Any:
    rows, cols = values.shape
    result = device.rows(DTYPES[dtype], rows, cols, cols + padding)
    result.upload(encoded(values, dtype))
    return result


def test_rows_travel(cuda: Any) -> None:
    device = cuda.Device(1)
    for dtype in DTYPES:
        values = rounded(random(7, 13), dtype)
        first, second = on_device(device, values, dtype, 3), device.rows(DTYPES[dtype], 7, 13, 13)
        second.copy_from(first)
        np.testing.assert_array_equal(decoded(second.download(), dtype, (7, 13)), values)


def test_copies_of_unlike_rows_are_refused(cuda: Any) -> None:
    device = cuda.Device(0)
    rows = device.rows(0, 2, 3, 3)
    with pytest.raises(ValueError, match=r"got float32 \(3, 3\) and float32 \(2, 3\)"):
        rows.copy_from(device.rows(0, 3, 3, 3))
    with pytest.raises(ValueError, match=r"got float16 \(2, 3\) and float32 \(2, 3\)"):
        rows.copy_from(device.rows(2, 2, 3, 3))


@pytest.mark.parametrize(
    ("devices", "message"),
    [(-1, "no NVIDIA driver: libcuda.so.1 is missing.*install the driver"),
     (0, "the NVIDIA driver finds no GPU: check nvidia-smi and CUDA_VISIBLE_DEVICES")],
)  # fmt: skip
def test_machines_without_a_gpu(cuda: Any, devices: int, message: str) -> None:
    cuda.set_machine(devices, 0)
    for call in (cuda.device_count, lambda: cuda.memory(0), lambda: cuda.Device(0)):
        with pytest.raises(_core.DeviceError, match=message):
            call()


def test_an_unknown_device(cuda: Any) -> None:
    assert cuda.device_count() == 2
    for index in (-1, 2):
        with pytest.raises(ValueError, match=f"expected cuda:0 to cuda:1, got cuda:{index}"):
            cuda.Device(index)


def test_other_gpus_are_left_alone(module: Any, cuda: Any) -> None:
    """The calling thread's device is cuda:0 throughout, and there is never a context on it."""

    def use(device: Any) -> None:
        matmul = cuda.Matmul(device, [str(Path(module.__file__).parent)])
        x, out = on_device(device, random(3, 8), "float32"), device.rows(0, 3, 3, 3)
        matmul(out, x, x)
        cuda.Graph(device, lambda: matmul(out, x, x)).launch()
        assert out.download().size == 36
        assert device.available() > 0
        with pytest.raises(_core.DeviceError, match="out of memory on cuda:1"):
            device.rows(0, 1, 32 * MIB, 32 * MIB)

    assert (cuda.device_count(), cuda.is_supported(0)) == (2, True)
    assert cuda.memory(1)[1] == 64 * MIB
    assert cuda.contexts() == []  # asking for it leaves nothing behind
    use(cuda.Device(1))
    gc.collect()
    assert cuda.contexts() == [1]


def test_a_gpu_that_is_too_old(cuda: Any) -> None:
    assert cuda.is_supported(1)
    cuda.set_capability(7)
    assert not cuda.is_supported(1)
    with pytest.raises(_core.DeviceError, match=r"cuda:1 is older than NVIDIA's Ampere"):
        cuda.Device(1)


def test_out_of_memory(cuda: Any) -> None:
    device = cuda.Device(1)
    kept = [device.rows(0, 1, 5 * MIB, 5 * MIB)]  # 20 MiB
    with pytest.raises(_core.DeviceError) as caught:
        device.rows(0, 1, 12 * MIB, 12 * MIB)
    text = str(caught.value)
    assert "CUDA out of memory on cuda:1 (the GPU is full): 48 MiB asked for, 20 MiB in use" in text
    assert "44 MiB free of 64 MiB: lower max_num (tiles), the batch" in text
    kept.append(device.rows(0, 1, 11 * MIB, 11 * MIB))  # nothing was lost: 44 MiB are left
    kept.clear()
    assert device.available() == 64 * MIB
    assert device.rows(0, 1, 16 * MIB, 16 * MIB) is not None


def test_the_budget(cuda: Any) -> None:
    device = cuda.Device(0, budget=10 * MIB)
    rows = device.rows(0, 1, 2 * MIB, 2 * MIB)
    assert device.available() == 2 * MIB
    with pytest.raises(_core.DeviceError, match=r"the budget is spent\): 4 MiB asked for, 8 MiB"):
        device.rows(0, 1, MIB, MIB)
    del rows
    assert device.available() == 10 * MIB


def test_rows_outlive_their_device(cuda: Any) -> None:
    values = random(3, 4)
    rows = on_device(cuda.Device(0), values, "float32")
    gc.collect()
    np.testing.assert_array_equal(decoded(rows.download(), "float32", (3, 4)), values)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 8, 16), (17, 33, 65), (64, 7, 128)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("wide", [False, True])
def test_products(
    module: Any, cuda: Any, shape: tuple[int, int, int], dtype: str, wide: bool
) -> None:
    rows, n, k = shape
    out_dtype = "float32" if wide else dtype
    device = cuda.Device(0)
    matmul = cuda.Matmul(device, [str(Path(module.__file__).parent)])
    x, w = rounded(random(rows, k), dtype), rounded(random(n, k, seed=1), dtype)
    biases = [rounded(random(1, n, seed=seed), out_dtype) for seed in (2, 3)]
    before = rounded(random(rows, n, seed=4), out_dtype)
    on = on_device(device, x, dtype, 8), on_device(device, w, dtype)
    product = x.astype(np.float64) @ w.T.astype(np.float64)
    for bias in [*biases, None]:  # the algorithm of a shape serves several biases
        for accumulate in (False, True):
            out = on_device(device, before, out_dtype, 8)
            vector = None if bias is None else on_device(device, bias, out_dtype)
            matmul(out, *on, vector, accumulate)
            expected = product + (0 if bias is None else bias) + (before if accumulate else 0)
            actual = decoded(out.download(), out_dtype, (rows, n))
            bound = 2 * ROUNDING[out_dtype] * np.abs(expected) + 1e-7
            assert (np.abs(actual - expected) <= bound).all()


def test_a_recording_repeats_what_was_queued(module: Any, cuda: Any) -> None:
    device = cuda.Device(1)
    matmul = cuda.Matmul(device, [str(Path(module.__file__).parent)])
    x, w = rounded(random(3, 8), "float32"), rounded(random(8, 8, seed=1), "float32")
    source, weight = on_device(device, x, "float32"), on_device(device, w, "float32")
    first, second = (device.rows(0, 3, 8, 8) for _ in range(2))

    def body() -> None:
        scratch = device.rows(0, 3, 8, 8)  # memory of the recording
        matmul(scratch, source, weight)
        second.copy_from(scratch)
        first.copy_from(second)

    graph = cuda.Graph(device, body)
    assert np.isnan(decoded(first.download(), "float32", (3, 8))).all()
    for seed in (2, 3):
        x = random(3, 8, seed=seed)
        source.upload(encoded(x, "float32"))
        graph.launch()
        actual = decoded(first.download(), "float32", (3, 8))
        np.testing.assert_allclose(actual, x @ w.T, rtol=0, atol=1e-5)


def test_memory_of_recordings_goes_back(cuda: Any) -> None:
    device = cuda.Device(0)
    graph = cuda.Graph(device, lambda: device.rows(0, 1, 10 * MIB, 10 * MIB))
    del graph
    gc.collect()
    assert device.available() == 24 * MIB  # kept for the next one
    assert device.rows(0, 1, 15 * MIB, 15 * MIB) is not None
    assert device.available() == 64 * MIB


def test_a_recording_that_is_broken_off(cuda: Any) -> None:
    device = cuda.Device(0)
    first, second = (on_device(device, random(3, 4, seed=seed), "float32") for seed in (0, 1))

    def fail() -> None:
        first.copy_from(second)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cuda.Graph(device, fail)
    with pytest.raises(RuntimeError, match="a recording inside of another one"):
        cuda.Graph(device, lambda: cuda.Graph(device, lambda: None))
    values = decoded(first.download(), "float32", (3, 4))
    np.testing.assert_array_equal(values, random(3, 4))
    first.copy_from(second)
    values = decoded(first.download(), "float32", (3, 4))
    np.testing.assert_array_equal(values, random(3, 4, seed=1))


def test_locked_memory_is_waited_for(cuda: Any) -> None:
    rows = cuda.Device(0).rows(0, 2, 3, 3)
    for locked in (False, True):
        cuda.set_locked(locked)
        before = cuda.synchronizations()
        rows.upload(encoded(random(2, 3), "float32"))
        assert cuda.synchronizations() - before == locked


def test_models_share_what_they_give_back(cuda: Any) -> None:
    first, second = cuda.Device(0), cuda.Device(0)
    rows = first.rows(0, 1, 10 * MIB, 10 * MIB)
    assert second.available() == 24 * MIB
    del rows
    assert cuda.memory(0)[0] == 24 * MIB  # kept for the next pass
    assert first.available() == second.available() == 64 * MIB
    rows = second.rows(0, 1, 12 * MIB, 12 * MIB)
    del rows, first, second
    assert cuda.memory(0)[0] == 64 * MIB  # the last one gives it back to the GPU


def test_products_of_unlike_matrices_are_refused(module: Any, cuda: Any) -> None:
    device = cuda.Device(0)
    matmul = cuda.Matmul(device, [str(Path(module.__file__).parent)])
    x, w, out = (device.rows(0, *shape, shape[1]) for shape in ((3, 4), (5, 6), (3, 5)))
    with pytest.raises(ValueError, match="as many columns, got float32 with 4 and float32 with 6"):
        matmul(out, x, w)
    with pytest.raises(ValueError, match=r"out: expected shape \(3, 3\), got \(3, 5\)"):
        matmul(out, x, x)


def test_a_missing_library_says_how_to_get_it(cuda: Any, tmp_path: Path) -> None:
    broken = tmp_path / "libcublasLt.so.13"
    broken.write_bytes(b"no library")
    with pytest.raises(
        _core.DeviceError, match=r"libcublasLt.so.13: .*pip install 'internvl-native\[cuda\]'"
    ):
        cuda.Matmul(cuda.Device(0), [str(tmp_path)])


@pytest.fixture
def cudnn_library(module: Any) -> Iterator[Any]:
    """The stand-in of cuDNN."""
    library = cudnn.stand_in(module)
    yield library
    library.standin_set_cudnn(cudnn.OLDEST, cudnn.CUDA)


def cudnn_attention(module: Any, device: Any) -> Any:
    return module.CudnnAttention(device, [str(Path(module.__file__).parent)])


@pytest.mark.parametrize(
    ("sequences", "tokens", "heads", "head_dim"),
    [(1, 1, 1, 64), (2, 17, 3, 64), (3, 9, 2, 128), (2, 33, 1, 8)],
)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_attention_by_cudnn(
    module: Any, cuda: Any, cudnn_library: Any,
    sequences: int, tokens: int, heads: int, head_dim: int, dtype: str,
) -> None:  # fmt: skip
    device = cuda.Device(1)
    attention = cudnn_attention(module, device)
    shape = (sequences, tokens, heads, head_dim)
    rows, width = sequences * tokens, heads * head_dim
    plans = cudnn_library.standin_cudnn_plans()
    for seed, scale in ((0, 0.3), (1, 1.0)):  # of a shape, one plan
        values = rounded(random(rows, 3 * width, seed=seed), dtype)
        qkv = on_device(device, values, dtype, padding=8)
        out = device.rows(DTYPES[dtype], rows, width, width + 16)
        attention(out, qkv, tokens, heads, scale)
        q, k, v = (
            part.reshape(shape).astype(np.float64).transpose(0, 2, 1, 3)
            for part in np.split(values, 3, axis=1)
        )
        weights = np.exp(scale * q @ k.transpose(0, 1, 3, 2))
        expected = weights @ v / weights.sum(axis=-1, keepdims=True)
        actual = decoded(out.download(), dtype, shape).transpose(0, 2, 1, 3)
        assert (np.abs(actual - expected) <= 2 * ROUNDING[dtype] * np.abs(expected) + 1e-6).all()
    assert cudnn_library.standin_cudnn_plans() == plans + 1


def test_a_recording_repeats_attention_by_cudnn(module: Any, cuda: Any) -> None:
    device = cuda.Device(0)
    attention = cudnn_attention(module, device)
    qkv = on_device(device, rounded(random(6, 48), "float16"), "float16")
    first, second = (device.rows(DTYPES["float16"], 6, 16, 16) for _ in range(2))
    attention(first, qkv, 3, 2, 1.0)
    graph = cuda.Graph(device, lambda: attention(second, qkv, 3, 2, 1.0))
    assert (second.download() == 0xFF).all()
    graph.launch()
    np.testing.assert_array_equal(second.download(), first.download())


def test_attention_that_cudnn_has_no_kernel_for(module: Any, cuda: Any) -> None:
    device = cuda.Device(0)
    attention = cudnn_attention(module, device)

    def run(dtype: str, head_dim: int, padding: int = 0) -> None:
        qkv = device.rows(DTYPES[dtype], 4, 3 * head_dim, 3 * head_dim + padding)
        attention(device.rows(DTYPES[dtype], 4, head_dim, head_dim), qkv, 2, 1, 1.0)

    for arguments in (("float32", 64), ("float16", 60), ("bfloat16", 64, 4)):
        with pytest.raises(_core.DeviceError, match=r"rows and heads at multiples of 16 bytes"):
            run(*arguments)
    with pytest.raises(_core.DeviceError, match="cuDNN has no kernel for this attention: 2 propos"):
        run("float16", 136)
    with pytest.raises(ValueError, match=r"out: expected float16 of shape \(4, 8\), got float16"):
        attention(device.rows(2, 4, 16, 16), device.rows(2, 4, 24, 24), 2, 1, 1.0)
    with pytest.raises(ValueError, match="a multiple of 3 rows and of 6 columns, got"):
        attention(device.rows(2, 4, 8, 8), device.rows(2, 4, 24, 24), 3, 2, 1.0)


def test_a_missing_cudnn_says_how_to_get_it(cuda: Any, tmp_path: Path) -> None:
    (tmp_path / "libcudnn_graph.so.9").write_bytes(b"no library")
    with pytest.raises(
        _core.DeviceError, match=r"libcudnn_graph.so.9: .*pip install 'internvl-native\[cuda\]'"
    ):
        cuda.CudnnAttention(cuda.Device(0), [str(tmp_path)])


@pytest.mark.parametrize(
    ("version", "cuda_version", "message"),
    [(cudnn.OLDEST - 1, cudnn.CUDA, "9.13.0 for CUDA 13"), (92800, 12090, "9.28.0 for CUDA 12")],
)
def test_a_cudnn_that_does_not_fit(
    module: Any, cuda: Any, cudnn_library: Any, version: int, cuda_version: int, message: str
) -> None:
    cudnn_library.standin_set_cudnn(version, cuda_version)
    expected = f"expected cuDNN 9.13.1 or newer for CUDA 13, got {message}: pip install"
    with pytest.raises(_core.DeviceError, match=expected):
        cudnn_attention(module, cuda.Device(0))


def test_the_numbers_of_cudnn() -> None:
    """Where its header is installed: with the extra [cuda], and nvcc's headers."""
    folders = [Path(folder).parent / "include" for folder in devices.library_folders()]
    folders.append(Path("/usr/local/cuda/include"))
    for header in ("cudnn_graph.h", "cuda_runtime.h"):
        if not any((folder / header).exists() for folder in folders):
            pytest.skip(f"{header} is not installed")
    flags = [f"-I{ROOT / 'csrc'}", *(f"-isystem{folder}" for folder in folders)]
    source = str(Path(__file__).parent / "cudnn_numbers.cpp")
    command = ["c++", "-std=c++17", "-fsyntax-only", *flags, source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_stopwatch(cuda: Any) -> None:
    device = cuda.Device(1)
    first, second = (on_device(device, random(2, 3), "float32") for _ in range(2))
    copies = iter([99, *4 * [7], *2 * [3, 5], *4 * [6]])  # the first run, and three rounds

    def body() -> None:
        for _ in range(next(copies)):  # each a millisecond on the stand-in's clock
            first.copy_from(second)

    assert cuda.milliseconds(device, body) == 4
    assert list(copies) == []
