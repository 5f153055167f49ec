"""Placement on a machine without a GPU, and the choice among GPUs where `_cuda` reports some."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from tests.support.goldens import DATA

import internvl_native
from internvl_native import _core, devices

CHECKPOINT = DATA / "ckpt_rmsnorm"
MIB = 1 << 20


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """What is asked, warned and logged once is so in each test."""
    caches = (devices.missing, devices._warn_once, devices._log_once)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "missing", lambda: "the driver is missing: install it")


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A `_cuda` whose GPUs are the CPU: 100 MiB are free on the first one, 1000 on the other."""
    module: Any = ModuleType("internvl_native._cuda")
    module.placed = []

    def backend(device: int, folders: list[str], **_: object) -> _core.Backend:
        module.placed.append(device)
        return _core.cpu_backend()

    module.open_libraries = lambda folders: None
    module.device_count = lambda: 2
    module.is_supported = lambda device: True
    module.memory = lambda device: ((100 * MIB, 1000 * MIB)[device], 2000 * MIB)
    module.backend = backend
    monkeypatch.setitem(sys.modules, "internvl_native._cuda", module)
    monkeypatch.setattr(internvl_native, "_cuda", module, raising=False)
    return module


def load(**kwargs: Any) -> Any:
    return internvl_native.AutoModel.from_pretrained(CHECKPOINT, **kwargs)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", 0])
def test_without_a_gpu_a_model_stays_and_says_why_once(
    no_gpu: None, caplog: pytest.LogCaptureFixture, device: Any
) -> None:
    model = load()
    core = model._core
    assert model.cuda(device) is model.to(device) is model
    assert str(model.device) == "cpu"
    assert model._core is core
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert str(device) in record.getMessage()
    assert "the driver is missing: install it" in record.getMessage()


@pytest.mark.parametrize(
    "device_map", ["auto", "balanced", "cuda", {"": 0}, {"vision_model": "cuda:1", "mlp1": "cpu"}]
)
def test_device_map_without_a_gpu(
    no_gpu: None, caplog: pytest.LogCaptureFixture, device_map: Any
) -> None:
    caplog.set_level(logging.INFO, "internvl_native.devices")
    for _ in range(2):
        assert str(load(device_map=device_map).device) == "cpu"
    (record,) = caplog.records
    assert "the driver is missing: install it" in record.getMessage()
    assert ("computing on cpu" if device_map in ("auto", "balanced") else "on the CPU instead") in (
        record.getMessage()
    )


def test_the_cpu_is_asked_for_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "internvl_native.devices")
    for device_map in (None, "cpu", {"": "cpu"}):
        assert str(load(device_map=device_map).cpu().to("cpu").device) == "cpu"
    assert not caplog.records


def test_other_accelerators(caplog: pytest.LogCaptureFixture) -> None:
    assert str(load().to("mps").device) == "cpu"
    assert "mps: computing on the CPU instead" in caplog.text


@pytest.mark.parametrize(
    ("nbytes", "device"), [(50 * MIB, "cuda:0"), (95 * MIB, "cuda:1"), (950 * MIB, "cpu")]
)
def test_auto_takes_the_first_gpu_with_room(
    two_gpus: Any, caplog: pytest.LogCaptureFixture, nbytes: int, device: str
) -> None:
    caplog.set_level(logging.INFO, "internvl_native.devices")
    assert devices.mapped("auto", nbytes) == device
    assert f"computing on {device}" in caplog.text


def test_auto_leaves_out_a_gpu_that_is_too_old(two_gpus: Any) -> None:
    two_gpus.is_supported = lambda device: device == 1
    assert devices.mapped("auto", 50 * MIB) == "cuda:1"


@pytest.mark.parametrize(
    ("device_map", "device"),
    [
        ("auto", "cuda:0"),
        ("cuda", "cuda:0"),
        ("cuda:1", "cuda:1"),
        (1, "cuda:1"),
        ({"": 0}, "cuda:0"),
        ({"vision_model": "cpu", "language_model": 1, "mlp1": "disk"}, "cuda:1"),
        ({"": "cpu"}, "cpu"),
        (None, "cpu"),
    ],
)
def test_device_map_with_gpus(two_gpus: Any, device_map: Any, device: str) -> None:
    model = load(device_map=device_map)
    assert str(model.device) == device
    assert model.hf_device_map == {"": model.device}
    assert two_gpus.placed == ([] if device == "cpu" else [int(device[-1])])


def test_moving_loads_once(two_gpus: Any) -> None:
    model = load()
    assert model.to("cuda:1", "bfloat16") is model
    assert (str(model.device), model._core.dtype) == ("cuda:1", "bfloat16")
    core = model._core
    assert model.cuda(1).vision_model.to("cuda:1").bfloat16() is not None
    assert model._core is core
    assert two_gpus.placed == [1]
    with pytest.raises(ValueError, match="the parts of a model have one device; convert the model"):
        model.language_model.cpu()
    assert str(model.cpu().device) == "cpu"


def test_a_gpu_that_fails_leaves_the_model_where_it_was(
    two_gpus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(device: int, folders: list[str], **_: object) -> _core.Backend:
        raise _core.DeviceError("CUDA out of memory")

    model = load()
    before = model.language_model.get_input_embeddings()([[5]])
    monkeypatch.setattr(two_gpus, "backend", fail)
    with pytest.raises(RuntimeError, match="CUDA out of memory"):
        model.cuda()
    assert str(model.device) == "cpu"
    assert (model.language_model.get_input_embeddings()([[5]]) == before).all()


@pytest.mark.parametrize(
    ("error", "message"),
    [(ModuleNotFoundError("_cuda"), "this installation was built without CUDA: install nvcc"),
     (ImportError("undefined symbol"), "the CUDA backend cannot be loaded: undefined symbol")],
)  # fmt: skip
def test_a_backend_that_does_not_import(
    monkeypatch: pytest.MonkeyPatch, error: ImportError, message: str
) -> None:
    class Finder:
        def find_spec(self, name: str, path: Any, target: Any = None) -> None:
            if name == "internvl_native._cuda":
                raise error

    monkeypatch.delitem(sys.modules, "internvl_native._cuda", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    lacking = devices.missing()
    assert lacking is not None
    assert lacking.startswith(message)


def test_nothing_of_cuda_is_opened_before_it_is_asked_for() -> None:
    code = (
        "import sys, internvl_native; "
        f"internvl_native.AutoModel.from_pretrained({str(CHECKPOINT)!r}, device_map='cpu'); "
        "print([name for name in sys.modules if 'cuda' in name.lower()]); "
        "print([line for line in open('/proc/self/maps') if 'libcu' in line or '_cuda' in line])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n[]\n"
