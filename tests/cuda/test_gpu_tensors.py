"""Tensors that lie in the memory of a GPU already."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np
import pytest
from tests.support import gpu_tensors
from tests.support.extras import optional

from internvl_native import _core, devices

from .models import TOLERANCE, emulated, on_gpu, tiles_of


@pytest.fixture
def torch_stand_in(cuda: Any) -> Any:
    """A module `torch` whose tensors lie in the emulated GPU's memory."""
    library = ctypes.CDLL(cuda.__file__)
    library.standin_allocate.restype = ctypes.c_void_p
    library.standin_allocate.argtypes = [ctypes.c_size_t]
    library.standin_free.argtypes = [ctypes.c_void_p]
    torch = gpu_tensors.stand_in(library.standin_allocate)
    yield torch
    for tensor in torch.made:
        library.standin_free(tensor.values.ctypes.data)


@emulated
def test_tensors_are_used_where_they_lie(
    cuda: Any, load: Any, torch_stand_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load("cuda:0")
    values = tiles_of(model, 1)[..., :28, :28].astype(np.float16)
    expected = load("cpu").extract_feature(values)
    pixels = torch_stand_in.empty(values.shape, dtype=np.float16, device="cuda:0")
    pixels.values[...] = values
    monkeypatch.setitem(sys.modules, "torch", torch_stand_in)
    features = model.extract_feature(pixels)
    assert (features.dtype, features.device) == ("torch.float32", "cuda:0")
    error = np.abs(features.values - expected).max()
    assert error <= TOLERANCE["float32"] * np.abs(expected).max()
    assert len(torch_stand_in.made) == 2  # the pixels and the features
    stream = cuda.stream(model._engine._backend)
    for tensor in torch_stand_in.made:
        assert (tensor.streams, tensor.returned) == ([stream], 1)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    waits: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(_core.InternVL, "extract_feature_into", interrupted)
        patch.setattr(devices, "synchronize", waits.append)
        with pytest.raises(KeyboardInterrupt):
            model.extract_feature(pixels)
    assert len(waits) == 1  # before the tensor of the features goes

    pixels.values[0, 2, 1, 0] = np.inf
    with pytest.raises(ValueError, match="expected finite numbers, got NaN or infinity in tile 0"):
        model.extract_feature(pixels)
    wrong = torch_stand_in.empty(values.shape[1:], dtype=np.float16, device="cuda:0")
    with pytest.raises(ValueError, match="pixel_values: expected 4 dimensions"):
        model.extract_feature(wrong)


@emulated
def test_a_stream_is_a_gpus(cuda: Any) -> None:
    for call in (cuda.stream, cuda.synchronize):
        with pytest.raises(ValueError, match="backend: expected one on a GPU, got cpu"):
            call(_core.cpu_backend())


@on_gpu
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_torch_tensors(load: Any, tokenizer: Any, dtype: str) -> None:
    """On a stream of torch's own that has not written the pixels yet when it hands them over."""
    torch = optional("torch", "test-extras")
    if not torch.cuda.is_available():
        pytest.skip("this torch finds no GPU")
    model = load("cuda:0", dtype)
    pixels = torch.from_numpy(tiles_of(model, 2)).to(getattr(torch, dtype))
    expected = model.extract_feature(pixels)
    with torch.cuda.stream(torch.cuda.Stream()):
        late = torch.empty_like(pixels, device="cuda:0")
        torch.cuda._sleep(100_000_000)
        late.copy_(pixels.cuda())
        features = model.extract_feature(late)
        late.zero_()
    assert (features.device, features.dtype) == (late.device, pixels.dtype)
    torch.testing.assert_close(features.cpu(), expected, rtol=0, atol=0)
    question = "<image>\nDescribe it."
    settings = {"max_new_tokens": 4, "do_sample": False}
    assert model.chat(tokenizer, pixels.cuda(), question, dict(settings)) == model.chat(
        tokenizer, pixels, question, dict(settings)
    )
