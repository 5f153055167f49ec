"""The CUDA backend, emulated and on the GPU of this machine, and models on it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.extension import build_module
from tests.support.goldens import DATA
from tests.support.sanitizer import SANITIZED

import internvl_native
from internvl_native import devices

from .models import ON_GPU, folders_of


@pytest.fixture(scope="session", autouse=True)
def _without_sanitizer() -> None:
    """The emulation sees to every access itself, on fibers that the sanitizer does not know."""
    if SANITIZED:
        pytest.skip("the emulated kernels are checked without the sanitizer")


@pytest.fixture(scope="session", params=["emulated", ON_GPU])
def cuda(request: pytest.FixtureRequest) -> Any:
    """The module `_cuda`."""
    if request.param == "emulated":
        return build_module("_cuda", Path(__file__).parent / "emulated")
    devices.missing.cache_clear()
    lacking = devices.missing()
    if lacking is not None:
        pytest.skip(lacking)
    import internvl_native._cuda as module

    return module


@pytest.fixture(params=["ckpt_rmsnorm", "ckpt_layernorm"])
def checkpoint(request: pytest.FixtureRequest) -> Path:
    return DATA / str(request.param)


@pytest.fixture
def load(cuda: Any, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Loads the model on a device."""
    folders = folders_of(cuda)
    monkeypatch.setitem(sys.modules, "internvl_native._cuda", cuda)
    monkeypatch.setattr(internvl_native, "_cuda", cuda, raising=False)
    monkeypatch.setattr(devices, "library_folders", lambda: folders)
    if cuda.__name__ == "_cuda":  # emulated: measuring would take most of the time
        monkeypatch.setenv("INTERNVL_NATIVE_CUDA_ATTENTION", "native")
    devices.missing.cache_clear()

    def model_on(device: str, dtype: str = "float32") -> Any:
        model = internvl_native.AutoModel.from_pretrained(
            checkpoint, torch_dtype=dtype, device_map=device
        )
        assert str(model.device) == device
        return model

    yield model_on
    devices.missing.cache_clear()


@pytest.fixture
def tokenizer(checkpoint: Path) -> Any:
    return internvl_native.AutoTokenizer.from_pretrained(checkpoint)
